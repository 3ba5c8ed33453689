from __future__ import annotations

import pytest

from label_studio_backend.api_client import Api
from label_studio_backend.prelabel.selection import (
    UNLABELED,
    Selection,
    SelectionError,
    number_filter,
    read_filters,
    read_view,
)
from label_studio_backend.prelabel.source import TaskSource, read_project
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio


@pytest.fixture
def fake():
    with FakeLabelStudio() as fake:
        for number in range(1, 9):
            fake.add_task(number, image="x", split="train" if number % 2 else "test")
        yield fake


@pytest.fixture
def api(fake):
    api = Api(fake.url, TOKEN)
    yield api
    api.close()


def chosen(api, selection):
    return list(TaskSource(api, read_project(api, 1), selection, "v").ids())


def test_everything(api):
    assert chosen(api, Selection()) == [1, 2, 3, 4, 5, 6, 7, 8]


def test_only_unlabeled(api, fake):
    fake.tasks[2]["annotations"] = [{"id": 1}]
    assert chosen(api, Selection(items=(UNLABELED,))) == [1, 3, 4, 5, 6, 7, 8]


def test_tasks_by_their_ids(api):
    source = TaskSource(api, read_project(api, 1), Selection(included=(7, 3, 99)), "v")
    assert list(source.ids()) == [3, 7]
    assert source.tally.missing == [99]


def test_many_ids_are_asked_for_in_parts(api, fake):
    assert chosen(api, Selection(included=tuple(range(1, 1001)))) == [1, 2, 3, 4, 5, 6, 7, 8]
    queries = [query["query"] for _, path, query in fake.requests if path == "/api/tasks/"]
    assert max(map(len, queries)) < 2000


@pytest.mark.parametrize(
    ("texts", "ids"),
    [
        (["data.split=train"], [1, 3, 5, 7]),
        (["data.split = train", "id>3"], [5, 7]),
        (["id<3"], [1, 2]),
        (["data.split~es"], [2, 4, 6, 8]),
    ],
)
def test_filters(api, texts, ids):
    assert chosen(api, Selection(tuple(read_filters(api, 1, texts)))) == ids


@pytest.mark.parametrize(
    ("text", "item"),
    [
        ("id>=3", ("id", "greater_or_equal", "Number", 3.0)),
        ("id<=3", ("id", "less_or_equal", "Number", 3.0)),
        ("data.split!=a=b", ("data.split", "not_equal", "String", "a=b")),
        ("data.split!~x", ("data.split", "not_contains", "String", "x")),
        ("data.split>2.5", ("data.split", "greater", "Number", 2.5)),
        ("draft_exists=true", ("draft_exists", "equal", "Boolean", "true")),
        (
            "predictions_model_versions~PAM",
            ("predictions_model_versions", "contains", "List", ["PAM"]),
        ),
        (
            "created_at>2026-01-31",
            ("created_at", "greater", "Datetime", "2026-01-31T00:00:00.000000Z"),
        ),
        (
            "created_at<2026-01-31T12:00+02:00",
            ("created_at", "less", "Datetime", "2026-01-31T10:00:00.000000Z"),
        ),
    ],
)
def test_filters_are_spelled_as_the_data_manager_does(api, text, item):
    (read,) = read_filters(api, 1, [text])
    assert (read["filter"], read["operator"], read["type"], read["value"]) == (
        f"filter:tasks:{item[0]}",
        *item[1:],
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("train", "'train' is not a filter: write a column"),
        ("=3", "is not a filter"),
        ("colour=red", "no column 'colour' to filter by; use one of created_at, data.image"),
        ("id=three", "value for id must be a number, not 'three'"),
        ("created_at>soon", "must be a time such as .*, not 'soon'"),
    ],
)
def test_filters_that_cannot_be(api, text, sentence):
    with pytest.raises(SelectionError, match=sentence):
        read_filters(api, 1, [text])


def view(fake, conjunction, items, **more):
    fake.views[4] = {
        "id": 4,
        "project": 1,
        "data": {"filters": {"conjunction": conjunction, "items": items}},
        **more,
    }


def test_a_view_whose_filters_are_joined_by_and(api, fake):
    view(fake, "and", [number_filter("id", "greater", 2), number_filter("id", "less", 5)])
    assert chosen(api, read_view(api, 1, 4)) == [3, 4]


def test_a_view_whose_filters_are_joined_by_or(api, fake):
    view(fake, "or", [number_filter("id", "less", 3), number_filter("id", "greater", 6)])
    assert chosen(api, read_view(api, 1, 4)) == [1, 2, 7, 8]


def test_a_view_with_selected_tasks(api, fake):
    view(fake, "and", [], selected_items={"all": False, "included": [2, 4]})
    assert chosen(api, read_view(api, 1, 4)) == [2, 4]


def test_a_view_without_some_tasks(api, fake):
    view(fake, "and", [], selected_items={"all": True, "excluded": [1, 2, 3]})
    source = TaskSource(api, read_project(api, 1), read_view(api, 1, 4), "v")
    assert [todo.id for todo in source] == [4, 5, 6, 7, 8]
    assert source.tally.excluded == 3


def test_a_view_without_filters(api, fake):
    fake.views[4] = {"id": 4, "project": 1, "data": {}}
    assert read_view(api, 1, 4) == Selection()


def test_a_filter_of_a_view_without_value_is_none(api, fake):
    view(fake, "and", [{**number_filter("id", "equal", 1), "value": None}])
    assert read_view(api, 1, 4) == Selection()


def test_a_view_is_not_there(api):
    with pytest.raises(SelectionError, match="there is no view 9: .* 404"):
        read_view(api, 1, 9)


def test_a_view_of_another_project(api, fake):
    view(fake, "and", [])
    with pytest.raises(SelectionError, match="view 4 belongs to project 1"):
        read_view(api, 2, 4)


def test_a_view_by_or_with_nested_filters_is_refused():
    nested = {**number_filter("id", "less", 3), "child_filter": UNLABELED}
    with pytest.raises(SelectionError, match="joins its filters by 'or'"):
        Selection(items=(nested,), conjunction="or").after(0)
