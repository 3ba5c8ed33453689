"""Label Studio's own exports of the interfaces that `label-config` prints."""

from __future__ import annotations

import json
from collections import Counter
from xml.etree import ElementTree as ET

import pytest

from label_studio_backend.config.template import build_config
from tests.e2e.label_studio.api import of_type
from tests.e2e.label_studio.images import LABELS, DrawnImage


@pytest.fixture
def annotated(connect, api):
    """A pre-annotated project whose predictions became annotations, and their labels."""

    def annotated(geometry, shape):
        config = build_config(LABELS, geometry=geometry)
        files = [(f"{number}.png", DrawnImage(number).png()) for number in (12, 16)]
        options = {"points_per_side": 8}
        project, tasks = connect(f"Export {geometry}", config, *files, extra_params=options)
        api.retrieve_predictions(project)
        api.annotate_from_predictions(project)
        results = [
            result
            for task in tasks
            for annotation in api.annotations(task)
            for result in annotation["result"]
        ]
        labels = [one["value"][shape][0] for one in of_type(results, shape)]
        assert len(labels) == len({result["id"] for result in results}) > 4
        return project, Counter(labels)

    return annotated


def coco_labels(files, name):
    """How often each label is in a COCO file."""
    document = json.loads(files[name])
    names = {category["id"]: category["name"] for category in document["categories"]}
    return Counter(names[item["category_id"]] for item in document["annotations"])


def yolo_labels(files):
    """How often each label is in YOLO's text files."""
    names = files["classes.txt"].decode().split()
    texts = [text.decode() for name, text in files.items() if name.startswith("labels/")]
    return Counter(names[int(line.split()[0])] for text in texts for line in text.splitlines())


def test_masks_are_complete_in_the_formats_for_brushes(annotated, api):
    project, labels = annotated("brush", "brushlabels")
    tasks = json.loads(api.export(project, "JSON")["result.json"])
    results = [result for task in tasks for result in task["annotations"][0]["result"]]
    masks = of_type(results, "brushlabels")
    assert Counter(mask["value"]["brushlabels"][0] for mask in masks) == labels
    # A mask in several parts has an annotation for each.
    parts = coco_labels(api.export(project, "BRUSH_TO_COCO"), "result_coco.json")
    assert set(parts) == set(labels)
    assert all(parts[label] >= count for label, count in labels.items())
    images = api.export(project, "BRUSH_TO_PNG")
    assert Counter(name.split("-mask-")[1].rsplit("-", 1)[0] for name in images) == labels
    # As the page about configs says, Label Studio leaves brushes out of these.
    assert not coco_labels(api.export(project, "COCO"), "result.json")
    assert not yolo_labels(api.export(project, "YOLO"))


def test_polygons_are_complete_in_coco_and_yolo(annotated, api):
    project, labels = annotated("polygon", "polygonlabels")
    assert coco_labels(api.export(project, "COCO"), "result.json") == labels
    assert yolo_labels(api.export(project, "YOLO")) == labels


def test_rectangles_are_complete_in_coco_yolo_and_voc(annotated, api):
    project, labels = annotated("rectangle", "labels")
    assert coco_labels(api.export(project, "COCO"), "result.json") == labels
    assert yolo_labels(api.export(project, "YOLO")) == labels
    files = api.export(project, "VOC")
    documents = [ET.fromstring(text) for name, text in files.items() if name.endswith(".xml")]
    assert Counter(name.text for xml in documents for name in xml.iterfind("object/name")) == labels
