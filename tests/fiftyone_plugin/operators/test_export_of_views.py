"""Regions of views as files, with what runs wrote."""

from __future__ import annotations

import json
from pathlib import Path

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.conftest import ground_truth, scene
from tests.fiftyone_plugin.operators.exported import FIELD, loaded, regions_in

# pycocotools', as FiftyOne and these tests call it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
# What a view shows


def labels_in(report):
    _, found, names = loaded(report)
    return {
        name: [names[one["category_id"]] for one in annotations]
        for name, annotations in found.items()
    }


def test_a_view_is_exported_as_it_is_shown(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1)
    shape = dataset.first()[FIELD].detections[0].label
    view = dataset.filter_labels(FIELD, F("label") == shape, only_matches=False)
    view = view.map_labels(FIELD, {shape: "renamed"})
    found = labels_in(export(view, field=FIELD, output=tmp_path / "a.coco.json"))
    assert set(found) == {"scene-0.png", "scene-1.png"}  # also images without a region
    assert {label for labels in found.values() for label in labels} == {"renamed"}


def test_patches_of_an_image_are_one_image(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1)
    patches = dataset.to_patches(FIELD)[:4]
    report = export(patches, field=FIELD, output=tmp_path / "a.json")
    assert (report["images"], report["regions"]) == (1, 4)
    again = [one["label"] for one in regions_in(report)]
    assert again == [one.label for one in dataset.first()[FIELD].detections[:4]]


def test_frames_are_images_in_the_videos_and_in_their_view(export, video_dataset, tmp_path):
    dataset = video_dataset(boxes=2)
    videos = export(dataset, field="frames.boxes", output=tmp_path / "videos.json")
    frames = export(dataset.to_frames(), field="boxes", output=tmp_path / "frames.json")
    assert (videos["images"], videos["regions"]) == (2, 4)
    assert regions_in(videos) == regions_in(frames)


def test_one_or_all_slices_of_a_group(export, new_dataset, images, tmp_path):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    for seed, name in enumerate(("left", "right")):
        boxes = fo.Detections(detections=ground_truth(scene(seed)))
        sample = fo.Sample(filepath=str(images(seed)), group=group.element(name), boxes=boxes)
        dataset.add_sample(sample)
    one = export(dataset, field="boxes", output=tmp_path / "one.csv")
    both = export(dataset, field="boxes", output=tmp_path / "both.csv", all_slices=True)
    assert (one["images"], both["images"]) == (1, 2)


def test_an_image_that_cannot_be_read_is_named(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1)
    dataset.set_values("filepath", ["/nowhere.png", dataset.last().filepath])
    report = export(dataset, field=FIELD, output=tmp_path / "a.yolo-seg")
    assert (report["images"], report["failed"]) == (1, 1)
    assert report["notes"] == [
        "yolo-seg leaves out 1 failed image",
        "an image that cannot be read: /nowhere.png: there is no such file",
    ]


# What runs wrote


@pytest.fixture
def told(new_dataset, images):
    """A dataset with what three runs wrote, of which one was undone."""
    dataset = new_dataset()
    box = {"label": "thing", "bounding_box": [0.1, 0.1, 0.5, 0.5]}
    said = {"story": "a cup", "zh": "杯子", "meaning": "for tea", "fit": 0.75, "there": 0.5}
    box = fo.Detection(**box, **said, said_otherwise="mug", old="undone", confidence=0.25)
    dataset.add_sample(
        fo.Sample(filepath=str(images(0)), boxes=fo.Detections(detections=[box])), dynamic=True
    )
    written = {
        "first": {"brief": "story", "definition": "meaning", "object_score": "there"},
        "second": {"brief": "zh", "language": "zh"},
        "third": {"classes": ["thing"], "score": "fit", "open_label": "said_otherwise"},
        "fourth": {"brief": "old"},
    }
    for key, parameters in written.items():
        with RunWriter(
            dataset, "boxes", operator="caption_regions", key=key, parameters=parameters, model=key
        ):
            pass
    undo_run(dataset, "fourth")
    return dataset


def test_what_runs_wrote_is_found_by_their_records(export, told, tmp_path):
    report = export(told, field="boxes", output=tmp_path / "a.json", language="en")
    (region,) = regions_in(report)
    assert region["texts"] == {"brief": "a cup", "definition": "for tea"}
    assert region["scores"] == {"score": 0.25, "label": 0.75, "object": 0.5}
    assert region["open_label"] == "mug"
    assert region["attributes"] == {"old": "undone", "zh": "杯子"}
    document = json.loads(Path(report["output"]).read_text(encoding="utf-8"))
    assert (document["model"], document["language"]) == ("third", "en")
    assert document["tasks"] == ["definition", "brief"]


def test_the_newest_language_is_taken(export, told, tmp_path):
    (region,) = regions_in(export(told, field="boxes", output=tmp_path / "a.json"))
    assert region["texts"] == {"brief": "杯子"}


def test_a_call_can_name_attributes(export, told, tmp_path):
    report = export(
        told,
        field="boxes",
        output=tmp_path / "a.json",
        detailed="old",
        score="fit",
        class_attribute="said_otherwise",
    )
    (region,) = regions_in(report)
    assert (region["label"], region["scores"]) == ("mug", {"score": 0.75})
    assert region["texts"]["detailed"] == "undone"
    with pytest.raises(PluginError, match=r"'boxes' have no attribute 'Story', but .*story"):
        export(told, field="boxes", output=tmp_path / "b.json", brief="Story")
