"""Runs that make a field: they go on where they stopped, and touch no field of another's."""

from __future__ import annotations

import fiftyone as fo
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.model_operator import collection_target, progress_of
from fiftyone_plugin.operators.options import FindOptions, SegmentOptions
from fiftyone_plugin.runs.records import list_runs
from tests.fiftyone_plugin.boxes import state
from tests.fiftyone_plugin.conftest import documents, scene

FIELD = "ground_truth"
LABELS = "ground_truth.detections"


@pytest.fixture(autouse=True)
def each_report(monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)


def stop_early(operator, collection, options):
    """Begin a run, and leave it after its first image."""
    steps = progress_of(operator.plan(options, collection_target(collection, options)))
    for progress in steps:
        if progress.done:
            break
    steps.close()


def undo_all(operator, dataset):
    """Undoes all runs: the newest that wrote anything first, and last those that wrote nothing."""
    runs = list_runs(dataset)
    wrote = [run for run in reversed(runs) if run.counts.added]
    for key in [run.key for run in (*wrote, *(run for run in runs if run not in wrote))]:
        assert operator("undo_run")(dataset, key)["undone"]["kept"] == 0
    dataset.reload()


@pytest.fixture
def video(video_dataset):
    return video_dataset()


def test_finding_regions_goes_on_where_it_stopped_and_both_are_undone(operator, scene_dataset):
    dataset = scene_dataset(0, 1, 2)
    before = state(dataset)
    find = operator("find_regions")
    stop_early(find, dataset, FindOptions(field="found", points_per_side=6))
    done = dataset.count("found")
    assert 0 < done < 3
    kept = dataset.exists("found").values("found.detections.id")
    options = {"field": "found", "points_per_side": 6}
    with pytest.raises(PluginError, match='continue it \\(only="missing"\\)'):
        find(dataset, **options)
    record = find(dataset, **options, only="missing")
    assert (record["state"], record["counts"]["samples"]) == ("finished", 3 - done)
    assert dataset.count("found") == 3
    assert dataset.select(dataset.values("id")[:done]).values("found.detections.id") == kept
    assert find(dataset, **options, only="missing")["counts"]["added"] == 0
    assert len(list_runs(dataset)) == 3
    undo_all(operator, dataset)
    assert state(dataset) == before


def test_segmenting_into_a_new_field_goes_on_where_it_stopped(operator, scene_dataset):
    dataset = scene_dataset(0, 1, 2)
    before = state(dataset)
    segment = operator("segment_regions")
    stop_early(segment, dataset, SegmentOptions(field=FIELD, new_field="regions"))
    done = dataset.count("regions.detections")
    total = dataset.count(LABELS)
    assert 0 < done < total
    record = segment(dataset, field=FIELD, new_field="regions", only="missing")
    assert record["counts"]["added"] == total - done
    assert dataset.values("regions.detections.prompt_id") == dataset.values(f"{LABELS}.id")
    undo_all(operator, dataset)
    assert state(dataset) == before


def test_what_failed_of_an_image_is_segmented_by_the_next_run_alone(operator, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    segment = operator("segment_regions")
    first = dataset.first().ground_truth.detections[0].id
    segment(dataset.select_labels(ids=[first]), field=FIELD, new_field="regions")
    record = segment(dataset, field=FIELD, new_field="regions", only="missing")
    assert record["counts"]["added"] == dataset.count(LABELS) - 1
    found = dataset.values("regions.detections.prompt_id", unwind=True)
    assert sorted(found) == sorted(dataset.values(f"{LABELS}.id", unwind=True))


def test_a_field_of_somebody_else_is_never_gone_on_with(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.clone_sample_field(FIELD, "other")
    stop_early(
        operator("segment_regions"), dataset, SegmentOptions(field="other", new_field="regions")
    )
    with pytest.raises(PluginError, match="already has a field 'other': choose another name"):
        operator("find_regions")(dataset, field="other", only="missing")
    with pytest.raises(PluginError, match="already has a field 'regions': choose another"):
        operator("find_regions")(dataset, field="regions", only="missing")
    with pytest.raises(PluginError, match="already has a field 'regions': choose another"):
        operator("segment_regions")(dataset, field=FIELD, new_field="regions", only="missing")


def test_a_field_that_a_run_is_writing_is_waited_for(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    find = operator("find_regions")
    options = FindOptions(field="found", points_per_side=6)
    steps = progress_of(find.plan(options, collection_target(dataset, options)))
    assert [next(steps) for _ in range(2)]
    with pytest.raises(PluginError, match="is writing there: wait, or stop it"):
        find(dataset, field="found", only="missing")
    steps.close()


def test_a_field_of_frames_is_not_appended_to(operator, video):
    video.clone_frame_field("boxes", "mine")
    for name in ("mine", "frames.mine"):
        with pytest.raises(PluginError, match="already has a field 'frames.mine'"):
            operator("segment_regions")(video, field="frames.boxes", new_field=name)
    assert video.count("frames.mine.detections") == 4


def test_new_detections_of_frames_go_on_too(operator, video):
    segment = operator("segment_regions")
    first = video.values("frames.boxes.detections.id", unwind=True)[0]
    view = video.select_labels(ids=[first], fields="frames.boxes")
    segment(view, field="frames.boxes", new_field="regions")
    record = segment(video, field="frames.boxes", new_field="regions", only="missing")
    assert record["counts"]["added"] == 3


def test_new_detections_know_what_they_were_made_from(operator, new_dataset, images):
    dataset = new_dataset()
    mask = scene(0).objects[0].mask.astype("uint8") * 7
    line = fo.Polyline(points=[[(0.2, 0.2), (0.8, 0.2), (0.8, 0.8)]], filled=True, note="mine")
    dataset.add_sample(
        fo.Sample(
            filepath=str(images(0)),
            seg=fo.Segmentation(mask=mask),
            lines=fo.Polylines(polylines=[line]),
        ),
        dynamic=True,
    )
    segment = operator("segment_regions")
    segment(dataset, field="lines", new_field="from_lines")
    segment(dataset, field="seg", new_field="from_seg")
    sample = dataset.first()
    (found,) = sample.from_lines.detections
    assert (found.prompt_id, found.note) == (line.id, "mine")
    assert [one.prompt_id for one in sample.from_seg.detections] == [f"{sample.seg.id}:7"]
    assert "made from" in dataset.get_field("from_lines.detections.prompt_id").description
    again = segment(dataset, field="seg", new_field="from_seg", only="missing")
    assert again["counts"]["added"] == 0


def test_everything_is_found_in_the_frames_of_a_view(operator, video):
    find = operator("find_regions")
    frames = video.to_frames()
    record = find(frames.limit(1), field="found", points_per_side=6, max_regions=2)
    assert (record["field"], record["counts"]["samples"]) == ("frames.found", 1)
    assert len(video.first().frames[1].found.detections) == 2
    frames.reload()
    assert frames.count("found.detections") == 2
    record = find(frames, field="found", points_per_side=6, max_regions=2, only="missing")
    assert record["counts"]["samples"] == 1
    for run in reversed(list_runs(video)):
        operator("undo_run")(video, run.key)
    assert video.get_field("frames.found") is None


@pytest.mark.parametrize("name", ["source", "file", "region", "label_ids"])
def test_answers_may_be_called_what_the_program_calls_something_else(operator, scene_dataset, name):
    dataset = scene_dataset(0)
    options = {"points_per_side": 6, "max_regions": 1}
    operator("find_regions")(dataset, field="found", brief=name, **options)
    assert dataset.first().found.detections[0][name]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"brief": "self"}, "'self' means something else to Python"),
        ({"brief": "reviewed"}, "'reviewed' is for the verdicts"),
        ({"brief": "a b"}, "cannot name an attribute"),
    ],
)
def test_names_that_would_spoil_the_dataset_begin_no_run(
    operator, scene_dataset, options, sentence
):
    dataset = scene_dataset(0)
    with pytest.raises(PluginError, match=sentence):
        operator("caption_regions")(dataset, field=FIELD, **options)
    with pytest.raises(PluginError, match=sentence):
        operator("find_regions")(dataset, field="found", **options)
    assert list_runs(dataset) == []


def test_a_read_only_field_begins_no_run(operator, scene_dataset):
    dataset = scene_dataset(0)
    field = dataset.get_field(FIELD)
    field.read_only = True
    field.save()
    for name in ("caption_regions", "segment_regions"):
        with pytest.raises(PluginError, match="'ground_truth', which .* is in, is read-only"):
            operator(name)(dataset, field=FIELD)
    assert list_runs(dataset) == []


@pytest.mark.parametrize("field", ["ground-truth", "my boxes", "größe", "class", "1st"])
def test_fields_with_any_name_that_fiftyone_allows_are_captioned(operator, scene_dataset, field):
    dataset = scene_dataset(0, masks=False)
    dataset.rename_sample_field(FIELD, field)
    before = documents(dataset)
    record = operator("caption_regions")(dataset, field=field)
    texts = dataset.values(f"{field}.detections.caption")[0]
    assert all(texts)
    lines = dataset.values(f"{field}_captions")[0]
    assert [line.partition(": ")[2] for line in lines] == texts
    assert not dataset.has_field("pam_error")
    operator("undo_run")(dataset, record["key"])
    assert documents(dataset) == before


def test_a_new_field_may_have_a_hyphen(operator, scene_dataset):
    dataset = scene_dataset(0)
    operator("segment_regions")(dataset, field=FIELD, new_field="yolo-preds")
    assert dataset.count("yolo-preds.detections") == dataset.count(LABELS)


def test_a_field_of_ones_own_where_the_lines_would_go_is_named(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.add_sample_field("ground_truth_captions", fo.StringField)
    with pytest.raises(PluginError, match=r"'ground_truth_captions' .* \(summary=False\)"):
        operator("caption_regions")(dataset, field=FIELD)
    operator("caption_regions")(dataset, field=FIELD, summary=False)
    assert dataset.values("ground_truth_captions") == [None]
