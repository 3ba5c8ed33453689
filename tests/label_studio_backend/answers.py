"""Requests that a real Label Studio sent, and what their answers must be."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface.interface import LabelInterface

from tests.label_studio_backend.conftest import SEED, drawn

CLICKS = (
    "predict_interactive_kp_positive",
    "predict_interactive_kp_two_positive",
    "predict_interactive_kp_two_pos_one_neg_alt",
    "predict_interactive_rectangle",
    "predict_interactive_polygon_project_rectangle",
)


BATCHES = (
    "predict_batch_image_brush_2tasks",
    "predict_batch_image_polygon_2tasks",
    "predict_next_task",
    "predict_task_open",
    "predict_test_random",
    "predict_interactive_null_context",
)


VIDEOS = (
    "predict_batch_video_2tasks",
    "predict_interactive_video_rectangle",
    "predict_interactive_video_rectangle_no_label",
    "predict_interactive_video_second_object",
)


# Few clicks on the grid, so that finding everything takes no time.
QUICK = {"points_per_side": 6}


def size_of(seed=SEED):
    height, width = drawn(seed).image.shape[:2]
    return width, height


def clicked_object(seed=SEED):
    """The mask of the object that the captured clicks are on."""
    [item] = [item for item in drawn(seed).objects if item.mask[340, 116]]
    return item.mask


def set_up(client, sent, extra_params):
    body = {"project": sent["project"], "schema": sent["label_config"]}
    answer = client.post("/setup", json={**body, "extra_params": extra_params})
    assert answer.status_code == 200, answer.json


def mask_of(result, size):
    """The mask as Label Studio's own SDK decodes it, not this package."""
    width, height = size
    channels = decode_rle(result["value"]["rle"]).reshape(height, width, 4)
    assert np.isin(channels, (0, 255)).all()
    assert (channels == channels[..., :1]).all()
    return channels[..., 3] > 0


def assert_label_studio_takes(prediction, label_config, size):
    """Label Studio's SDK finds nothing wrong, and its decoder masks of the image's size."""
    interface = LabelInterface(label_config)
    assert interface.validate_prediction(prediction, return_errors=True) == []
    for result in prediction["result"]:
        if "original_width" in result or result["type"] == "brushlabels":
            assert (result["original_width"], result["original_height"]) == size
        if result["type"] == "brushlabels":
            assert mask_of(result, size).any()


def metric(backend, name, **labels):
    return backend.metrics.registry.get_sample_value(f"pam_{name}", labels) or 0


def batch(traffic, images):
    """A captured batch with these images, each with a box as its prompt."""
    sent = traffic("predict_batch_image_brush_2tasks")
    [box] = traffic("predict_interactive_rectangle")["params"]["context"]["result"]
    task = sent["tasks"][0]
    sent["tasks"] = [
        {**task, "id": number, "data": {"image": image}, "annotations": [{"result": [box]}]}
        for number, image in enumerate(images, start=1)
    ]
    return sent


class Slow:
    """The embedded model, waiting before each image of a batch until it may."""

    def __init__(self, annotator):
        self._annotator = annotator
        self.model_name = annotator.model_name
        self.may = threading.Semaphore(0)
        self.begun = 0
        self.closed = False

    def annotate_many(self, requests_, **options):
        def waiting(request):
            def make():
                made = request.make()
                if not self.closed:
                    self.may.acquire(timeout=30)
                self.begun += 1
                return made

            return replace(request, make=make)

        return self._annotator.annotate_many(map(waiting, requests_), **options)

    def close(self):
        self.closed = True
        self.may.release(100)


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
