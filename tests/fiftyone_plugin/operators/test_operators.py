"""The operators as the App and a worker run them."""

from __future__ import annotations

from contextlib import closing

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.execution_store import recall, remember, want_stop
from fiftyone_plugin.runs.records import list_runs
from tests.fiftyone_plugin.app import FIELD, context, form_of, messages_of, notes_of, selected
from tests.fiftyone_plugin.conftest import scene

CAPTIONS = "ground_truth.detections.caption"

# In the App


def test_a_run_in_the_app_tells_its_progress_and_its_end(operator, scene_dataset):
    dataset = scene_dataset(0)
    ctx = context(dataset, {"field": FIELD})
    messages = messages_of(operator("caption_regions").execute(ctx))
    assert messages[0][0].endswith("set_progress")
    assert messages[-2][0].endswith("reload_dataset")
    (record,) = list_runs(dataset)
    count = len(scene(0).objects)
    sentence = f"caption_regions: {count} regions written. Undo it as {record.key}."
    assert notes_of(messages) == [("success", sentence)]
    dataset.reload()
    assert all(dataset.values(CAPTIONS)[0])


def test_failures_are_told_in_the_app(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.set_values("filepath", ["/nowhere.png"])
    result = operator("caption_regions").execute(context(dataset, {"field": FIELD}))
    ((variant, sentence),) = notes_of(messages_of(result))
    assert variant == "warning"
    assert "; 1 samples with a reason in pam_error" in sentence


def test_a_run_that_the_app_leaves_is_interrupted(operator, scene_dataset, monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)
    dataset = scene_dataset(0, 1)
    with closing(operator("caption_regions").execute(context(dataset, {"field": FIELD}))) as steps:
        next(steps)
        next(steps)
    assert list_runs(dataset)[0].state == "interrupted"


def test_a_run_can_be_stopped(operator, scene_dataset, monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)
    dataset = scene_dataset(0, 1, 2)
    with pytest.raises(PluginError, match="has no run 'none'"):
        operator("stop_run")(dataset, "none")
    messages = []
    for message in operator("caption_regions").execute(context(dataset, {"field": FIELD})):
        messages.append(message)
        runs = list_runs(dataset)
        if len(messages) == 3:
            _, refusals = form_of(operator("stop_run"), dataset, {"key": runs[0].key})
            assert refusals == []
            stop = context(dataset, {"key": runs[0].key})
            operator("stop_run").execute(stop)
    (record,) = list_runs(dataset)
    assert record.state == "interrupted"
    assert 0 < record.counts.regions < dataset.count("ground_truth.detections")
    ((_, sentence),) = notes_of(messages_of(messages))
    assert "then stopped" in sentence
    with pytest.raises(PluginError, match="there is nothing to stop"):
        operator("stop_run")(dataset, record.key)
    _, refusals = form_of(operator("stop_run"), dataset)
    assert refusals == ["The dataset has no run for this yet."]


def test_a_wish_to_stop_is_for_one_run(operator, scene_dataset):
    dataset = scene_dataset(0)
    want_stop(dataset, "another_run")
    assert operator("caption_regions")(dataset, field=FIELD)["state"] == "finished"


def test_buttons_are_placed_in_grid_and_sample(operator, scene_dataset):
    ctx = context(scene_dataset(0))
    grid = operator("caption_regions").resolve_placement(ctx).to_json()
    assert grid["place"] == "samples-grid-secondary-actions"
    assert grid["view"]["prompt"] is True
    modal = operator("caption_selected").resolve_placement(ctx).to_json()
    assert modal["place"] == "samples-viewer-actions"
    assert modal["view"]["prompt"] is False
    assert modal["view"]["label"] == "Caption the selected labels"


def test_one_click_captions_the_selected_labels_with_the_last_settings(operator, scene_dataset):
    dataset = scene_dataset(0)
    remember(dataset, "caption_regions", {"field": "other", "brief": "text", "only": "missing"})
    sample = dataset.first()
    chosen = sample.ground_truth.detections[1]
    ctx = context(dataset, selected_labels=selected(sample, chosen))
    caption = operator("caption_selected")
    assert caption.resolve_input(ctx) is None
    assert notes_of(messages_of(caption.execute(ctx)))[0][0] == "success"
    dataset.reload()
    texts = dataset.values("ground_truth.detections.text")[0]
    assert [text is not None for text in texts] == [n == 1 for n in range(len(texts))]


@pytest.mark.parametrize(
    ("field", "label", "sentences"),
    [
        (
            "lines",
            fo.Polylines(
                polylines=[fo.Polyline(points=[[(0.1, 0.1), (0.8, 0.1), (0.8, 0.8)]], filled=True)]
            ),
            ["No masks were kept: Polylines have none."],
        ),
        (
            "points",
            fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.5, 0.5)])]),
            ["No masks were kept: Keypoints", "No score was written: Keypoints have no single"],
        ),
    ],
)
def test_one_click_drops_what_labels_of_the_type_cannot_have(
    operator, scene_dataset, field, label, sentences
):
    dataset = scene_dataset(0)
    last = {"field": FIELD, "brief": "text", "mask": "instance", "score": "confidence"}
    remember(dataset, "caption_regions", last)
    sample = dataset.first()
    sample[field] = label
    sample.save()
    (single,) = label[label._LABEL_LIST_FIELD]
    chosen = [{"label_id": single.id, "sample_id": sample.id, "field": field}]
    caption = operator("caption_selected")
    notes = notes_of(messages_of(caption.execute(context(dataset, selected_labels=chosen))))
    assert all(sentence in notes[0][1] for sentence in sentences)
    assert list_runs(dataset)[0].state == "finished"
    assert recall(dataset, "caption_regions") == last


def test_one_click_without_a_label_says_what_to_do(operator, scene_dataset):
    ctx = context(scene_dataset(0))
    ((variant, sentence),) = notes_of(messages_of(operator("caption_selected").execute(ctx)))
    assert variant == "warning"
    assert sentence.startswith("No label is selected")


def test_one_click_on_two_fields_says_what_to_do(operator, scene_dataset):
    labels = [{"label_id": "1", "sample_id": "2", "field": name} for name in ("a", "b")]
    ctx = context(scene_dataset(0), selected_labels=labels)
    ((_, sentence),) = notes_of(messages_of(operator("caption_selected").execute(ctx)))
    assert sentence == "Labels of a and b are selected: select labels of one field only."


# Through FiftyOne's executor, and in a worker


def test_it_runs_through_the_executor(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    uri = operator("caption_regions").uri
    foo.execute_operator(uri, {"view": dataset.limit(1)}, params={"field": FIELD, "brief": "text"})
    dataset.reload()
    first, second = dataset.values("ground_truth.detections.text")
    assert all(first)
    assert not any(second or ())


def test_the_executor_refuses_what_the_form_refuses(operator, scene_dataset):
    dataset = scene_dataset(0)
    with pytest.raises(ExecutionError):
        foo.execute_operator(
            operator("caption_regions").uri, {"dataset": dataset}, params={"field": "x"}
        )
    assert list_runs(dataset) == []


def executed(dataset):
    service = DelegatedOperationService()
    service.execute_queued_operations(dataset_name=dataset.name)
    return service


def test_a_delegated_run_is_done_by_a_worker_and_its_result_kept(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    view = dataset.filter_labels(FIELD, fo.ViewField("label") == "circle")
    queued = operator("caption_regions")(view, field=FIELD, brief="text", delegate=True)
    assert list_runs(dataset) == []
    service = executed(dataset)
    operation = service.get(ObjectId(queued["id"]))
    assert operation.run_state == "completed", operation.result.error
    assert operation.status.progress is not None
    dataset.reload()
    (record,) = list_runs(dataset)
    assert operation.result.result["key"] == record.key
    assert record.counts.regions == view.count("ground_truth.detections")


def test_a_delegated_run_that_cannot_be_done_any_more_fails_with_its_sentence(
    operator, scene_dataset
):
    dataset = scene_dataset(0)
    queued = operator("label_regions")(dataset, field=FIELD, classes=["circle"], delegate=True)
    dataset.delete_sample_field(FIELD)
    service = executed(dataset)
    operation = service.get(ObjectId(queued["id"]))
    assert operation.run_state == "failed"
    assert list_runs(dataset) == []


@pytest.mark.parametrize(
    ("name", "options", "paths"),
    [
        (
            "caption_regions",
            {"brief": None, "detailed": "story", "summary": False},
            ["story", "pam_object"],
        ),
        ("label_regions", {"score": None, "open_label": None}, ["pam_label", "pam_object"]),
        (
            "find_regions",
            {"field": "new", "label": None, "score": None, "brief": "c", "points_per_side": 4},
            ["", "c", "pam_object", "mask", "mask_path", "bounding_box"],
        ),
    ],
)
def test_none_stays_none_in_a_worker(operator, scene_dataset, name, options, paths):
    dataset = scene_dataset(1)
    options = {"field": FIELD, **options}
    operator(name)(dataset, **options, delegate=True)
    executed(dataset)
    root = f"{options['field']}.detections"
    (record,) = list_runs(dataset)
    assert list(record.paths) == [f"{root}.{path}".rstrip(".") for path in paths]


# Runs


def test_runs_are_listed_undone_and_compared_in_the_app(operator, scene_dataset):
    dataset = scene_dataset(0)
    listing = operator("list_runs")
    ctx = context(dataset, results={})
    assert "none" in listing.resolve_output(ctx).type.properties
    caption = operator("caption_regions")
    first = caption(dataset, field=FIELD, brief="one")
    second = caption(dataset, field=FIELD, brief="two", language="zh")
    rows = listing.execute(context(dataset))["runs"]
    assert [row["key"] for row in rows] == [second["key"], first["key"]]
    assert (
        "runs" in listing.resolve_output(context(dataset, results={"runs": rows})).type.properties
    )

    compare = operator("compare_runs")
    properties, _ = form_of(compare, dataset)
    assert (properties["first"].default, properties["second"].default) == (
        first["key"],
        second["key"],
    )
    ctx = context(dataset, {"first": first["key"], "second": second["key"]})
    shown = compare.execute(ctx)
    count = len(scene(0).objects)
    assert (
        shown["summary"] == f"{count} regions have both; {count} of them differ; {count} are shown."
    )
    assert len(shown["rows"]) == count
    assert set(shown["rows"][0]) == {"first", "second", "label_id", "sample_id"}
    ctx.request_params["results"] = shown
    assert set(compare.resolve_output(ctx).type.properties) == {"note", "rows"}

    undo = operator("undo_run")
    properties, _ = form_of(undo, dataset, {"key": second["key"]})
    assert properties["key"].type.values == [second["key"], first["key"]]
    messages = messages_of(undo.execute(context(dataset, {"key": second["key"]})))
    assert notes_of(messages)[0][1].startswith(f"{second['key']} is undone: ")
    undone = undo.execute(context(dataset, {"key": first["key"]}, delegated=True))
    assert undone["state"] == "undone"
    dataset.reload()
    assert dataset.get_field("ground_truth.detections.one") is None
    assert form_of(undo, dataset)[1] == ["The dataset has no run for this yet."]


def test_a_run_is_needed(operator, scene_dataset):
    with pytest.raises(PluginError, match="The parameter key is missing"):
        operator("undo_run").execute(context(scene_dataset(0)))


def test_one_run_cannot_be_compared(operator, scene_dataset):
    dataset = scene_dataset(0)
    operator("caption_regions")(dataset, field=FIELD)
    _, refusals = form_of(operator("compare_runs"), dataset)
    assert "The dataset has no run for this yet." in refusals
