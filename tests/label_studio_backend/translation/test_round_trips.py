"""What is written is read back the same, and wrong predictions are never sent."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from label_studio_backend.translation.predictions import PredictionError
from pam_labeling.formats.brush_rle import encode
from tests.label_studio_backend.prediction_check import check_prediction
from tests.label_studio_backend.translation.written import (
    SHAPES,
    SIZE,
    again,
    blob,
    by_tag,
    config_of,
    predict,
    region,
)

_MASKS = arrays(np.bool_, (SIZE[1], SIZE[0]), elements=st.booleans(), fill=st.just(False)).filter(
    np.any
)


@settings(deadline=None)
@given(_MASKS)
@pytest.mark.parametrize("shape", ["BrushLabels", "Brush", "BitmaskLabels", "Bitmask"])
def test_a_brush_comes_back_exactly(shape, mask):
    config = config_of(shape)
    (back,) = again(config, predict(config, (region(mask), None)))
    assert np.array_equal(back.prompt.mask, mask)
    assert back.labels == ("Dog",)


@settings(deadline=None)
@given(_MASKS)
@pytest.mark.parametrize("shape", ["RectangleLabels", "Rectangle"])
def test_a_rectangle_comes_back_exactly(shape, mask):
    config = config_of(shape)
    (back,) = again(config, predict(config, (region(mask), None)))
    assert back.prompt.box == pytest.approx(region(mask).box, abs=1e-9)
    assert back.labels == ("Dog",)


@settings(deadline=None, max_examples=30)
@given(st.integers(12, 50), st.integers(12, 36), st.integers(5, 11))
def test_a_polygon_comes_back_closely(x, y, radius):
    config = config_of("PolygonLabels")
    mask = blob(x, y, radius)
    answer = (region(mask), None)
    (back,) = again(config, predict(config, answer, polygon_tolerance=0.5))
    both = np.count_nonzero(back.prompt.mask & mask)
    assert both / np.count_nonzero(back.prompt.mask | mask) > 0.85


@settings(deadline=None, max_examples=40)
@given(_MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_mask_makes_a_prediction_that_may_be_sent(shape, mask):
    config = config_of(f"{shape}Labels")
    assert again(config, predict(config, (region(mask), None)))


def brush_prediction():
    return predict(config_of("BrushLabels"), (region(), None))


def change(prediction, path, value):
    *way, last = path
    target = prediction
    for key in way:
        target = target[key]
    target[last] = value


SHAPE = ("result", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*SHAPE, "value", "rle"), [0, 1, 2, 3], "run lengths"),
        ((*SHAPE, "value", "rle"), encode(blob())[:-4], "cut off"),
        ((*SHAPE, "value", "rle"), encode(np.ones((64, 64), np.bool_)), "4,096 pixels"),
        ((*SHAPE, "value", "rle"), encode(np.zeros((48, 64), np.bool_)), "empty"),
        ((*SHAPE, "value", "rle"), None, "run lengths"),
        ((*SHAPE, "value", "brushlabels"), ["Zebra"], "no \\['Zebra'\\]"),
        ((*SHAPE, "value", "brushlabels"), ["Background"], "no \\['Background'\\]"),
        ((*SHAPE, "value"), {}, "brushlabels"),
        ((*SHAPE, "from_name"), "brush", 'no tag "brush"'),
        ((*SHAPE, "to_name"), "photo", "is not on 'photo'"),
        ((*SHAPE, "type"), "brush", "no results of type 'brush'"),
        ((*SHAPE, "original_width"), 63, "original size"),
        ((*SHAPE, "original_height"), None, "original size"),
        ((*SHAPE, "image_rotation"), 90, "not turned"),
        ((*SHAPE, "id"), "regA", "10 characters"),
        ((*SHAPE, "id"), None, "10 characters"),
        ((*SHAPE, "id"), "another-region", "0 shapes"),
        ((*SHAPE, "score"), math.nan, "score"),
        ((*SHAPE, "score"), "0.5", "score"),
        ((*SHAPE, "score"), True, "score"),
        (("score",), 1.5, "score"),
        (("score",), None, "score"),
        (("model_version",), "", "model_version"),
        (("result",), [None], "form"),
        (("result",), None, "form"),
        (("result", 1, "value", "text"), [" "], "no text"),
        (("result", 1, "value", "text"), [], "no text"),
        (("result", 2, "value", "choices"), ["plant"], "no \\['plant'\\]"),
        (("result", 2, "value", "choices"), [], "nothing is chosen"),
        (("result", 3, "value", "taxonomy"), [["dog"]], "no \\[\\('dog',\\)\\]"),
    ],
)
def test_what_is_wrong_is_never_sent(path, value, message):
    prediction = brush_prediction()
    change(prediction, path, value)
    with pytest.raises(PredictionError, match=message):
        check_prediction(prediction, config_of("BrushLabels"), SIZE)


@pytest.mark.parametrize(
    ("shape", "key", "value", "message"),
    [
        ("RectangleLabels", "x", -1, "x is -1"),
        ("RectangleLabels", "x", math.nan, "x is nan"),
        ("RectangleLabels", "width", 95, "ends outside"),
        ("RectangleLabels", "height", 0, "height is 0"),
        ("RectangleLabels", "rotation", 400, "rotation is 400"),
        ("EllipseLabels", "radiusX", 101, "radiusX is 101"),
        ("EllipseLabels", "radiusX", 60, "label_studio_sdk refuses"),
        ("KeyPointLabels", "y", math.inf, "y is inf"),
        ("PolygonLabels", "points", [[1, 1], [2, 2]], "3 points or more"),
        ("PolygonLabels", "points", [[1, 1], [2, 2], [3, 101]], "outside 0 to 100"),
        ("PolygonLabels", "points", [[1, 1], [2, 2], [3, math.nan]], "outside 0 to 100"),
        ("PolygonLabels", "points", [1, 2, 3], "form"),
    ],
)
def test_geometry_outside_the_image_is_never_sent(shape, key, value, message):
    config = config_of(shape)
    prediction = predict(config, (region(), None))
    change(prediction, (*SHAPE, "value", key), value)
    with pytest.raises(PredictionError, match=message):
        check_prediction(prediction, config, SIZE)


def test_an_id_shared_by_two_regions_is_never_sent():
    config = config_of("BrushLabels")
    prediction = predict(config, (region(), None), (region(), None))
    for result in prediction["result"]:
        result["id"] = "the-same-for-all"
    with pytest.raises(PredictionError, match="more than one region"):
        check_prediction(prediction, config, SIZE)


def test_an_empty_label_of_labels_is_never_sent():
    config = config_of("Brush")
    prediction = predict(config, (region(), None))
    by_tag(prediction)["labels"]["value"]["labels"] = []
    with pytest.raises(PredictionError, match="no label"):
        check_prediction(prediction, config, SIZE)


def test_tags_that_are_not_answered_in_are_never_sent():
    config = config_of("BrushLabels", '<Rating name="stars" toName="image" perRegion="true"/>')
    prediction = predict(config, (region(), None))
    rating = copy.deepcopy(prediction["result"][0])
    rating |= {"from_name": "stars", "type": "rating", "value": {"rating": 3}}
    prediction["result"].append(rating)
    with pytest.raises(PredictionError, match="not a tag that is answered in"):
        check_prediction(prediction, config, SIZE)
