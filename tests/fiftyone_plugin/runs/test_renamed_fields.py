"""Tests of fields that are renamed after a run, or while it is going on."""

from __future__ import annotations

import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.records import read_run
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import CAPTION, add_frame, add_samples, detections, find
from tests.fiftyone_plugin.conftest import documents

SHORT = Attribute("short", "texts", "In short.")


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


def caption_all(dataset, after_first=None, flush_regions=500):
    """Captions all labels; `after_first` is called when the first sample is written."""
    ids = dataset.values(["id", "boxes.detections.id"])
    with RunWriter(
        dataset,
        "boxes",
        operator="caption_regions",
        attributes=[CAPTION],
        sample_attributes=[SHORT],
        key="captions",
        flush_regions=flush_regions,
    ) as writer:
        writer.summarise("short", "caption")
        for number, (sample, labels) in enumerate(zip(*ids, strict=True)):
            if number == 1 and after_first is not None:
                writer.flush()
                after_first()
            texts = {label: {"caption": f"{number}, {index}"} for index, label in enumerate(labels)}
            writer.write(sample, texts)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("boxes", "regions"),
        ("boxes.detections.caption", "boxes.detections.text"),
        ("short", "brief"),
    ],
)
def test_undo_waits_until_a_renamed_field_is_renamed_back(dataset, old, new):
    before = documents(dataset)
    caption_all(dataset)
    after = documents(dataset)
    dataset.rename_sample_field(old, new)
    with pytest.raises(PluginError, match=f"'{old}.* is not found.* rename it back"):
        undo_run(dataset, "captions")
    assert read_run(dataset, "captions").state == "finished"
    dataset.rename_sample_field(new, old)
    assert documents(dataset) == after
    assert undo_run(dataset, "captions").state == "undone"
    assert documents(dataset) == before


def test_undo_waits_for_a_renamed_field_of_new_labels(dataset):
    find(dataset, key="find")
    dataset.rename_sample_field("found", "mine")
    with pytest.raises(PluginError, match="'found.detections'.* is not found"):
        undo_run(dataset, "find")
    dataset.rename_sample_field("mine", "found")
    undone = undo_run(dataset, "find").undone
    assert undone is not None
    assert undone.removed == 6


def test_undo_waits_for_a_renamed_field_of_frames(new_dataset):
    dataset = new_dataset()
    frame = add_frame(dataset, detections())
    with RunWriter(dataset, "frames.boxes", operator="x", attributes=[CAPTION], key="x") as writer:
        writer.write(frame.id, {frame.boxes.detections[0].id: {"caption": "words"}})
    dataset.rename_frame_field("boxes", "regions")
    with pytest.raises(PluginError, match=r"'frames.boxes.detections.caption'.* is not found"):
        undo_run(dataset, "x")


@pytest.mark.parametrize("path", ["boxes", "boxes.detections.caption", "short"])
def test_what_was_deleted_is_skipped_if_asked(dataset, path):
    caption_all(dataset)
    dataset.delete_sample_field(path)
    with pytest.raises(PluginError, match="if it was deleted, undo the rest with skip_missing"):
        undo_run(dataset, "captions")
    assert undo_run(dataset, "captions", skip_missing=True).state == "undone"
    schema = dataset.get_field_schema(flat=True)
    assert not {"boxes.detections.caption", "short"} & set(schema)


@pytest.mark.parametrize("flush_regions", [1, 500])
@pytest.mark.parametrize(
    ("old", "new"), [("boxes", "regions"), ("boxes.detections.caption", "boxes.detections.text")]
)
def test_a_field_that_is_renamed_while_a_run_goes_on_ends_it(dataset, old, new, flush_regions):
    before = documents(dataset)

    def rename():
        dataset.rename_sample_field(old, new)

    with pytest.raises(PluginError, match=f"'{old}' was renamed or deleted while the run"):
        caption_all(dataset, rename, flush_regions)
    record = read_run(dataset, "captions")
    assert (record.state, record.counts.regions, record.counts.gone) == ("interrupted", 2, 0)
    assert "was renamed or deleted" in record.reason
    with pytest.raises(PluginError, match="rename it back"):
        undo_run(dataset, "captions")
    dataset.rename_sample_field(new, old)
    undo_run(dataset, "captions")
    assert documents(dataset) == before


def test_a_dataset_that_is_deleted_while_a_run_goes_on_ends_it(dataset):
    with pytest.raises(PluginError, match="The dataset was deleted while the run"):
        caption_all(dataset, dataset.delete)
