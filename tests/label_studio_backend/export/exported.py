"""Annotations of a project, and the files that it becomes."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema

from pam_labeling.documents import SCHEMA_FILE
from pam_labeling.formats import brush_rle
from tests.hard_shapes import SIZE

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="ring"/><Label value="a, b"/></BrushLabels>
  <Labels name="label" toName="image"><Label value="cross"/></Labels>
  <Brush name="plain" toName="image"/><Polygon name="polygon" toName="image"/>
  <BitmaskLabels name="bits" toName="image"><Label value="ring"/></BitmaskLabels>
  <PolygonLabels name="outline" toName="image"><Label value="三角"/></PolygonLabels>
  <RectangleLabels name="box" toName="image"><Label value="ring"/></RectangleLabels>
  <EllipseLabels name="oval" toName="image"><Label value="ring"/></EllipseLabels>
  <KeyPointLabels name="point" toName="image"><Label value="ring"/></KeyPointLabels>
  <TextArea name="caption" toName="image" perRegion="true"/>
  <TextArea name="definition" toName="image" perRegion="true"/>
  <TextArea name="remark" toName="image" perRegion="true"/>
  <Choices name="class" toName="image" perRegion="true"><Choice value="cup"/></Choices>
  <Choices name="damage" toName="image" perRegion="true"><Choice value="yes"/></Choices>
  <Rating name="stars" toName="image" perRegion="true"/>
  <TextArea name="about_caption" toName="image"/>
</View>"""


def result(name, kind, value, region="r1", **more):
    return {
        "id": region,
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "original_width": SIZE[0],
        "original_height": SIZE[1],
        "image_rotation": 0,
        "value": value,
        **more,
    }


def brush(mask, *labels, region="r1", name="mask", **more):
    value = {"format": "rle", "rle": brush_rle.encode(mask)}
    if labels:
        value["brushlabels"] = list(labels)
    kind = "brushlabels" if name == "mask" else "brush"
    return result(name, kind, value, region, **more)


def annotate(fake, *results, task=1, **more):
    annotations = fake.tasks[task]["annotations"]
    number = len(annotations) + 1
    annotation = {"id": number, "result": list(results), "was_cancelled": False}
    annotations.append(annotation | {"ground_truth": False} | more)


def document(path="project-1.json"):
    found = json.loads(Path(path).read_text("utf-8"))
    jsonschema.validate(found, json.loads(SCHEMA_FILE.read_text("utf-8")))
    return found


def regions(path="project-1.json"):
    return [region for image in document(path)["images"] for region in image["regions"]]
