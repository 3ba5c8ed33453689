"""Labels to work on, what a target gives of them, and what the App says of a dataset."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace

import fiftyone as fo
from fiftyone import ViewField as F

SIZE = (100, 80)
BOX = [0.1, 0.1, 0.5, 0.5]


def works_of(target, size=32):
    return [work for chunk in target.chunks(size) for work in chunk]


def label_ids(target):
    return Counter(label_id for work in works_of(target) for label_id in work.label_ids)


def detections(*labels):
    return fo.Detections(detections=[fo.Detection(label=name, bounding_box=BOX) for name in labels])


def add_images(dataset):
    """Adds three samples with the labels a and b in `det` and no images; the dataset."""
    dataset.add_samples(
        [fo.Sample(filepath=f"/images/{n}.png", det=detections("a", "b")) for n in range(3)]
    )
    return dataset


def context(dataset, view=None, *, selected=(), selected_labels=(), group_slice=None):
    """The parts of an operator's execution context that concern these."""
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


def address(work, label_id, value):
    """One entry of the list that the root dataset's `set_label_values` takes."""
    place = {"frame_id": work.frame_id} if work.frame_id else {"sample_id": work.sample_id}
    return {**place, "label_id": label_id, "value": value}
