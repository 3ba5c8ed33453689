from __future__ import annotations

import json

import pytest

from label_studio_backend.api_client import Api, RefusedError
from label_studio_backend.prelabel import source as module
from label_studio_backend.prelabel.selection import UNLABELED, Selection
from label_studio_backend.prelabel.source import TaskSource, read_project
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio

OURS = "nano (pam-labeling 0.1.0)"


@pytest.fixture
def fake():
    with FakeLabelStudio(tasks=10) as fake:
        yield fake


@pytest.fixture
def api(fake):
    api = Api(fake.url, TOKEN)
    yield api
    api.close()


@pytest.fixture
def source(api):
    def source(version=OURS, selection=None, **options):
        return TaskSource(api, read_project(api, 1), selection or Selection(), version, **options)

    return source


@pytest.fixture
def small_pages(monkeypatch):
    monkeypatch.setattr(module, "LISTED", 3)
    monkeypatch.setattr(module, "READ", 2)


def ids(todos):
    return [todo.id for todo in todos]


def test_reads_a_project(api):
    project = read_project(api, 1)
    assert (project.title, project.tasks, project.evaluates) == ("Scenes", 10, False)
    assert "<BrushLabels" in project.config


def test_there_is_no_such_project(api):
    with pytest.raises(RefusedError, match="404"):
        read_project(api, 7)


def test_streams_all_tasks_in_the_order_of_their_ids(source, small_pages):
    assert ids(source()) == list(range(1, 11))


def test_tasks_come_with_annotations_drafts_and_predictions(source, fake):
    fake.tasks[3]["annotations"] = [{"id": 1, "result": [{"id": "a"}]}]
    fake.add_prediction(3, "another model", result=[{"id": "b"}])
    task = next(todo.task for todo in source() if todo.id == 3)
    assert task["annotations"][0]["result"] == [{"id": "a"}]
    assert task["predictions"][0]["result"] == [{"id": "b"}]
    assert task["drafts"] == []


def test_tasks_with_our_prediction_are_left_out(source, fake, small_pages):
    for task in (2, 5, 6):
        fake.add_prediction(task, OURS)
    tasks = source()
    assert ids(tasks) == [1, 3, 4, 7, 8, 9, 10]
    assert tasks.tally.done_before == 3


def test_tasks_that_are_done_are_not_read_whole(source, fake):
    for task in range(1, 11):
        fake.add_prediction(task, OURS)
    assert ids(source()) == []
    assert not any(query.get("fields") == "all" for _, _, query in fake.requests)


@pytest.mark.parametrize(
    "other", ["nano", "nano (pam-labeling 0.1.0-dev)", "pam-labeling 0.1.0", "", "x" * 600]
)
def test_predictions_of_similar_versions_do_not_count(source, fake, other):
    fake.add_prediction(2, other)
    assert ids(source()) == list(range(1, 11))


def test_several_versions_that_together_look_like_ours_do_not_count(source, fake):
    fake.add_prediction(2, "nano (pam-labeling 0.2.0)")
    fake.add_prediction(2, "PAM-3B (pam-labeling 0.1.0)")
    fake.add_prediction(3, OURS)
    assert ids(source()) == [1, 2, 4, 5, 6, 7, 8, 9, 10]


def test_our_version_counts_where_label_studio_cuts_the_list_of_versions(source, fake):
    fake.add_prediction(2, "x" * 600)
    fake.add_prediction(2, OURS)
    assert ids(source()) == [1, 3, 4, 5, 6, 7, 8, 9, 10]


def test_overwriting_takes_all_and_keeps_our_predictions_apart(source, fake):
    first, second = fake.add_prediction(2, OURS), fake.add_prediction(2, OURS)
    fake.add_prediction(2, "another")
    todo = next(todo for todo in source(overwrite=True) if todo.id == 2)
    assert todo.replaces == (first, second)
    assert [p["model_version"] for p in todo.task["predictions"]] == ["another"]


def test_listing_does_not_make_label_studio_ask_its_backends(source, fake):
    fake.project["evaluate_predictions_automatically"] = True
    fake.add_prediction(2, OURS)
    assert ids(source()) == [1, 3, 4, 5, 6, 7, 8, 9, 10]
    assert fake.evaluated == 0


def test_tasks_that_change_meanwhile_shift_no_page(source, fake, small_pages):
    seen = []
    for todo in source(selection=Selection(items=(UNLABELED,))):
        seen.append(todo.id)
        fake.tasks[todo.id]["annotations"] = [{"id": 1}]  # someone labels it right away
    assert seen == list(range(1, 11))


def test_tasks_that_are_deleted_meanwhile_are_told(source, fake, small_pages):
    tasks = source()
    listed = iter(tasks)
    assert next(listed).id == 1
    del fake.tasks[3]
    del fake.tasks[9]
    assert ids(listed) == [2, 4, 5, 6, 7, 8, 10]
    assert tasks.tally.vanished == [3]  # 9 was never listed


def test_a_large_project_needs_few_requests_and_little_at_once(source, fake, monkeypatch):
    monkeypatch.setattr(module, "LISTED", 200)
    for number in range(11, 601):
        fake.add_task(number, image="x")
    first = iter(source())
    assert next(first).id == 1
    assert fake.asked("GET", "/api/tasks") == 2  # one page of ids, one of tasks
    assert len(ids(first)) == 599
    assert fake.asked("GET", "/api/tasks") < 600 / module.READ + 6


def test_counts_what_is_chosen(source):
    assert source().count() == 10
    assert source(selection=Selection(included=(1, 2, 99))).count() == 2


def test_an_empty_project(source, fake):
    fake.tasks.clear()
    assert source().count() == 0
    assert ids(source()) == []


def test_a_page_asks_only_for_what_it_needs(source, fake):
    next(iter(source()))
    listing = next(query for _, path, query in fake.requests if path == "/api/tasks/")
    assert listing["include"] == "id,predictions_model_versions"
    assert "tasks:predictions_results" in json.loads(listing["query"])["hiddenColumns"]["explore"]
