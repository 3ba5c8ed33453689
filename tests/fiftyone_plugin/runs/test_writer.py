"""Tests of writing a run: what changes, and what does not."""

from __future__ import annotations

import time

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs import writer as writer_module
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import (
    CAPTION,
    add_frame,
    add_samples,
    full_detections,
    ids_by_sample,
)
from tests.fiftyone_plugin.conftest import documents


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset(), boxes=full_detections, tags=["t"], weather="rain")


def caption_all(dataset, field="boxes", text="a thing", attribute=CAPTION, **options):
    with RunWriter(
        dataset, field, operator="caption_regions", attributes=[attribute], **options
    ) as writer:
        for sample in dataset:
            labels = sample[field].detections
            writer.write(sample.id, {label.id: {attribute.name: text} for label in labels})
    return writer.record


def test_sets_attributes_and_nothing_else(dataset):
    before = documents(dataset)
    record = caption_all(dataset)
    after = documents(dataset)
    for sample in after:
        for label in sample["boxes"]["detections"]:
            assert label.pop("caption") == "a thing"
    assert after == before
    assert [list(sample) for sample in after] == [list(sample) for sample in before]
    assert (record.state, record.counts.samples, record.counts.regions) == ("finished", 3, 6)


def test_values_can_be_filtered_and_are_seen_by_samples_in_memory(dataset):
    held = dataset.first()
    caption_all(dataset)
    assert held.boxes.detections[0].caption == "a thing"
    view = dataset.filter_labels("boxes", fo.ViewField("caption") == "a thing")
    assert view.count("boxes.detections") == 6


def test_tells_others_that_documents_changed(dataset):
    before = max(dataset.values("last_modified_at"))
    caption_all(dataset)
    assert min(dataset.values("last_modified_at")) > before


def test_writes_through_filtered_views_and_keeps_the_other_labels(dataset):
    view = dataset.filter_labels("boxes", fo.ViewField("label") == "thing 1")
    assert caption_all(view).counts.regions == 3
    assert dataset.count("boxes.detections") == 6
    assert dataset.values("boxes.detections.caption") == [[None, "a thing"]] * 3


@pytest.mark.parametrize(
    ("labels", "list_name"),
    [
        (fo.Detection(label="a", bounding_box=[0, 0, 1, 1]), None),
        (fo.Segmentation(mask_path="/nowhere.png"), None),
        (fo.Polylines(polylines=[fo.Polyline(points=[[(0, 0), (1, 1)]])]), "polylines"),
        (fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.5, 0.5)])]), "keypoints"),
    ],
)
def test_writes_onto_every_type_of_label(new_dataset, labels, list_name):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath="/nowhere.png", x=labels))
    before = documents(dataset)
    sample = dataset.first()

    def label():
        return sample.x[list_name][0] if list_name else sample.x

    with RunWriter(dataset, "x", operator="caption_regions", attributes=[CAPTION]) as writer:
        writer.write(sample.id, {label().id: {"caption": "words"}})
    assert label().caption == "words"
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before


def test_writes_onto_frames(new_dataset):
    dataset = new_dataset()
    frame = add_frame(dataset, full_detections())
    label = frame.boxes.detections[0].id
    before = dataset._frame_collection.find_one()
    with RunWriter(dataset, "frames.boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.write(frame.id, {label: {"caption": "words"}})
        writer.fail(frame.id, "blurred")
    assert dataset.values("frames.boxes.detections.caption") == [[["words", None]]]
    assert dataset.values("frames.pam_error") == [["blurred"]]
    undo_run(dataset, writer.record.key)
    after = dataset._frame_collection.find_one()
    assert {**after, "last_modified_at": 0} == {**before, "last_modified_at": 0}


def test_views_of_patches_show_what_was_written(dataset):
    patches = dataset.to_patches("boxes")
    with RunWriter(patches, "boxes", operator="x", attributes=[CAPTION]) as writer:
        for patch in patches:
            writer.write(patch.sample_id, {patch.boxes.id: {"caption": "words"}})
    assert dataset.values("boxes.detections.caption") == [["words"] * 2] * 3
    assert patches.values("boxes.caption") == ["words"] * 6


def test_masks_are_stored_as_fiftyone_stores_them(dataset):
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3] = True
    label = dataset.first().boxes.detections[0].id
    with RunWriter(dataset, "boxes", operator="x", attributes=[Attribute("mask")]) as writer:
        writer.write(dataset.first().id, {label: {"mask": mask}})
    np.testing.assert_array_equal(dataset.first().boxes.detections[0].mask, mask)


def test_values_of_all_kinds_and_none(dataset):
    kinds = {
        "score": ("number", np.float32(0.5)),
        "count": ("count", np.int64(3)),
        "sure": ("flag", np.bool_(True)),
        "words": ("texts", ["red", "round"]),
        "by_class": ("record", {"1": "red"}),
        "caption": ("text", None),
    }
    sample = dataset.first()
    label = sample.boxes.detections[0]
    attributes = [Attribute(name, kind) for name, (kind, _) in kinds.items()]
    with RunWriter(dataset, "boxes", operator="x", attributes=attributes) as writer:
        writer.write(sample.id, {label.id: {name: value for name, (_, value) in kinds.items()}})
    for name, (_, value) in kinds.items():
        assert sample.boxes.detections[0][name] == value


def test_refuses_values_that_do_not_fit(dataset):
    sample = dataset.first()
    label = sample.boxes.detections[0].id
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        with pytest.raises(PluginError, match="7 does not fit"):
            writer.write(sample.id, {label: {"caption": 7}})
        with pytest.raises(PluginError, match="was not declared"):
            writer.write(sample.id, {label: {"other": "x"}})


def test_adds_labels_behind_those_that_are_there(dataset):
    before = documents(dataset)
    sample = dataset.first()
    with RunWriter(dataset, "boxes", operator="find_regions", create=fo.Detections) as writer:
        writer.add_labels(sample.id, full_detections(1).detections)
    assert writer.record.counts.added == 1
    assert [label.label for label in sample.boxes.detections] == ["thing 0", "thing 1", "thing 0"]
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before


@pytest.mark.parametrize("null", [False, True])
def test_adds_labels_to_a_field_that_it_makes(dataset, null):
    if null:
        dataset.add_sample_field("found", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset._sample_collection.update_many({}, {"$set": {"found": None}})
    before = documents(dataset)
    with RunWriter(
        dataset,
        "found",
        operator="find_regions",
        create=fo.Detections,
        description="By PAM.",
        attributes=[CAPTION],
    ) as writer:
        for sample in dataset:
            writer.add_labels(sample.id, full_detections(1).detections)
            writer.add_labels(sample.id, full_detections(1).detections)
    assert dataset.count("found.detections") == 6
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before
    assert dataset.has_field("found") == null


def test_a_field_of_single_labels_takes_no_more(new_dataset):
    dataset = new_dataset()
    label = fo.Detection(label="a", bounding_box=[0, 0, 1, 1])
    dataset.add_sample(fo.Sample(filepath="/nowhere.png", x=label))
    with (
        RunWriter(dataset, "x", operator="find_regions") as writer,
        pytest.raises(PluginError, match="holds one Detection for each sample"),
    ):
        writer.add_labels(dataset.first().id, [label.copy()])


def test_fields_of_samples_are_written_and_undone(dataset):
    before = documents(dataset)
    summary = Attribute("summary", "texts", "In short.")
    label = dataset.first().boxes.detections[0]
    with RunWriter(
        dataset, "boxes", operator="x", attributes=[CAPTION], sample_attributes=[summary]
    ) as writer:
        writer.summarise("summary", "caption")
        writer.write(dataset.first().id, {label.id: {"caption": "words"}})
    assert dataset.values("summary") == [[f"{label.label}: words"], None, None]
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before
    assert not dataset.has_field("summary")


def test_flushes_by_regions_bytes_and_time(dataset, monkeypatch):
    sample = dataset.first()
    label = sample.boxes.detections[0].id

    def written(**options):
        with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION], **options) as writer:
            text = str(time.monotonic())
            writer.write(sample.id, {label: {"caption": text}})
            return dataset.values("boxes.detections.caption")[0][0] == text

    assert not written()
    assert written(flush_regions=1)
    assert written(flush_seconds=0)
    monkeypatch.setattr(writer_module, "_FLUSH_BYTES", 3)
    assert written()


def test_memory_is_a_flush_not_the_dataset(dataset):
    ids = ids_by_sample(dataset).items()
    sizes = set()
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION], flush_regions=4) as writer:
        for _ in range(50):
            for sample, labels in ids:
                writer.write(sample, {label: {"caption": "words"} for label in labels})
                sizes.add(len(writer._pending))
    assert max(sizes) <= 2
