"""Tests of the field with a line for each region: what makes it, and what keeps it true."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.review.queue import ReviewQueue, Subject
from fiftyone_plugin.runs.summaries import Summary
from tests.fiftyone_plugin.conftest import documents

FIELD = "ground_truth"
CAPTIONS = f"{FIELD}.detections.caption"
LINES = f"{FIELD}_captions"
SUMMARY = Summary(LINES, f"{FIELD}.detections", "caption")


def expected(dataset):
    """The lines of each sample by what its regions have."""
    return [
        [
            f"{one.label}: {one.caption}"
            for one in sample[FIELD].detections
            if getattr(one, "caption", None)
        ]
        for sample in dataset
    ]


def lines(dataset):
    dataset.reload()
    return dataset.values(LINES)


@pytest.fixture
def caption(operator):
    def run(collection, **options):
        values = {"field": FIELD, "progress": False, **options}
        return operator("caption_regions")(collection, **values)["key"]

    return run


@pytest.fixture
def undo(operator):
    return operator("undo_run")


def test_labels_with_a_text_have_a_line():
    labels = [
        {"label": "cat", "caption": "an old\ncat"},
        {"label": "dog"},
        {"label": "cow", "caption": ""},
        {"caption": "a thing"},
        {"label": "a hen", "caption": "a hen"},
        {"label": "word", "caption": "word " * 100},
    ]
    *short, long = SUMMARY.lines(labels, {})
    assert short == ["cat: an old cat", "a thing", "a hen"]
    assert len(long) <= 120 + len("word: ")


def test_classes_of_a_segmentation_have_lines_with_their_names():
    label = {"caption": {"1": "a cat", "2": "a dog"}}
    assert SUMMARY.lines([label], {"1": "cat"}) == ["cat: a cat", "2: a dog"]


def test_a_segmentations_classes_are_called_as_the_dataset_calls_them(caption, new_dataset, images):
    mask = np.zeros((64, 64), np.uint8)
    mask[10:40, 10:40] = 1
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=fo.Segmentation(mask=mask)))
    dataset.mask_targets = {"seg": {1: "shape"}}
    caption(dataset, field="seg")
    dataset.reload()
    sample = dataset.first()
    assert sample.seg_captions == [f"shape: {sample.seg.caption['1']}"]


@pytest.mark.parametrize("flush_regions", [1, 500])
def test_shuffled_patches_lose_no_line(caption, scene_dataset, monkeypatch, flush_regions):
    monkeypatch.setattr(
        "fiftyone_plugin.runs.writer._FLUSH_BYTES", 1 if flush_regions == 1 else 2**24
    )
    dataset = scene_dataset(0, 1)
    caption(dataset.to_patches(FIELD).shuffle(seed=3))
    assert lines(dataset) == expected(dataset)
    assert sum(map(len, lines(dataset))) == dataset.count(f"{FIELD}.detections")


def test_undoing_both_runs_takes_all_lines(caption, undo, scene_dataset):
    dataset = scene_dataset(1)
    before = documents(dataset)
    ids = dataset.values(f"{FIELD}.detections.id")[0]
    first = caption(dataset.select_labels(ids=ids[:2]))
    second = caption(dataset.select_labels(ids=ids[2:3]))
    assert [len(found) for found in lines(dataset)] == [3]
    undo(dataset, second)
    assert lines(dataset) == expected(dataset)
    assert [len(found) for found in lines(dataset)] == [2]
    undo(dataset, first)
    assert documents(dataset) == before
    assert not dataset.has_field(LINES)


def test_undoing_the_later_run_brings_the_earlier_lines_back(caption, undo, scene_dataset):
    dataset = scene_dataset(1)
    before = documents(dataset)
    first = caption(dataset)
    after_first = documents(dataset)
    second = caption(dataset, language="zh")
    undo(dataset, second)
    assert documents(dataset) == after_first
    undo(dataset, first)
    assert documents(dataset) == before


def test_a_summary_keeps_the_words_of_the_run_that_wrote_it(caption, undo, scene_dataset):
    dataset = scene_dataset(1)
    first = caption(dataset)
    after_first = documents(dataset)
    second = caption(dataset, language="zh", summary=False)
    assert lines(dataset) == [after_first[0][LINES]]
    undo(dataset, second)
    assert documents(dataset) == after_first
    undo(dataset, first)
    assert not dataset.has_field(LINES)


def edit(collection, field=FIELD, **change):
    queue = ReviewQueue(collection, Subject(field, "caption"))
    queue.decide(queue.after(), "accepted", **change)


@pytest.mark.parametrize("view", ["dataset", "patches"])
@pytest.mark.parametrize("change", [{"text": "a person's words"}, {"name": "thing"}])
def test_an_edit_in_the_review_reaches_the_lines(caption, undo, scene_dataset, view, change):
    dataset = scene_dataset(1)
    key = caption(dataset)
    edit(dataset if view == "dataset" else dataset.to_patches(FIELD), **change)
    assert lines(dataset) == expected(dataset)
    assert next(iter(change.values())) in lines(dataset)[0][0]
    undo(dataset, key)
    assert LINES not in documents(dataset)[0]


def test_an_edit_of_a_frame_reaches_its_lines(caption, video_dataset):
    dataset = video_dataset(boxes=1)
    caption(dataset, field="frames.boxes")
    edit(dataset.to_frames(), "boxes", text="a person's words")
    dataset.reload()
    texts = dataset.values("frames.boxes.detections.caption")[0]
    assert texts[0] == ["a person's words"]
    labels = dataset.values("frames.boxes.detections.label")[0]
    expected_lines = [[f"{name}: {text}"] for (name,), (text,) in zip(labels, texts, strict=True)]
    assert dataset.values("frames.boxes_captions")[0] == expected_lines


def test_lines_that_a_person_wrote_stay(caption, undo, scene_dataset):
    dataset = scene_dataset(1)
    ids = dataset.values(f"{FIELD}.detections.id")[0]
    caption(dataset.select_labels(ids=ids[:2]))
    second = caption(dataset.select_labels(ids=ids[2:3]))
    sample = dataset.first()
    sample[LINES] = ["mine"]
    sample.save()
    edit(dataset, text="a person's words")
    undo(dataset, second)
    assert lines(dataset) == [["mine"]]
