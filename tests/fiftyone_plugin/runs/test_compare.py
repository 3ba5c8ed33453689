"""Tests of what two runs wrote, side by side."""

from __future__ import annotations

from dataclasses import replace

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.compare import compare_runs, names_of
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import CAPTION, add_frame, add_samples, caption, detections


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


def test_two_runs_side_by_side(dataset):
    first = caption(dataset, "a", name="caption_a")
    second = caption(dataset, "b", name="caption_b", samples=[dataset.first(), dataset.last()])
    found = compare_runs(dataset, first, second)
    assert (found.regions, found.different, len(found.rows)) == (4, 4, 4)
    sample = dataset.first()
    row = next(row for row in found.rows if row.label_id == sample.boxes.detections[0].id)
    assert row.sample_id == sample.id
    assert (row.first, row.second) == ({"caption_a": "a 0"}, {"caption_b": "b 0"})
    assert sorted(found.view.values("id")) == sorted([sample.id, dataset.last().id])
    assert found.to_dict()["rows"][0]["same"] is False
    assert names_of(found)[row.label_id] == "thing 0 in 0.png"
    dataset.delete_samples(dataset.first())
    assert names_of(found)[row.label_id] == "no label in a deleted image"


def test_a_comparison_shows_what_was_written_over(dataset):
    first, second = caption(dataset, "a"), caption(dataset, "b")
    sample = dataset.first()
    sample.boxes.detections[0].caption = "mine"
    sample.save()
    rows = compare_runs(dataset, first, second).rows
    assert {tuple(row.first.values()) + tuple(row.second.values()) for row in rows} == {
        ("a 0", "b 0"),
        ("a 1", "b 1"),
    }


def test_a_comparison_can_be_short_and_of_differences_only(dataset):
    first = caption(dataset, "a")
    second = caption(dataset, "a", name="other", samples=[dataset.first()])
    third = caption(dataset, "b", name="third")
    assert compare_runs(dataset, first, second, only_different=True).rows == ()
    found = compare_runs(dataset, first, third, limit=2)
    assert (len(found.rows), found.regions) == (2, 6)
    assert found.view.count("boxes.detections") == 2


def test_masks_are_left_out_of_comparisons(dataset):
    keys = []
    for _ in range(2):
        attributes = [CAPTION, Attribute("mask")]
        with RunWriter(dataset, "boxes", operator="x", attributes=attributes) as writer:
            label = dataset.first().boxes.detections[0].id
            mask = np.random.default_rng(0).random((50, 50)) > 0.5
            writer.write(dataset.first().id, {label: {"caption": "a", "mask": mask}})
        keys.append(writer.record.key)
    (row,) = compare_runs(dataset, *keys).rows
    assert (row.first, row.second, row.same) == ({"caption": "a"}, {"caption": "a"}, True)


def test_runs_on_frames_can_be_compared(new_dataset):
    dataset = new_dataset()
    frame = add_frame(dataset, detections())
    keys = []
    for text in "ab":
        with RunWriter(dataset, "frames.boxes", operator="x", attributes=[CAPTION]) as writer:
            writer.write(frame.id, {frame.boxes.detections[0].id: {"caption": text}})
        keys.append(writer.record.key)
    found = compare_runs(dataset, *keys)
    assert found.rows[0].sample_id == frame.id
    assert found.view.count("frames.boxes.detections") == 1
    assert list(names_of(found).values()) == ["thing 0 in frame 1"]


def test_runs_without_a_region_in_common_are_not_compared(dataset):
    first = caption(dataset, "a", samples=[dataset.first()])
    second = caption(dataset, "b", samples=[dataset.last()])
    with pytest.raises(PluginError, match="no region that both have"):
        compare_runs(dataset, first, second)
    with pytest.raises(PluginError, match="not one twice"):
        compare_runs(dataset, first, first)


def test_a_segmentations_classes_are_compared_one_by_one(operator, new_dataset, images):
    mask = np.zeros((64, 64), np.uint8)
    mask[5:30, 5:30], mask[35:60, 35:60] = 1, 2
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=fo.Segmentation(mask=mask)))
    keys = []
    for texts in ({"1": "a", "2": "b"}, {"1": "a", "2": "c", "3": "d"}):
        captions = replace(CAPTION, kind="record")
        with RunWriter(dataset, "seg", operator="x", attributes=[captions]) as writer:
            writer.write(dataset.first().id, {dataset.first().seg.id: {"caption": texts}})
        keys.append(writer.record.key)
    found = operator("compare_runs")(dataset, *keys)
    label = dataset.first().seg.id
    assert (found["regions"], found["different"]) == (2, 1)
    assert [(row["label_id"], row["same"]) for row in found["rows"]] == [
        (f"{label}:1", True),
        (f"{label}:2", False),
    ]
    assert found["rows"][1]["second"] == {"caption": "c"}
    assert found["view"].values("seg.id") == [label]
    dataset.mask_targets = {"seg": {1: "sky"}}
    names = names_of(compare_runs(dataset, *keys))
    assert names == {f"{label}:1": "sky in scene-0.png", f"{label}:2": "2 in scene-0.png"}


def test_all_slices_of_groups_are_shown(new_dataset):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{name}.png", group=group.element(name), boxes=detections())
        for name in ("left", "right")
    )
    both = dataset.select_group_slices(["left", "right"])
    keys = [caption(dataset, text, samples=list(both)) for text in "ab"]
    found = compare_runs(dataset, *keys)
    assert (found.regions, found.view.count("boxes.detections")) == (4, 4)
