"""The classes that a dataset knows for a field, as a list to choose from."""

from __future__ import annotations

import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.model_operator import collection_target
from fiftyone_plugin.operators.options import LabelOptions
from fiftyone_plugin.operators.plans import MOST_CLASSES, plan_labels

FIELD = "ground_truth"
MANY = [f"name {number}" for number in range(1203)]


def planned(dataset, classes):
    options = LabelOptions(field=FIELD, classes=classes)
    return plan_labels(options, collection_target(dataset, options)).job.answers.vocabulary.labels


@pytest.mark.parametrize("names", [MANY, ["circle", "circle", " star "]])
def test_a_datasets_own_list_is_as_good_as_the_same_list(scene_dataset, names):
    dataset = scene_dataset(0)
    dataset.classes = {FIELD: names}
    assert planned(dataset, "dataset") == planned(dataset, names)
    dataset.classes = {}
    dataset.default_classes = names
    assert planned(dataset, "dataset") == planned(dataset, names)


def test_a_datasets_own_list_is_refused_like_the_same_list(scene_dataset):
    dataset = scene_dataset(0)
    dataset.classes = {FIELD: ["Star", "star"]}
    with pytest.raises(PluginError, match="in two spellings, 'Star' and 'star'"):
        planned(dataset, ["Star", "star"])
    with pytest.raises(PluginError, match="in two spellings, 'Star' and 'star'"):
        planned(dataset, "dataset")


def test_labels_in_use_are_no_list_if_there_are_too_many(scene_dataset):
    dataset = scene_dataset(0)
    box = dataset.first().ground_truth.detections[0]
    found = [box.copy() for _ in range(MOST_CLASSES + 1)]
    for number, one in enumerate(found):
        one.label = f"name {number}"
    dataset.set_values(f"{FIELD}.detections", [found])
    with pytest.raises(PluginError, match="1,001 different names, more than 1,000"):
        planned(dataset, "dataset")
