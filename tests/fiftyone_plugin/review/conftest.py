"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import fiftyone as fo
import pytest

from tests.fiftyone_plugin.review.app_panel import AppPanel


@pytest.fixture
def dataset(scene_dataset):
    dataset = scene_dataset(0, 1)
    labels = [label for sample in dataset for label in sample.ground_truth.detections]
    for name, kind, values in (
        ("caption", fo.StringField, [f"thing {number}" for number in range(len(labels))]),
        ("pam_label", fo.StringField, ["zebra", *(label.label for label in labels[1:])]),
        ("pam_score", fo.FloatField, [0.5] * len(labels)),
    ):
        path = f"ground_truth.detections.{name}"
        dataset.add_sample_field(path, kind)
        found = dict(zip((label.id for label in labels), values, strict=True))
        dataset.set_label_values(path, found)
    return dataset


@pytest.fixture
def app(dataset):
    return AppPanel(dataset.view())
