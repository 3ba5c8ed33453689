"""Frames of videos and slices of groups that a run works on, shown or selected."""

from __future__ import annotations

from collections import Counter

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.targets.target import TargetCounts, resolve, resolve_context
from fiftyone_plugin.targets.views import label_fields
from tests.fiftyone_plugin.target_samples import (
    SIZE,
    add_images,
    address,
    context,
    detections,
    label_ids,
    selection,
    works_of,
)


@pytest.fixture
def dataset(new_dataset):
    return add_images(new_dataset())


@pytest.fixture
def groups(new_dataset):
    """Two groups with the slices left and right (images) and cloud, with a and b in each."""
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    for number in range(2):
        group = fo.Group()
        for name, suffix in (("left", "png"), ("right", "png"), ("cloud", "pcd")):
            path = f"/images/{name}-{number}.{suffix}"
            element = group.element(name)
            dataset.add_sample(fo.Sample(filepath=path, group=element, det=detections("a", "b")))
    return dataset


@pytest.fixture
def videos(new_dataset):
    """Two videos of two frames with images, with a and b in `frames.det`."""
    dataset = new_dataset()
    for number in range(2):
        sample = fo.Sample(filepath=f"/videos/{number}.mp4", whole=fo.Classification(label="x"))
        for frame_number in (1, 2):
            path = f"/videos/{number}-{frame_number}.png"
            sample.frames[frame_number] = fo.Frame(filepath=path, det=detections("a", "b"))
        dataset.add_sample(sample)
    return dataset


def test_frames_with_images_are_worked_on(videos):
    target = resolve(videos.filter_labels("frames.det", F("label") == "a"), field="frames.det")
    assert target.frames
    assert (target.path, target.count()) == ("frames.det.detections", TargetCounts(4, 4))
    works = works_of(target)
    assert [work.filepath for work in works] == videos.values("frames.filepath", unwind=True)
    assert {work.sample_id for work in works} == set(videos.values("id"))
    videos.add_frame_field("det.detections.caption", fo.StringField)
    values = [address(work, label_id, "x") for work in works for label_id in work.label_ids]
    videos.set_label_values("frames.det.detections.caption", values)
    assert videos.count_values("frames.det.detections.caption") == {"x": 4, None: 4}


def test_a_view_of_frames_is_worked_on_in_its_videos(videos):
    view = videos.to_frames().match(F("frame_number") == 2)
    target = resolve(view, field="det")
    assert (target.field, target.dataset, target.count()) == (
        "frames.det",
        videos,
        TargetCounts(2, 4),
    )
    assert [work.filepath for work in works_of(target)] == view.values("filepath")
    videos.add_frame_field("det.detections.caption", fo.StringField)
    work = works_of(target)[0]
    values = [address(work, label_id, "x") for label_id in work.label_ids]
    videos.set_label_values("frames.det.detections.caption", values)
    target.refresh()
    assert view.count_values("det.detections.caption") == {"x": 2, None: 2}


def test_patches_of_frames_are_worked_on_in_their_videos(videos):
    view = videos.to_frames().to_patches("det").match(F("det.label") == "a")
    target = resolve(view, field="det")
    assert target.count() == TargetCounts(4, 4)
    works = works_of(target)
    assert [work.frame_id for work in works] == view.values("frame_id")
    assert label_ids(target) == Counter(view.values("det.id"))


def test_videos_without_images_of_their_frames_get_a_sentence(new_dataset):
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
        PluginError, match="'whole' is not a field with regions; use one of 'frames.det'"
    ):
        resolve(videos, field="whole")


def test_clips_get_a_sentence(videos):
    with pytest.raises(PluginError, match="clips has no images"):
        resolve(videos.to_clips("frames.det"), field="frames.det")


def test_fields_with_regions_are_listed_with_their_types(videos, dataset):
    assert label_fields(dataset) == {"det": fo.Detections}
    assert label_fields(videos) == {"frames.det": fo.Detections}
    assert label_fields(dataset.to_patches("det")) == {"det": fo.Detection}


def test_a_group_gives_the_slice_that_is_shown(groups):
    shown = groups.view()
    assert [work.filepath for work in works_of(resolve(shown, field="det"))] == [
        "/images/left-0.png",
        "/images/left-1.png",
    ]
    groups.group_slice = "right"
    assert resolve(groups, field="det").count() == TargetCounts(2, 4)
    assert "right" in works_of(resolve(groups, field="det"))[0].filepath


@pytest.mark.parametrize(
    ("slices", "names"), [("all", {"left", "right"}), (["right"], {"right"}), (("left",), {"left"})]
)
def test_some_or_all_slices_with_images(groups, slices, names):
    target = resolve(groups, field="det", slices=slices)
    found = {work.filepath.split("/")[-1].split("-")[0] for work in works_of(target)}
    assert found == names
    assert target.count() == TargetCounts(2 * len(names), 4 * len(names))


def test_a_filter_of_labels_holds_in_all_slices(groups):
    view = groups.limit(1).filter_labels("det", F("label") == "a")
    target = resolve(view, field="det", slices="all")
    assert target.count() == TargetCounts(2, 2)
    assert all(region.label == "a" for work in works_of(target) for region in work.regions(SIZE))


def test_slices_without_images_get_a_sentence(groups):
    with pytest.raises(
        PluginError, match="slices must name slices with images .'left', 'right'., not"
    ):
        resolve(groups, field="det", slices=["cloud"])
    groups.group_slice = "cloud"
    with pytest.raises(PluginError, match="'cloud' must have images, not.*group_slice = 'left'"):
        resolve(groups, field="det")


@pytest.fixture
def mixed_groups(new_dataset):
    """A group of an image with `det` and a video with a frame with `frames.det`."""
    dataset = new_dataset()
    dataset.add_group_field("group", default="cam")
    group = fo.Group()
    video = fo.Sample(filepath="/videos/0.mp4", group=group.element("vid"))
    video.frames[1] = fo.Frame(filepath="/images/1.png", det=detections("a", "b"))
    image = fo.Sample(
        filepath="/images/0.png", group=group.element("cam"), det=detections("a", "b", "c")
    )
    dataset.add_samples([image, video])
    return dataset


def test_frames_of_a_groups_videos_are_worked_on(mixed_groups):
    dataset = mixed_groups
    with pytest.raises(
        PluginError, match="'cam' must have videos, not.*dataset.group_slice = 'vid'"
    ):
        resolve(dataset, field="frames.det")
    assert resolve(dataset, field="frames.det", slices="all").count() == TargetCounts(1, 2)
    dataset.group_slice = "vid"
    only_a = dataset.filter_labels("frames.det", F("label") == "a")
    assert resolve(only_a, field="frames.det", slices="all").count() == TargetCounts(1, 1)
    target = resolve(dataset, field="frames.det")
    assert [work.filepath for work in works_of(target)] == ["/images/1.png"]
    with pytest.raises(
        PluginError, match="'vid' must have images, not.*dataset.group_slice = 'cam'"
    ):
        resolve(dataset, field="det")
    assert resolve(dataset, field="det", slices="all").count() == TargetCounts(1, 3)
    frames = dataset.select_group_slices("vid").to_frames()
    target = resolve(frames, field="det")
    assert (target.field, target.count()) == ("frames.det", TargetCounts(1, 2))
    chosen = selection(dataset.select_group_slices("vid"), "frames.det", "a")
    ctx = context(dataset, selected_labels=chosen, group_slice="cam")
    target = resolve_context(ctx, field="frames.det", where="selected_labels")
    assert target.count() == TargetCounts(1, 1)


def test_dynamic_groups_get_a_sentence_unless_flat(dataset):
    dataset.set_values("scene", ["x", "x", "y"])
    grouped = dataset.group_by("scene")
    for slices in (None, "all"):
        with pytest.raises(PluginError, match=r"group_by\(\.\.\., flat=True\)"):
            resolve(grouped, field="det", slices=slices)
    flat = dataset.group_by("scene", flat=True)
    assert resolve(flat, field="det").count() == TargetCounts(3, 6)
    ctx = context(dataset, grouped, selected=dataset.values("id")[:1])
    assert resolve_context(ctx, field="det", where="selected_samples").count() == TargetCounts(1, 2)


def test_slices_mean_nothing_where_there_are_no_groups(dataset):
    assert resolve(dataset, field="det", slices="all").count() == TargetCounts(3, 6)


def test_values_are_written_to_any_slice_by_id(groups):
    groups.add_sample_field("det.detections.caption", fo.StringField)
    works = works_of(resolve(groups, field="det", slices="all"))
    values = [address(work, label_id, "x") for work in works for label_id in work.label_ids]
    groups.set_label_values("det.detections.caption", values)
    flat = groups.select_group_slices(["left", "right"])
    assert flat.count_values("det.detections.caption") == {"x": 8}


def test_selected_labels_of_a_videos_frames(videos):
    chosen = selection(videos.limit(1), "frames.det", "a")
    ctx = context(videos, selected_labels=chosen)
    target = resolve_context(ctx, field="frames.det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}


@pytest.mark.parametrize("where", ["dataset", "view"])
def test_the_slice_that_the_app_shows_is_meant(groups, where):
    ctx = context(groups, group_slice="right")
    works = works_of(resolve_context(ctx, field="det", where=where))
    assert {work.filepath for work in works} == {"/images/right-0.png", "/images/right-1.png"}


def test_samples_and_labels_selected_in_any_slice(groups):
    flat = groups.select_group_slices(["left", "right"])
    right = flat.match(F("filepath").contains_str("right")).limit(1)
    ctx = context(groups, selected=right.values("id"), group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert [work.sample_id for work in works_of(target)] == right.values("id")
    ctx = context(groups, selected_labels=selection(right, "det", "a"), group_slice="left")
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert [work.sample_id for work in works_of(target)] == right.values("id")
    assert target.count() == TargetCounts(1, 1)


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
    assert target.count() == TargetCounts(2, 4)
