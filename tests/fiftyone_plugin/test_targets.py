"""What a run works on, in a real database."""

from __future__ import annotations

import re
import tempfile
from collections import Counter
from types import SimpleNamespace

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone import ViewField as F
from PIL import ExifTags, Image

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.gaps import Gaps, Part
from fiftyone_plugin.labels import LabelRegion, UnusableLabel
from fiftyone_plugin.listing import Listing
from fiftyone_plugin.targets import Counts, resolve, resolve_context, selected_fields
from fiftyone_plugin.views import label_fields
from pam_labeling import Request, read_picture
from tests.fiftyone_plugin.conftest import ground_truth, scene

SIZE = (100, 80)
BOX = [0.1, 0.1, 0.5, 0.5]


def works_of(target, size=32):
    return [work for chunk in target.chunks(size) for work in chunk]


def label_ids(target):
    return Counter(label_id for work in works_of(target) for label_id in work.label_ids)


def gaps(only, *names):
    return Gaps(only, tuple(Part((name,), (name,)) for name in names or ("caption",)))


def detections(*labels):
    return fo.Detections(detections=[fo.Detection(label=name, bounding_box=BOX) for name in labels])


@pytest.fixture
def dataset(new_dataset):
    """Three samples with the labels a and b in `det`; no picture is opened here."""
    dataset = new_dataset()
    dataset.add_samples(
        [fo.Sample(filepath=f"/pictures/{n}.png", det=detections("a", "b")) for n in range(3)]
    )
    return dataset


@pytest.fixture
def groups(new_dataset):
    """Two groups with the slices left and right (pictures) and cloud, with a and b in each."""
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    for number in range(2):
        group = fo.Group()
        for name, suffix in (("left", "png"), ("right", "png"), ("cloud", "pcd")):
            path = f"/pictures/{name}-{number}.{suffix}"
            element = group.element(name)
            dataset.add_sample(fo.Sample(filepath=path, group=element, det=detections("a", "b")))
    return dataset


@pytest.fixture
def videos(new_dataset):
    """Two videos of two frames with pictures, with a and b in `frames.det`."""
    dataset = new_dataset()
    for number in range(2):
        sample = fo.Sample(filepath=f"/videos/{number}.mp4", whole=fo.Classification(label="x"))
        for frame_number in (1, 2):
            path = f"/videos/{number}-{frame_number}.png"
            sample.frames[frame_number] = fo.Frame(filepath=path, det=detections("a", "b"))
        dataset.add_sample(sample)
    return dataset


def context(dataset, view=None, *, selected=(), selected_labels=(), group_slice=None):
    """What an operator's execution context has of these."""
    return SimpleNamespace(
        dataset=dataset,
        view=dataset.view() if view is None else view,
        selected=list(selected),
        selected_labels=list(selected_labels),
        group_slice=group_slice,
    )


def selection(view, field, *labels):
    """The App's selection of some labels."""
    return view.filter_labels(field, F("label").is_in(labels))._get_selected_labels(fields=field)


def test_all_labels_of_a_dataset_are_worked_on_in_its_order(scene_dataset):
    dataset = scene_dataset(0, 1, 2)
    target = resolve(dataset, field="ground_truth")
    works = works_of(target, 2)
    assert [work.sample_id for work in works] == dataset.values("id")
    assert [work.filepath for work in works] == dataset.values("filepath")
    assert target.path == "ground_truth.detections"
    for work, sample in zip(works, dataset, strict=True):
        found = work.regions((512, 512))
        assert all(isinstance(region, LabelRegion) for region in found)
        assert [region.label_id for region in found] == [
            d.id for d in sample.ground_truth.detections
        ]


def test_chunks_have_at_most_the_size_asked_for(dataset):
    target = resolve(dataset, field="det")
    assert [len(chunk) for chunk in target.chunks(2)] == [2, 1]


def test_labels_come_with_all_their_attributes(dataset):
    sample = dataset.first()
    sample.det.detections[0]["note"] = "mine"
    sample.det.detections[0].tags.append("checked")
    sample.save()
    label = works_of(resolve(dataset, field="det"))[0].label.detections[0]
    assert (label.note, label.tags, label.label) == ("mine", ["checked"], "a")


def test_counting_is_what_is_worked_on(dataset):
    dataset.add_sample(fo.Sample(filepath="/pictures/none.png"))
    dataset.add_sample(fo.Sample(filepath="/pictures/empty.png", det=fo.Detections()))
    target = resolve(dataset, field="det")
    assert target.count() == Counts(3, 6)
    assert len(works_of(target)) == 3


def test_nothing_to_do_counts_nothing(dataset):
    target = resolve(dataset.match(F("det.detections").length() > 5), field="det")
    assert target.count() == Counts(0, 0)
    assert works_of(target) == []


def test_whole_pictures_are_all_samples(dataset):
    dataset.add_sample(fo.Sample(filepath="/pictures/none.png"))
    target = resolve(dataset.skip(1), field=None)
    assert target.count() == Counts(3, 0)
    works = works_of(target)
    assert [work.sample_id for work in works] == dataset.skip(1).values("id")
    assert works[0].regions(SIZE) == []


@pytest.mark.parametrize(
    "stages",
    [
        lambda view: view.filter_labels("det", F("label") == "a"),
        lambda view: view.match_labels(filter=F("label") == "a").select_fields("det"),
        lambda view: view.sort_by("filepath", reverse=True).limit(2),
        lambda view: view.shuffle(seed=3),
        lambda view: view.select_labels(fields="det", ids=view.values("det.detections.id")[1]),
        lambda view: view.exists("det").skip(1),
    ],
)
def test_a_view_gives_exactly_the_labels_that_it_shows(dataset, stages):
    view = stages(dataset.view())
    target = resolve(view, field="det")
    assert [work.sample_id for work in works_of(target)] == view.values("id")
    assert label_ids(target) == Counter(view.values("det.detections.id", unwind=True))
    assert target.count() == Counts(len(view), view.count("det.detections"))


def test_what_a_run_writes_moves_nothing_out_of_its_view(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    view = dataset.filter_labels("det", ~F("caption").exists())
    target = resolve(view, field="det")
    done = 0
    for chunk in target.chunks(1):
        for work in chunk:
            values = [work.address(label_id, "done") for label_id in work.label_ids]
            dataset.set_label_values("det.detections.caption", values)
            done += len(values)
    assert done == 6
    assert target.count() == Counts(0, 0)


def test_samples_deleted_meanwhile_are_left_out(dataset):
    chunks = resolve(dataset, field="det").chunks(1)
    first = next(chunks)
    dataset.delete_samples(dataset.skip(1).limit(1))
    assert [work.sample_id for work in first] + [
        work.sample_id for chunk in chunks for work in chunk
    ] == dataset.values("id")


def test_only_labels_where_an_attribute_is_missing_or_empty(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    ids = dataset.values("det.detections.id", unwind=True)
    dataset.set_label_values(
        "det.detections.caption", {ids[0]: "a cat", ids[1]: "", ids[2]: " \n", ids[3]: None}
    )
    missing = resolve(dataset, field="det", gaps=gaps("missing"))
    empty = resolve(dataset, field="det", gaps=gaps("empty"))
    assert set(label_ids(missing)) == set(ids[3:])
    assert set(label_ids(empty)) == set(ids[1:])
    assert missing.count() == Counts(2, 3)
    assert empty.count() == Counts(3, 5)
    every = resolve(dataset, field="det", gaps=gaps("all"))
    assert set(label_ids(every)) == set(ids)


def test_a_label_with_one_open_attribute_is_a_prompt_for_that_attribute_alone(dataset):
    for name, kind in (("caption", fo.StringField), ("score", fo.FloatField)):
        dataset.add_sample_field(f"det.detections.{name}", kind)
    ids = dataset.values("det.detections.id", unwind=True)
    dataset.set_label_values("det.detections.caption", dict.fromkeys(ids[:4], "x"))
    dataset.set_label_values("det.detections.score", dict.fromkeys(ids[:2], 0.5))
    for only in ("missing", "empty"):
        target = resolve(dataset, field="det", gaps=gaps(only, "caption", "score"))
        assert set(label_ids(target)) == set(ids[2:])
        open_names = {
            region.label_id: set(work.writable(region))
            for work in works_of(target)
            for region in work.regions(SIZE)
        }
        assert open_names == {
            label: {"score"} if label in ids[:4] else {"caption", "score"} for label in ids[2:]
        }


def test_patches_are_labels_of_their_samples(dataset):
    view = dataset.to_patches("det").match(F("det.label") == "b")
    target = resolve(view, field="det")
    assert target.count() == Counts(3, 3)
    works = works_of(target)
    assert [work.sample_id for work in works] == dataset.values("id")
    assert label_ids(target) == Counter(view.values("det.id"))
    assert (target.dataset, target.path) == (dataset, "det.detections")


def test_patches_of_one_picture_are_one_piece_of_work(dataset):
    works = works_of(resolve(dataset.to_patches("det"), field="det"))
    assert [len(work.regions(SIZE)) for work in works] == [2, 2, 2]


def test_a_patches_view_shows_what_was_written_once_refreshed(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    view = dataset.to_patches("det")
    target = resolve(view, field="det")
    work = works_of(target)[0]
    values = [work.address(label_id, "seen") for label_id in work.label_ids]
    dataset.set_label_values("det.detections.caption", values)
    target.refresh()
    assert view.count_values("det.caption") == {"seen": 2, None: 4}


def test_refreshing_an_ordinary_view_changes_nothing(dataset):
    view = dataset.limit(1)
    resolve(view, field="det").refresh()
    assert view.values("id") == dataset.limit(1).values("id")


def test_evaluation_patches_are_labels_of_the_chosen_field(dataset):
    dataset.clone_sample_field("det", "predicted")
    dataset.evaluate_detections("predicted", gt_field="det", eval_key="eval")
    view = dataset.to_evaluation_patches("eval")
    target = resolve(view, field="predicted")
    assert label_ids(target) == Counter(dataset.values("predicted.detections.id", unwind=True))
    assert {work.sample_id for work in works_of(target)} == set(dataset.values("id"))


def test_single_labels_are_worked_on(new_dataset):
    dataset = new_dataset()
    dataset.add_samples(
        [
            fo.Sample(filepath="/pictures/0.png", one=fo.Detection(bounding_box=BOX)),
            fo.Sample(filepath="/pictures/1.png", one=None),
        ]
    )
    dataset.add_sample_field("one.caption", fo.StringField)
    target = resolve(dataset, field="one", gaps=gaps("missing"))
    assert (target.path, target.count()) == ("one", Counts(1, 1))
    (work,) = works_of(target)
    (region,) = work.regions(SIZE)
    dataset.set_label_values("one.caption", [work.address(region.label_id, "x")])
    assert dataset.values("one.caption") == ["x", None]
    assert target.count() == Counts(0, 0)


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("lines", fo.Polylines(polylines=[fo.Polyline(points=[[(0.1, 0.1), (0.4, 0.4)]])])),
        ("line", fo.Polyline(points=[[(0.1, 0.1), (0.4, 0.1), (0.4, 0.4)]], filled=True)),
        ("points", fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.1, 0.1), (float("nan"),) * 2])])),
        ("point", fo.Keypoint(points=[(0.1, 0.1)])),
        ("classes", fo.Segmentation(mask=np.eye(10, dtype=np.uint8))),
        ("masked", fo.Detection(bounding_box=BOX, mask=np.eye(10, dtype=bool))),
    ],
)
def test_every_label_type_is_read_back_from_the_database(new_dataset, field, label):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath="/pictures/0.png", **{field: label}))
    target = resolve(dataset, field=field)
    assert target.count() == Counts(1, 1)
    (region,) = works_of(target)[0].regions(SIZE)
    assert isinstance(region, LabelRegion)


def test_a_field_inside_a_document_gets_a_sentence_that_helps(new_dataset):
    dataset = new_dataset()
    meta = fo.DynamicEmbeddedDocument(det=detections("a"))
    dataset.add_sample(fo.Sample(filepath="/pictures/0.png", meta=meta), dynamic=True)
    assert label_fields(dataset) == {}
    with pytest.raises(PluginError, match="'meta.det' is inside another field") as refusal:
        resolve(dataset, field="meta.det")
    advice = re.search(r"dataset\.clone_sample_field\(.*?\)", str(refusal.value))
    exec(advice[0], {"dataset": dataset})
    assert resolve(dataset, field="det").count() == Counts(1, 1)


def test_classes_are_named_by_the_dataset_and_chosen_one_by_one(new_dataset):
    dataset = new_dataset()
    mask = np.zeros((8, 10), np.uint8)
    mask[:2], mask[2:4], mask[4:6] = 1, 2, 3
    dataset.add_sample(fo.Sample(filepath="/pictures/0.png", classes=fo.Segmentation(mask=mask)))
    dataset.default_mask_targets = {1: "sky"}
    (work,) = works_of(resolve(dataset, field="classes"))
    assert [region.label for region in work.regions(SIZE)] == ["sky", None, None]
    dataset.mask_targets = {"classes": {2: "road"}}
    dataset.add_sample_field("classes.caption", fo.DictField)
    (work,) = works_of(resolve(dataset, field="classes"))
    assert [region.label for region in work.regions(SIZE)] == [None, "road", None]
    label_id = next(iter(work.label_ids))
    captions = {"1": "blue", "2": " "}
    dataset.set_label_values("classes.caption", [work.address(label_id, captions)])
    for only, values in (("all", "123"), ("missing", "3"), ("empty", "23")):
        target = resolve(dataset, field="classes", gaps=gaps(only))
        regions = works_of(target)[0].regions(SIZE)
        assert [region.label_id for region in regions] == [f"{label_id}:{v}" for v in values]


def test_classes_without_any_attribute_yet_are_missing(new_dataset):
    dataset = new_dataset()
    mask = np.ones((8, 10), np.uint8)
    dataset.add_sample(fo.Sample(filepath="/pictures/0.png", classes=fo.Segmentation(mask=mask)))
    dataset.add_sample(
        fo.Sample(filepath="/pictures/1.png", classes=fo.Segmentation(mask_path="/nowhere.png"))
    )
    target = resolve(dataset, field="classes", gaps=gaps("missing"))
    found = [region for work in works_of(target) for region in work.regions(SIZE)]
    assert [type(region) for region in found] == [LabelRegion, UnusableLabel]


def test_frames_with_pictures_are_worked_on(videos):
    target = resolve(videos.filter_labels("frames.det", F("label") == "a"), field="frames.det")
    assert target.frames
    assert (target.path, target.count()) == ("frames.det.detections", Counts(4, 4))
    works = works_of(target)
    assert [work.filepath for work in works] == videos.values("frames.filepath", unwind=True)
    assert [work.frame_number for work in works] == [1, 2, 1, 2]
    assert {work.sample_id for work in works} == set(videos.values("id"))
    videos.add_frame_field("det.detections.caption", fo.StringField)
    values = [work.address(label_id, "x") for work in works for label_id in work.label_ids]
    videos.set_label_values("frames.det.detections.caption", values)
    assert videos.count_values("frames.det.detections.caption") == {"x": 4, None: 4}


def test_a_view_of_frames_is_worked_on_in_its_videos(videos):
    view = videos.to_frames().match(F("frame_number") == 2)
    target = resolve(view, field="det")
    assert (target.field, target.dataset, target.count()) == ("frames.det", videos, Counts(2, 4))
    assert [work.filepath for work in works_of(target)] == view.values("filepath")
    videos.add_frame_field("det.detections.caption", fo.StringField)
    work = works_of(target)[0]
    values = [work.address(label_id, "x") for label_id in work.label_ids]
    videos.set_label_values("frames.det.detections.caption", values)
    target.refresh()
    assert view.count_values("det.detections.caption") == {"x": 2, None: 2}


def test_patches_of_frames_are_worked_on_in_their_videos(videos):
    view = videos.to_frames().to_patches("det").match(F("det.label") == "a")
    target = resolve(view, field="det")
    assert target.count() == Counts(4, 4)
    works = works_of(target)
    assert [work.frame_id for work in works] == view.values("frame_id")
    assert label_ids(target) == Counter(view.values("det.id"))


def test_videos_without_pictures_of_their_frames_get_a_sentence(new_dataset):
    dataset = new_dataset()
    sample = fo.Sample(filepath="/videos/0.mp4")
    sample.frames[1] = fo.Frame(det=detections("a"))
    dataset.add_sample(sample)
    with pytest.raises(PluginError, match=r"to_frames\(sample_frames=True\), which needs ffmpeg"):
        resolve(dataset, field="frames.det")


def test_fields_of_whole_videos_get_a_sentence(videos):
    with pytest.raises(PluginError, match="these samples are videos"):
        resolve(videos, field=None)
    with pytest.raises(
        PluginError, match="'whole' is no field with regions; there is 'frames.det'"
    ):
        resolve(videos, field="whole")


def test_clips_get_a_sentence(videos):
    with pytest.raises(PluginError, match="clips has no pictures"):
        resolve(videos.to_clips("frames.det"), field="frames.det")


def test_a_group_gives_the_slice_that_is_shown(groups):
    shown = groups.view()
    assert [work.filepath for work in works_of(resolve(shown, field="det"))] == [
        "/pictures/left-0.png",
        "/pictures/left-1.png",
    ]
    groups.group_slice = "right"
    assert resolve(groups, field="det").count() == Counts(2, 4)
    assert "right" in works_of(resolve(groups, field="det"))[0].filepath


@pytest.mark.parametrize(
    ("slices", "names"), [("all", {"left", "right"}), (["right"], {"right"}), (("left",), {"left"})]
)
def test_some_or_all_slices_with_pictures(groups, slices, names):
    target = resolve(groups, field="det", slices=slices)
    found = {work.filepath.split("/")[-1].split("-")[0] for work in works_of(target)}
    assert found == names
    assert target.count() == Counts(2 * len(names), 4 * len(names))


def test_a_filter_of_labels_holds_in_all_slices(groups):
    view = groups.limit(1).filter_labels("det", F("label") == "a")
    target = resolve(view, field="det", slices="all")
    assert target.count() == Counts(2, 2)
    assert all(region.label == "a" for work in works_of(target) for region in work.regions(SIZE))


def test_slices_without_pictures_get_a_sentence(groups):
    with pytest.raises(PluginError, match="the slices with pictures are 'left', 'right'"):
        resolve(groups, field="det", slices=["cloud"])
    groups.group_slice = "cloud"
    with pytest.raises(PluginError, match="'cloud' has no pictures.*group_slice = 'left'"):
        resolve(groups, field="det")


@pytest.fixture
def mixed_groups(new_dataset):
    """A group of a picture with `det` and a video with a frame with `frames.det`."""
    dataset = new_dataset()
    dataset.add_group_field("group", default="cam")
    group = fo.Group()
    video = fo.Sample(filepath="/videos/0.mp4", group=group.element("vid"))
    video.frames[1] = fo.Frame(filepath="/pictures/1.png", det=detections("a", "b"))
    picture = fo.Sample(
        filepath="/pictures/0.png", group=group.element("cam"), det=detections("a", "b", "c")
    )
    dataset.add_samples([picture, video])
    return dataset


def test_frames_of_a_groups_videos_are_worked_on(mixed_groups):
    dataset = mixed_groups
    with pytest.raises(PluginError, match="'cam' has no videos.*dataset.group_slice = 'vid'"):
        resolve(dataset, field="frames.det")
    assert resolve(dataset, field="frames.det", slices="all").count() == Counts(1, 2)
    dataset.group_slice = "vid"
    only_a = dataset.filter_labels("frames.det", F("label") == "a")
    assert resolve(only_a, field="frames.det", slices="all").count() == Counts(1, 1)
    target = resolve(dataset, field="frames.det")
    assert [work.filepath for work in works_of(target)] == ["/pictures/1.png"]
    with pytest.raises(PluginError, match="'vid' has no pictures.*dataset.group_slice = 'cam'"):
        resolve(dataset, field="det")
    assert resolve(dataset, field="det", slices="all").count() == Counts(1, 3)
    frames = dataset.select_group_slices("vid").to_frames()
    target = resolve(frames, field="det")
    assert (target.field, target.count()) == ("frames.det", Counts(1, 2))
    chosen = selection(dataset.select_group_slices("vid"), "frames.det", "a")
    ctx = context(dataset, selected_labels=chosen, group_slice="cam")
    target = resolve_context(ctx, field="frames.det", where="selected_labels")
    assert target.count() == Counts(1, 1)


def test_dynamic_groups_get_a_sentence_unless_flat(dataset):
    dataset.set_values("scene", ["x", "x", "y"])
    grouped = dataset.group_by("scene")
    for slices in (None, "all"):
        with pytest.raises(PluginError, match=r"group_by\(\.\.\., flat=True\)"):
            resolve(grouped, field="det", slices=slices)
    flat = dataset.group_by("scene", flat=True)
    assert resolve(flat, field="det").count() == Counts(3, 6)
    ctx = context(dataset, grouped, selected=dataset.values("id")[:1])
    assert resolve_context(ctx, field="det", where="selected_samples").count() == Counts(1, 2)


def test_an_empty_dataset_says_so(new_dataset):
    dataset = new_dataset()
    with pytest.raises(PluginError, match="is empty: add samples first"):
        resolve(dataset, field=None)
    dataset.add_sample_field("det", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    with pytest.raises(PluginError, match="is empty: add samples first"):
        resolve(dataset, field="det")


def test_slices_mean_nothing_where_there_are_no_groups(dataset):
    assert resolve(dataset, field="det", slices="all").count() == Counts(3, 6)


def test_values_are_written_to_any_slice_by_id(groups):
    groups.add_sample_field("det.detections.caption", fo.StringField)
    works = works_of(resolve(groups, field="det", slices="all"))
    values = [work.address(label_id, "x") for work in works for label_id in work.label_ids]
    groups.set_label_values("det.detections.caption", values)
    flat = groups.select_group_slices(["left", "right"])
    assert flat.count_values("det.detections.caption") == {"x": 8}


@pytest.mark.parametrize("field", ["nothing", "det.detections", "tags", "filepath", "kind"])
def test_a_field_without_regions_gets_a_sentence_with_those_that_have(dataset, field):
    dataset.add_sample_field("kind", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with pytest.raises(PluginError, match="is no field with regions; there is 'det'"):
        resolve(dataset, field=field)


def test_a_dataset_without_labels_says_so(new_dataset):
    with pytest.raises(PluginError, match="this dataset or view has none"):
        resolve(new_dataset(), field="det")


def test_a_field_that_the_view_hides_gets_a_sentence(dataset):
    with pytest.raises(PluginError, match="is no field with regions"):
        resolve(dataset.exclude_fields("det"), field="det")


def test_a_field_added_to_patches_alone_is_not_in_the_dataset(dataset):
    view = dataset.to_patches("det")
    view.set_values("extra", [detections("a") for _ in view])
    with pytest.raises(PluginError, match="is not in the dataset"):
        resolve(view, field="extra")


def test_what_is_no_collection_is_refused():
    with pytest.raises(PluginError, match="give a dataset or a view, not list"):
        resolve([], field="det")


def test_fields_with_regions_are_listed_with_their_types(videos, dataset):
    assert label_fields(dataset) == {"det": fo.Detections}
    assert label_fields(videos) == {"frames.det": fo.Detections}
    assert label_fields(dataset.to_patches("det")) == {"det": fo.Detection}


def test_the_context_gives_the_dataset_or_the_view(dataset):
    ctx = context(dataset, dataset.limit(1))
    assert resolve_context(ctx, field="det", where="dataset").count() == Counts(3, 6)
    assert resolve_context(ctx, field="det", where="view").count() == Counts(1, 2)


def test_the_dataset_of_a_patches_view_is_the_view_it_was_made_of(dataset):
    view = dataset.limit(2).to_patches("det")
    ctx = context(dataset, view.limit(1))
    assert resolve_context(ctx, field="det", where="dataset").count() == Counts(2, 4)


def test_selected_samples_are_those_of_the_view(dataset):
    view = dataset.filter_labels("det", F("label") == "a")
    ctx = context(dataset, view, selected=dataset.values("id")[1:])
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert target.count() == Counts(2, 2)


def test_selected_patches_are_their_labels(dataset):
    view = dataset.to_patches("det")
    ctx = context(dataset, view, selected=view.values("id")[:1])
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert list(label_ids(target)) == view.values("det.id")[:1]


def test_selected_labels_are_worked_on_whatever_the_view_filters(dataset):
    chosen = selection(dataset.limit(2), "det", "b")
    ctx = context(dataset, dataset.filter_labels("det", F("label") == "a"), selected_labels=chosen)
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}
    assert target.count() == Counts(2, 2)


def test_selected_labels_of_a_patches_view(dataset):
    view = dataset.to_patches("det")
    chosen = selection(view.limit(3), "det", "a")
    ctx = context(dataset, view, selected_labels=chosen)
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}


def test_selected_labels_of_a_videos_frames(videos):
    chosen = selection(videos.limit(1), "frames.det", "a")
    ctx = context(videos, selected_labels=chosen)
    target = resolve_context(ctx, field="frames.det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}


def test_nothing_selected_gets_a_sentence(dataset):
    ctx = context(dataset)
    with pytest.raises(PluginError, match="no sample is selected"):
        resolve_context(ctx, field="det", where="selected_samples")
    with pytest.raises(PluginError, match="no label is selected"):
        resolve_context(ctx, field="det", where="selected_labels")


def test_labels_selected_in_another_field_get_a_sentence(dataset):
    chosen = selection(dataset, "det", "a")
    with pytest.raises(PluginError, match="the selected labels are in 'det', not in 'other'"):
        resolve_context(
            context(dataset, selected_labels=chosen), field="other", where="selected_labels"
        )


def test_selected_labels_by_field_keep_their_order():
    chosen = [{"field": f, "label_id": i} for f, i in (("a", "1"), ("b", "2"), ("a", "3"))]
    assert selected_fields(chosen) == {"a": ["1", "3"], "b": ["2"]}


@pytest.mark.parametrize("where", ["dataset", "view"])
def test_the_slice_that_the_app_shows_is_meant(groups, where):
    ctx = context(groups, group_slice="right")
    works = works_of(resolve_context(ctx, field="det", where=where))
    assert {work.filepath for work in works} == {"/pictures/right-0.png", "/pictures/right-1.png"}


def test_samples_and_labels_selected_in_any_slice(groups):
    flat = groups.select_group_slices(["left", "right"])
    right = flat.match(F("filepath").contains_str("right")).limit(1)
    ctx = context(groups, selected=right.values("id"), group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert [work.sample_id for work in works_of(target)] == right.values("id")
    ctx = context(groups, selected_labels=selection(right, "det", "a"), group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert [work.sample_id for work in works_of(target)] == right.values("id")
    assert target.count() == Counts(1, 1)


def test_patches_selected_in_a_grouped_dataset(groups):
    view = groups.select_group_slices("right").to_patches("det")
    ctx = context(groups, view, selected=view.values("id")[:1], group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert list(label_ids(target)) == view.values("det.id")[:1]
    assert target.path == "det.detections"


def test_all_slices_of_the_selected_groups(groups):
    left = groups.values("id")[:1]
    ctx = context(groups, selected=left, group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_samples", slices="all")
    assert target.count() == Counts(2, 4)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_boxes_are_those_of_the_upright_picture(new_dataset, annotator, tmp_path, suffix):
    drawn = scene(4)
    turned, path = np.rot90(drawn.picture), tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored a quarter turn counter-clockwise
    Image.fromarray(turned).save(path, exif=exif, quality=95)
    dataset = new_dataset()
    truth = fo.Detections(detections=ground_truth(drawn, masks=False))
    dataset.add_sample(fo.Sample(filepath=str(path), truth=truth))
    (work,) = works_of(resolve(dataset, field="truth"))
    picture = read_picture(work.filepath)
    assert picture.size == drawn.picture.shape[1::-1]
    prompts = [region.prompt for region in work.regions(picture.size)]
    answer = annotator.annotate(Request(picture, prompts=prompts, questions=()))
    best = max(
        (region.mask & item.mask).sum() / (region.mask | item.mask).sum()
        for region, item in zip(answer.results, drawn.objects, strict=True)
    )
    assert best > 0.8


def test_a_listing_closes_its_file_where_the_database_fails(monkeypatch):
    def rows():
        yield {"_id": ObjectId(), "labels": []}
        raise ConnectionError("gone")

    files = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: files.append(make()) or files[-1])
    with pytest.raises(ConnectionError):
        Listing(rows())
    assert files[0].closed


def test_a_listing_needs_no_memory_for_its_entries(dataset):
    rows = resolve(dataset, field="det")._rows([])
    with Listing(rows) as listing:
        first, again = list(listing), list(listing)
    assert first == again
    assert [str(entry.document_id) for entry in first] == dataset.values("id")
    assert [[str(i) for i in e.label_ids] for e in first] == dataset.values("det.detections.id")
