"""Regions, and the predictions that are written of them."""

from __future__ import annotations

import json

import cv2
import numpy as np

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation.predictions import write_prediction
from label_studio_backend.translation.prompts import RegionPrompt, task_prompts
from pam_labeling.regions import Provenance, Region, Scores
from pam_labeling.vocabulary import Choice
from pam_model.prompts import Prompt
from pam_model.tasks import Task
from tests.label_studio_backend.prediction_check import check_prediction

SIZE = (64, 48)
LABELS = '<Label value="Car"/><Label value="Dog"/><Label value="Background"/>'
WORDS = """
  <TextArea name="caption" toName="image" perRegion="true"/>
  <TextArea name="definition" toName="image" perRegion="true"/>
  <Choices name="category" toName="image" perRegion="true">
    <Choice value="animal"/><Choice value="machine"/>
  </Choices>
  <Taxonomy name="class" toName="image" perRegion="true">
    <Choice value="living"><Choice value="dog"/></Choice><Choice value="dead"/>
  </Taxonomy>
"""
SHAPES = ["Brush", "Bitmask", "Polygon", "Ellipse", "Rectangle", "KeyPoint"]


def config_of(shape, words=WORDS):
    separate = f'<Labels name="labels" toName="image">{LABELS}</Labels>'
    inside, beside = (LABELS, "") if shape.endswith("Labels") else ("", separate)
    return LabelingConfig.parse(
        f'<View><Image name="image" value="$image"/>'
        f'<{shape} name="shape" toName="image">{inside}</{shape}>{beside}{words}</View>'
    )


def blob(x=20, y=12, radius=8):
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask.astype(bool)


def region(mask=None, label="Dog", iou=0.9, share=0.5, choices=True):
    chosen = {
        "category": Choice("animal", 0.75, np.array([0.75, 0.25], np.float32), 0.0),
        "class": Choice("living > dog", 0.5, np.array([0.5, 0.5], np.float32), 0.0),
    }
    return Region.from_mask(
        blob() if mask is None else mask,
        Scores(iou=iou, object=0.9, label=share),
        Provenance("nano", "0"),
        label=label,
        texts={(Task.BRIEF, "en"): "a brown dog", (Task.DEFINITION, "en"): ""},
        choices=chosen if choices else {},
    )


def clicked(*labels, region_id=None, prompt=None):
    return RegionPrompt(prompt or Prompt.from_points([(20, 12)]), labels, "kp", region_id)


def predict(config, *answers, **options):
    options = Options(**options)
    plan = map_outputs(config, options)
    prediction = write_prediction(answers, plan, options, model_version="nano (pam-labeling 0)")
    check_prediction(prediction, config, SIZE)
    json.dumps(prediction, allow_nan=False)
    return prediction


def by_tag(prediction):
    return {result["from_name"]: result for result in prediction["result"]}


def again(config, prediction):
    task = {"predictions": [{"result": prediction["result"], "model_version": "another"}]}
    return task_prompts(task, config, SIZE, options=Options(), image="image")
