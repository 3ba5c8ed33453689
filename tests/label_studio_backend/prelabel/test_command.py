"""`prelabel` against a stand-in for Label Studio: what is done, chosen and written."""

from __future__ import annotations

import pytest

from label_studio_backend.prelabel import command
from label_studio_backend.prelabel.selection import number_filter
from tests.label_studio_backend.fake_label_studio import Fault
from tests.label_studio_backend.prelabel.projects import CONFIG, VERSION, each

CAPTION = '<Image name="image" value="$image"/><TextArea name="caption" toName="image"/>'


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CONFIG, "brushlabels"),
        (CONFIG.replace("BrushLabels", "BitmaskLabels"), "bitmasklabels"),
        (f"<View>{CAPTION}</View>", "textarea"),  # the whole image
    ],
)
def test_a_project_is_pre_annotated(prelabel, fake, config, kind):
    fake.project["label_config"] = config
    result = prelabel()
    assert result.exit_code == 0, result.output
    assert fake.count(VERSION) == each(1)
    assert "4 tasks pre-annotated as 'nano (pam-labeling" in result.output
    for prediction in fake.predictions.values():
        assert prediction["result"]
        assert {part["type"] for part in prediction["result"]} == {kind}
        assert 0 <= prediction["score"] <= 1


def test_the_same_command_does_nothing_more(prelabel, fake):
    for task in fake.tasks:
        fake.add_prediction(task, VERSION)
    result = prelabel()
    assert result.exit_code == 0
    assert fake.count(VERSION) == each(1)
    assert "4 tasks left out: they have a prediction" in result.output


@pytest.mark.parametrize("done_before", [False, True])
def test_a_project_that_shows_no_predictions_shows_these_and_sorts_by_score(
    prelabel, fake, done_before
):
    for task in fake.tasks if done_before else ():
        fake.add_prediction(task, VERSION)
    result = prelabel()
    assert fake.project["model_version"] == VERSION
    assert "Prediction score" not in result.output


def test_a_project_that_shows_other_predictions_is_left_alone_and_told(prelabel, fake):
    fake.project["model_version"] = "another"
    result = prelabel("--task", "1")
    assert fake.project["model_version"] == "another"
    said = " ".join(result.output.split())
    assert "Prediction score cannot be sorted: the project shows predictions of 'another'" in said


@pytest.mark.parametrize("status", [400, 403])
def test_a_project_that_may_not_be_changed_is_told(prelabel, fake, status):
    fake.faults.append(Fault("PATCH", "/api/projects/1/", status))
    result = prelabel("--task", "1")
    assert result.exit_code == 0
    assert "Prediction score cannot be sorted" in " ".join(result.output.split())


def test_without_a_prediction_the_project_is_not_changed(prelabel, fake):
    fake.tasks.clear()
    prelabel()
    assert fake.project["model_version"] == ""


def test_another_name_is_another_run(prelabel, fake):
    fake.add_prediction(1, VERSION)
    assert prelabel("--model-version", "second", "--task", "1").exit_code == 0
    assert fake.versions(1) == [VERSION, "second (pam-labeling)"]


def test_another_name_does_not_repeat_what_a_first_one_found(prelabel, fake):
    def regions(name, most):
        options = ("--option", "points_per_side=8", "--option", f"max_regions={most}")
        result = prelabel("--task", "1", "--model-version", name, *options)
        assert result.exit_code == 0
        written = list(fake.predictions.values())[-1]
        assert written["model_version"] == f"{name} (pam-labeling)"
        return len({part["id"] for part in written["result"]})

    assert regions("trial-1", 1) == 1
    assert regions("trial-2", 2) == 2


@pytest.mark.parametrize("name", ["trial-1", "trial-1 (pam-labeling)"])
def test_a_chosen_name_goes_on_where_it_was(prelabel, fake, name):
    for task in (1, 2, 4):
        fake.add_prediction(task, "trial-1 (pam-labeling)")
    result = prelabel("--model-version", name)
    assert result.exit_code == 0
    assert fake.count("trial-1 (pam-labeling)") == each(1)
    assert "3 tasks left out: they have a prediction" in result.output


def test_overwriting_replaces(prelabel, fake):
    old = fake.add_prediction(1, VERSION)
    assert prelabel("--overwrite", "--task", "1").exit_code == 0
    assert list(fake.predictions) == [old]
    assert fake.predictions[old]["result"]


def test_regions_of_a_task_become_prompts(prelabel, fake):
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    box = {
        "id": "box", "type": "rectanglelabels", "from_name": "boxes", "to_name": "image",
        "original_width": 256, "original_height": 256, "value": {**value, "rectanglelabels": []},
    }  # fmt: skip
    boxes = '<RectangleLabels name="boxes" toName="image"><Label value="thing"/></RectangleLabels>'
    fake.project["label_config"] = CONFIG.replace("</View>", f"{boxes}</View>")
    fake.tasks[1]["annotations"] = [{"id": 1, "result": [box]}]
    assert prelabel("--task", "1").exit_code == 0
    (prediction,) = fake.predictions.values()
    assert len({part["id"] for part in prediction["result"]}) == 1


@pytest.mark.parametrize(
    ("arguments", "tasks"),
    [
        (("--task", "3", "--task", "2"), [2, 3]),
        (("--filter", "id>3"), [4]),
        (("--only-unlabeled",), [1, 3, 4]),
        (("--only-unlabeled", "--filter", "id<3"), [1]),
        (("--limit", "1"), [1]),
        (("--view", "5"), [4]),
        (("--view", "5", "--only-unlabeled", "--filter", "id<4"), []),
    ],
)
def test_tasks_can_be_chosen(prelabel, fake, arguments, tasks):
    fake.tasks[2]["annotations"] = [{"id": 1, "result": []}]
    filters = {"conjunction": "and", "items": [number_filter("id", "greater", 3)]}
    fake.views[5] = {"id": 5, "project": 1, "data": {"filters": filters}}
    assert prelabel(*arguments).exit_code == 0
    assert [task for task, count in fake.count(VERSION).items() if count] == tasks


def test_a_dry_run_says_what_would_be_done_and_does_nothing(prelabel, fake, monkeypatch):
    monkeypatch.setattr(command, "open_predictor", None)
    fake.add_prediction(2, VERSION)
    result = prelabel("--dry-run", "--limit", "2")
    assert result.exit_code == 0
    assert "has a smart brush, which Label Studio never asks about" in result.output
    assert "project 1, 'Scenes': 4 of 4 tasks chosen" in result.output
    assert "1 task left out: they have a prediction" in result.output
    assert "1 left for later by --limit" in result.output
    assert "2 would be pre-annotated" in result.output
    assert len(fake.predictions) == 1


def test_a_dry_run_is_right_where_listing_would_ask_backends(prelabel, fake):
    fake.project["evaluate_predictions_automatically"] = True
    fake.add_prediction(2, VERSION)
    result = prelabel("--dry-run")
    assert "3 would be pre-annotated" in result.output
    assert fake.evaluated == 0
