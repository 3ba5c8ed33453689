"""Views of patches and frames stay usable after a run, and show what it wrote."""

from __future__ import annotations

import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import CAPTION, add_samples, caption

FIELD = "boxes"


def write(collection, documents=None):
    """A run on a view, which writes a text onto each of the dataset's labels."""
    with RunWriter(collection, FIELD, operator="caption", attributes=[CAPTION]) as writer:
        for sample in documents or collection._root_dataset:
            for number, label in enumerate(sample[FIELD].detections):
                writer.write(sample.id, {label.id: {"caption": f"a text {number}"}})


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset(), 2)


def test_patches_and_the_views_made_of_them_have_the_texts(dataset):
    patches = dataset.to_patches(FIELD)
    name = patches._dataset.name
    some = patches.match(F("boxes.label") == "thing 1")
    write(patches.limit(2))
    assert patches._dataset.name == name
    assert patches.first().boxes.caption == "a text 0"
    assert some.values("boxes.caption") == ["a text 1"] * 2
    assert patches.has_field("boxes.caption")
    patches.set_values("boxes.mood", ["bad"] * 4)
    assert dataset.values("boxes.detections.mood", unwind=True) == ["bad"] * 4
    assert dataset.values("boxes.detections.caption", unwind=True) == ["a text 0", "a text 1"] * 2


def test_patches_keep_what_they_were_made_with(dataset):
    dataset.set_values("weather", ["rain", "snow"])
    shown = dataset.filter_labels(FIELD, F("label") == "thing 1")
    patches = shown.to_patches(FIELD, other_fields=["weather"])
    write(patches)
    assert patches.values("weather") == ["rain", "snow"]
    assert patches.values("boxes.caption") == ["a text 1"] * 2


def test_evaluation_patches_have_the_texts(dataset):
    for sample in dataset:
        sample["found"] = sample.boxes.copy()
        sample.save()
    dataset.evaluate_detections("found", gt_field=FIELD, eval_key="eval")
    patches = dataset.to_evaluation_patches("eval")
    kinds = patches.count_values("type")
    write(patches.limit(1))
    assert patches.count_values("type") == kinds
    assert patches.first().boxes.detections[0].caption == "a text 0"


def test_frames_and_their_patches_have_the_texts(video_dataset):
    dataset = video_dataset()
    frames = dataset.to_frames()
    patches = frames.to_patches(FIELD)
    write(patches.limit(1), dataset.first().frames.values())
    assert patches.values("boxes.caption") == ["a text 0", "a text 1"] * 2
    assert frames.values("boxes.detections.caption") == [["a text 0", "a text 1"]] * 2


def test_an_operator_on_some_patches_leaves_them_usable(operator, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    patches = dataset.to_patches("ground_truth")
    operator("caption_regions")(patches.limit(2), field="ground_truth")
    assert patches.first().ground_truth.caption
    texts = patches.values("ground_truth.caption")
    assert [text is None for text in texts[:3]] == [False, False, True]


def test_undo_leaves_patches_usable(dataset):
    patches = dataset.to_patches(FIELD)
    undo_run(patches, caption(dataset, "text"))
    assert patches.first().boxes.label == "thing 0"
