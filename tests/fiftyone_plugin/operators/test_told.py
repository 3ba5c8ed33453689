"""Messages to callers from Python if there is nothing to do, or if images failed."""

from __future__ import annotations

import fiftyone as fo
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs.records import list_runs

FIELD = "ground_truth"


@pytest.mark.parametrize("name", ["caption_regions", "segment_regions", "label_regions"])
@pytest.mark.parametrize("delegate", [False, True])
def test_a_view_without_regions_is_refused(operator, scene_dataset, name, delegate):
    dataset = scene_dataset(0)
    none = dataset.filter_labels(FIELD, fo.ViewField("label") == "nothing of the kind")
    with pytest.raises(PluginError, match="has no region in 'ground_truth'"):
        operator(name)(none, field=FIELD, delegate=delegate)
    with pytest.raises(PluginError, match="has no image"):
        operator("find_regions")(dataset.limit(0), field="found", delegate=delegate)
    assert list_runs(dataset) == []


def test_that_nothing_is_left_to_do_is_said(operator, scene_dataset, caplog):
    dataset = scene_dataset(0)
    caption = operator("caption_regions")
    caption(dataset, field=FIELD)
    with caplog.at_level("INFO"):
        again = caption(dataset, field=FIELD, only="missing")
    assert (again["state"], again["counts"]["regions"]) == ("finished", 0)
    assert "Nothing is left to do." in caplog.messages


def test_images_that_failed_are_warned_of(operator, scene_dataset, caplog):
    dataset = scene_dataset(0, 1, 2)
    sample = dataset.last()
    sample.filepath = "/nowhere.png"
    sample.save()
    operator("caption_regions")(dataset, field=FIELD, model="nano")
    said = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    failed, regions = len(sample.ground_truth.detections), dataset.count("ground_truth.detections")
    sentence = f"{failed} regions failed in 1 image (of {regions} regions in 3 images)"
    assert said == [f"{sentence}: see the field pam_error or list_runs"]
