"""Samples with boxes and no images, and runs that write onto them without a model."""

from __future__ import annotations

from dataclasses import replace

import fiftyone as fo
import numpy as np

from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.conftest import documents

CAPTION = Attribute("caption", "text", "What the region is.")


def detections(number=2):
    """Boxes with an attribute of the user's, `mood`."""
    return fo.Detections(
        detections=[
            fo.Detection(label=f"thing {index}", bounding_box=[0.1, 0.1, 0.5, 0.5], mood="good")
            for index in range(number)
        ]
    )


def full_detections(number=2):
    """Boxes with a mask, tags and an index too."""
    found = detections(number)
    for index, box in enumerate(found.detections):
        box.mask, box.tags, box.index = np.eye(4, dtype=bool), ["mine"], index
    return found


def add_samples(dataset, number=3, boxes=detections, **values):
    """Adds samples with what `boxes` makes in the field `boxes`; the dataset."""
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{index}.png", boxes=boxes(), **values)
        for index in range(number)
    )
    return dataset


def add_frame(dataset, boxes):
    """Adds a video with one frame with these boxes; the frame."""
    video = fo.Sample(filepath="/nowhere.mp4")
    video.frames[1] = fo.Frame(boxes=boxes)
    dataset.add_sample(video)
    return dataset.first().frames[1]


def ids_by_sample(dataset):
    return dict(zip(*dataset.values(["id", "boxes.detections.id"]), strict=True))


def state(dataset):
    """The state that undo must restore: documents, and fields in their order."""
    return documents(dataset), list(dataset.get_field_schema(flat=True))


def caption(dataset, text, *, name="caption", key="", samples=None, **options):
    """A run that writes the text and the box's number onto each box; its key."""
    with RunWriter(
        dataset,
        "boxes",
        operator="caption_regions",
        attributes=[replace(CAPTION, name=name)],
        key=key,
        **options,
    ) as writer:
        for sample in samples or dataset:
            for number, label in enumerate(sample.boxes.detections):
                writer.write(sample.id, {label.id: {name: f"{text} {number}"}})
    return writer.record.key


def find(dataset, **options):
    """A run that adds two boxes to each sample, in the field `found`; its key."""
    with RunWriter(dataset, "found", operator="find", create=fo.Detections, **options) as writer:
        for sample in dataset:
            writer.add_labels(sample.id, detections().detections)
    return writer.record.key


def captions(dataset):
    """The captions of all boxes."""
    return dataset.values("boxes.detections.caption", unwind=True)
