"""Results as the editor posts them, and how they are read."""

from __future__ import annotations

import cv2
import numpy as np
from label_studio_sdk.converter.brush import mask2rle

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation.drawn_regions import drawn_regions
from label_studio_backend.translation.prompts import click_prompts, task_prompts

SIZE = (640, 960)
CONFIG = LabelingConfig.parse("""
<View>
  <Image name="image" value="$image"/>
  <Image name="other" value="$other"/>
  <KeyPointLabels name="kp" toName="image" smart="true">
    <Label value="Car"/><Label value="Dog"/><Label value="Background"/>
  </KeyPointLabels>
  <RectangleLabels name="rect" toName="image" smart="true">
    <Label value="Car"/><Label value="Dog"/><Label value="背景"/>
  </RectangleLabels>
  <EllipseLabels name="ell" toName="image"><Label value="Car"/></EllipseLabels>
  <PolygonLabels name="poly" toName="image"><Label value="Car"/></PolygonLabels>
  <Brush name="paint" toName="image"/>
  <BitmaskLabels name="bits" toName="image"><Label value="Car"/></BitmaskLabels>
  <Rectangle name="plain" toName="image"/>
  <Labels name="labels" toName="image"><Label value="Cat"/><Label value="Dog"/></Labels>
  <RectangleLabels name="elsewhere" toName="other"><Label value="Car"/></RectangleLabels>
  <TextArea name="caption" toName="image" perRegion="true"/>
  <VideoRectangle name="track" toName="image"/>
</View>
""")
BOX = {"x": 10, "y": 20, "width": 30, "height": 10, "rotation": 0}
PIXELS = (64, 192, 256, 288)


def point(x, y, label="Car", *, positive=True, **more):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label], "labels": [label]}
    return {"from_name": "kp", "to_name": "image", "value": value, "is_positive": positive} | more


def shape(name, value, **more):
    return {"from_name": name, "to_name": "image", "value": value} | more


def brush(mask, **more):
    height, width = mask.shape
    value = {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255)}
    frame = {"original_width": width, "original_height": height}
    return shape("paint", value, **frame, **more)


def disc():
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(mask, (300, 400), 90, 1, -1)
    return mask.astype(bool)


def read_context(results, config, size, image="image"):
    regions = drawn_regions(results, config)
    return click_prompts([region for region in regions if region.image == image], size)


def read_regions(task, config, size, options):
    image = map_outputs(config, options).image.name
    return task_prompts(task, config, size, options=options, image=image)


def read(*results):
    return read_context(list(results), CONFIG, SIZE)


def regions(task, options=None):
    return read_regions(task, CONFIG, SIZE, options or Options())


def polygon(x, y):
    return shape("poly", {"points": [[x, y], [x + 3, y + 1], [x + 1, y + 3]]})
