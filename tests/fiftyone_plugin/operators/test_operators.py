"""The operators as the App and a worker run them."""

from __future__ import annotations

import re
from contextlib import closing

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from bson import ObjectId
from fiftyone.operators.delegated import DelegatedOperationService
from fiftyone.operators.executor import ExecutionError

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.execution_store import recall, remember, want_stop
from fiftyone_plugin.operators.model_operator import collection_target, progress_of
from fiftyone_plugin.operators.options import CaptionOptions
from fiftyone_plugin.operators.sentences import ended
from fiftyone_plugin.runs.records import list_runs
from tests.fiftyone_plugin.app import (
    FIELD,
    context,
    ended_run_of,
    form_of,
    messages_of,
    notes_of,
    selected,
)
from tests.fiftyone_plugin.conftest import scene

CAPTIONS = "ground_truth.detections.caption"

# In the App


def test_a_run_without_a_form_tells_its_beginning_and_its_end(operator, scene_dataset):
    dataset = scene_dataset(0)
    ctx = context(dataset, {"field": FIELD})
    messages = messages_of(operator("caption_regions").execute(ctx))
    names = [name.rpartition("/")[2] for name, _ in messages]
    assert names == ["notify", "reload_dataset", "reload_samples", "notify"]
    count = len(scene(0).objects)
    done = f"Caption regions: caption of {FIELD}, in English: {count} regions written."
    begun = f"Caption regions: {FIELD}: started."
    assert notes_of(messages) == [("info", begun), ("success", done)]
    dataset.reload()
    assert all(dataset.values(CAPTIONS)[0])


def test_failures_are_told_in_the_app(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.set_values("filepath", ["/nowhere.png"])
    result = operator("caption_regions").execute(context(dataset, {"field": FIELD}))
    *_, (variant, sentence) = notes_of(messages_of(result))
    assert variant == "warning"
    count = len(scene(0).objects)
    assert f"0 regions written, {count} regions failed in 1 image." in sentence
    assert "pam_error" in sentence


def test_a_run_of_a_form_goes_on_when_its_page_is_gone(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    ctx = context(dataset, {"field": FIELD, "more": False})
    with closing(operator("caption_regions").execute(ctx)) as steps:
        name, params = messages_of([next(steps)])[0]
    assert (name.rpartition("/")[2], params["name"]) == ("open_panel", "pam_runs")
    record = ended_run_of(dataset)
    assert (record.state, record.counts.regions) == (
        "finished",
        dataset.count("ground_truth.detections"),
    )


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"keep_masks": "mask_path", "mask_folder": "/proc/x"}, "cannot be written to the folder"),
        ({"keep_masks": "mask_path", "mask_folder": "/dev/null/x"}, "cannot be written"),
        ({"keep_masks": "mask_path", "mask_folder": __file__}, "cannot be written"),
        ({"keep_masks": "mask_path", "mask_folder": "/a" + "b" * 300}, "cannot be written"),
        ({"keep_masks": "mask_path", "mask_folder": "/tmp/a\0b"}, "cannot be written"),
        ({"device": "cuda:99"}, "device cuda:99 cannot be used"),
        ({"model": "/nowhere/pam"}, "no such folder"),
    ],
)
def test_what_this_machine_cannot_do_is_told_before_the_model_is_loaded(
    operator, scene_dataset, monkeypatch, params, sentence
):
    def load(settings):
        raise AssertionError("it was loaded")

    monkeypatch.setattr("fiftyone_plugin.models._load", load)
    dataset = scene_dataset(0)
    ctx = context(dataset, {"field": FIELD, "more": True, **params})
    ((variant, said),) = notes_of(messages_of(operator("caption_regions").execute(ctx)))
    assert variant == "warning"
    assert sentence in said
    options = {"mask" if name == "keep_masks" else name: value for name, value in params.items()}
    with pytest.raises(PluginError, match=re.escape(sentence)):
        operator("caption_regions")(dataset, field=FIELD, **options)
    assert list_runs(dataset) == []


def test_a_run_can_be_stopped(operator, scene_dataset, monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)
    dataset = scene_dataset(0, 1, 2)
    with pytest.raises(PluginError, match="has no run 'none'"):
        operator("stop_run")(dataset, "none")
    options = CaptionOptions(field=FIELD)
    caption = operator("caption_regions")
    for progress in progress_of(caption.plan(options, collection_target(dataset, options))):
        if progress.done:
            properties, refusals = form_of(operator("stop_run"), dataset, {"key": progress.key})
            assert refusals == []
            assert (
                properties["key"]
                .view.choices[0]
                .label.startswith("Caption regions: caption of ground_truth, in English, ")
            )
            operator("stop_run").execute(context(dataset, {"key": progress.key}))
    (record,) = list_runs(dataset)
    assert record.state == "interrupted"
    assert 0 < record.counts.regions < dataset.count("ground_truth.detections")
    assert ended(record).endswith(f": stopped, {record.counts.regions} regions written.")
    with pytest.raises(PluginError, match="there is nothing to stop"):
        operator("stop_run")(dataset, record.key)
    _, refusals = form_of(operator("stop_run"), dataset)
    assert refusals == ["No run is going on here: there is nothing to stop."]


def test_a_wish_to_stop_is_for_one_run(operator, scene_dataset):
    dataset = scene_dataset(0)
    want_stop(dataset, "another_run")
    assert operator("caption_regions")(dataset, field=FIELD)["state"] == "finished"


def test_buttons_are_placed_in_grid_and_sample(operator, scene_dataset):
    ctx = context(scene_dataset(0))
    assert operator("find_regions").resolve_placement(ctx) is None
    grid = operator("caption_regions").resolve_placement(ctx).to_json()
    assert grid["place"] == "samples-grid-secondary-actions"
    assert grid["view"]["prompt"] is True
    modal = operator("caption_selected").resolve_placement(ctx).to_json()
    assert modal["place"] == "samples-viewer-actions"
    assert modal["view"]["prompt"] is False
    assert modal["view"]["label"] == "Caption the selected labels"


def test_one_click_captions_the_selected_labels_with_the_last_settings(operator, scene_dataset):
    dataset = scene_dataset(0)
    last = {"field": "other", "brief": "text", "only": "missing"}
    remember(context(dataset), "caption_regions", last)
    sample = dataset.first()
    chosen = sample.ground_truth.detections[1]
    ctx = context(dataset, selected_labels=selected(sample, chosen))
    caption = operator("caption_selected")
    assert caption.resolve_input(ctx) is None
    messages = messages_of(caption.execute(ctx))
    dataset.reload()
    said = dataset.first().ground_truth.detections[1].text
    done = "Caption regions: text of ground_truth, in English: 1 region written."
    assert notes_of(messages)[-1] == ("success", f'{done} "{said}"')
    assert any(name.endswith("reload_samples") for name, _ in messages)
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
    remember(context(dataset), "caption_regions", last)
    sample = dataset.first()
    sample[field] = label
    sample.save()
    (single,) = label[label._LABEL_LIST_FIELD]
    chosen = [{"label_id": single.id, "sample_id": sample.id, "field": field}]
    caption = operator("caption_selected")
    notes = notes_of(messages_of(caption.execute(context(dataset, selected_labels=chosen))))
    assert all(sentence in notes[-1][1] for sentence in sentences)
    assert list_runs(dataset)[0].state == "finished"
    assert recall(context(dataset), "caption_regions") == last


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
    assert rows[0]["run"] == "Caption regions: two of ground_truth, in Chinese (nano)"
    assert rows[0]["began"].endswith(" UTC")
    count = len(scene(0).objects)
    assert rows[0]["outcome"] == f"{count} regions written"
    shown = listing.resolve_output(context(dataset, results={"runs": rows})).type.properties["runs"]
    assert [column.key for column in shown.view.columns] == ["run", "began", "outcome"]

    compare = operator("compare_runs")
    properties, _ = form_of(compare, dataset)
    assert (properties["first"].default, properties["second"].default) == (
        first["key"],
        second["key"],
    )
    ctx = context(dataset, {"first": first["key"], "second": second["key"]})
    found = compare(dataset, first["key"], second["key"])
    shown = compare.execute(ctx)
    assert ctx.executor.to_json()["requests"] == []  # the view that is shown stays
    assert shown["summary"] == f"{count} regions in both runs; {count} differ; {count} shown."
    assert len(shown["rows"]) == count
    label = dataset.first().ground_truth.detections[0].label
    assert shown["rows"][0]["region"] == f"{label} in scene-0.png"
    assert shown["rows"][0]["first"] == found["rows"][0]["first"]["one"]
    assert (
        properties["first"]
        .view.choices[1]
        .label.startswith("Caption regions: one of ground_truth, in English, ")
    )
    assert shown["second"] == "Caption regions: two of ground_truth, in Chinese (nano)"
    ctx.request_params["results"] = shown
    properties = compare.resolve_output(ctx).type.properties
    assert set(properties) == {"note", "rows"}
    assert [column.key for column in properties["rows"].view.columns] == [
        "region",
        "first",
        "second",
    ]

    undo = operator("undo_run")
    properties, _ = form_of(undo, dataset, {"key": second["key"]})
    assert properties["key"].type.values == [second["key"], first["key"]]
    messages = messages_of(undo.execute(context(dataset, {"key": second["key"]})))
    done = "Caption regions: two of ground_truth, in Chinese is undone: "
    assert notes_of(messages)[0][1].startswith(done)
    undone = undo.execute(context(dataset, {"key": first["key"]}, delegated=True))
    assert undone["state"] == "undone"
    dataset.reload()
    assert dataset.get_field("ground_truth.detections.one") is None
    assert form_of(undo, dataset)[1] == ["There is no run here that can be undone."]


def test_a_run_is_needed(operator, scene_dataset):
    with pytest.raises(PluginError, match="The parameter key is missing"):
        operator("undo_run").execute(context(scene_dataset(0)))


def test_one_run_cannot_be_compared(operator, scene_dataset):
    dataset = scene_dataset(0)
    operator("caption_regions")(dataset, field=FIELD)
    _, refusals = form_of(operator("compare_runs"), dataset)
    assert refusals[0].startswith("Two runs that wrote on regions are needed")
