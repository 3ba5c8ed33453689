"""Prompts from what the annotator drew: captured traffic, clicks and shapes."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.translation.drawn_regions import PromptDataError
from tests.label_studio_backend.translation.drawn import (
    BOX,
    PIXELS,
    SIZE,
    brush,
    disc,
    point,
    read,
    read_context,
    read_regions,
    shape,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"


def body(name):
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["json"]


def test_the_captured_click():
    sent = body("predict_interactive_kp_positive")
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.points == pytest.approx(np.array([[185.43, 499.07]]), abs=0.01)
    assert (pointed.labels, pointed.control, pointed.region_id) == (("object",), "kp", None)


def test_alt_clicks_as_captured_are_beside_the_object():
    sent = body("predict_interactive_kp_two_pos_one_neg_alt")
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.point_labels.tolist() == [True, True, False]


def test_a_background_click_alone_as_captured_is_answered_with_a_sentence():
    sent = body("predict_interactive_kp_background_label")
    config = LabelingConfig.parse(sent["label_config"])
    with pytest.raises(PromptDataError, match="click on the object first"):
        read_context(sent["params"]["context"]["result"], config, SIZE)


@pytest.mark.parametrize(
    "name", ["predict_interactive_rectangle", "predict_interactive_polygon_project_rectangle"]
)
def test_captured_rectangles(name):
    sent = body(name)
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.box == pytest.approx((64, 384, 320, 624), abs=1)
    assert pointed.labels == ("object",)


def test_an_annotation_as_captured_becomes_a_prompt_for_each_region():
    sent = body("predict_interactive_empty_context_on_submit")
    config = LabelingConfig.parse(sent["label_config"])
    regions = read_regions(sent["tasks"][0], config, SIZE, Options())
    assert [one.control for one in regions] == ["kp", "kp", "rect", "brush"]
    assert [one.region_id for one in regions][-1] == "QUniU-1IHV"
    assert regions[-1].prompt.mask.any()


def test_a_draft_as_captured_is_read():
    sent = body("predict_interactive_null_context")
    config = LabelingConfig.parse(sent["label_config"])
    (region,) = read_regions(sent["tasks"][0], config, SIZE, Options())
    assert region.prompt.box == pytest.approx((64, 96, 192, 288))
    assert region.region_id == "r1"


def test_a_region_with_text_and_choice_as_captured_is_one():
    saved = json.loads(
        (FIXTURES / "saved_annotation_brush_caption_choices.json").read_text(encoding="utf-8")
    )
    config = LabelingConfig.parse(body("predict_interactive_kp_positive")["label_config"])
    (region,) = read_regions({"annotations": [saved]}, config, SIZE, Options())
    assert (region.region_id, region.labels) == ("regA", ("object",))


def test_a_label_called_background_makes_a_point_negative():
    (pointed,) = read(point(10, 10), point(50, 50, "Background"))
    assert pointed.prompt.point_labels.tolist() == [True, False]
    assert pointed.labels == ("Car",)


def test_the_label_may_be_in_labels_alone():
    result = point(10, 10)
    del result["value"]["keypointlabels"]
    assert read(result)[0].labels == ("Car",)


def test_several_labels_stay_also_those_that_the_tag_does_not_know():
    several = point(10, 10)
    several["value"]["keypointlabels"] = ["Dog", "Zebra", " ", None, "Car", "Dog"]
    assert read(several)[0].labels == ("Dog", "Zebra", "Car")


def test_is_positive_in_the_value_means_nothing():
    result = point(10, 10)
    result["value"]["is_positive"] = False
    assert read(result)[0].prompt.point_labels.tolist() == [True]


def test_the_images_own_size_counts():
    result = point(50, 50, original_width=960, original_height=1440)
    assert read(result)[0].prompt.points.tolist() == [[320, 480]]


def test_a_click_on_the_image_on_its_side_is_refused():
    with pytest.raises(PromptDataError, match="960 x 640 pixels, lying on its side; upright"):
        read(point(50, 50, original_width=960, original_height=640))


def test_every_shape_is_an_object_of_its_own():
    polygon = {"points": [[10, 10], [40, 10], [40, 40]], "polygonlabels": ["Car"]}
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 30}
    regions = read(shape("poly", polygon), shape("rect", BOX), shape("ell", ellipse))
    assert [one.control for one in regions] == ["poly", "rect", "ell"]
    assert regions[0].prompt.mask is not None
    assert regions[1].prompt.box == pytest.approx(PIXELS)
    assert regions[2].prompt.box == pytest.approx((256, 432, 384, 528))
    assert regions[2].prompt.angle == 30


def test_points_refine_a_rectangle():
    turned = BOX | {"rotation": 20, "rectanglelabels": ["Dog"]}
    (pointed,) = read(point(20, 25), shape("rect", turned), point(30, 25, positive=False))
    assert pointed.prompt.angle == 20
    assert pointed.prompt.point_labels.tolist() == [True, False]
    assert (pointed.labels, pointed.control) == (("Dog",), "rect")


def test_points_refine_the_box_around_a_mask():
    (pointed,) = read(brush(disc()), point(50, 40, positive=False))
    assert pointed.prompt.mask is None
    assert pointed.prompt.box == (210, 310, 391, 491)


def test_points_beside_two_shapes_are_an_object_of_their_own():
    regions = read(shape("rect", BOX), shape("plain", BOX), point(80, 80))
    assert [one.control for one in regions] == ["rect", "plain", "kp"]


def test_negative_points_beside_two_shapes_are_refused():
    with pytest.raises(PromptDataError, match="click on the object"):
        read(shape("rect", BOX), shape("plain", BOX), point(80, 80, positive=False))


def test_a_shape_labelled_background_is_refused_alone():
    with pytest.raises(PromptDataError, match="background"):
        read(shape("rect", BOX | {"rectanglelabels": ["背景"]}))


def test_a_painted_mask_stays_as_it_is():
    (pointed,) = read(brush(disc()))
    assert np.array_equal(pointed.prompt.mask, disc())


def test_a_mask_of_another_size_is_resized():
    half = disc()[::2, ::2]
    (pointed,) = read(brush(half))
    assert np.array_equal(pointed.prompt.mask[::2, ::2], half)


def test_a_mask_without_its_size_is_read_at_the_images():
    result = brush(disc()) | {"original_width": None, "original_height": "640"}
    assert np.array_equal(read(result)[0].prompt.mask, disc())


def test_a_mask_of_the_image_on_its_side_is_refused():
    with pytest.raises(PromptDataError, match="on its side"):
        read(brush(np.ascontiguousarray(disc().T)))


def test_a_thin_stroke_becomes_points():
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.line(mask, (100, 100), (400, 500), 1, thickness=10)
    (pointed,) = read(brush(mask.astype(bool)), point(90, 90, positive=False))
    assert pointed.prompt.mask is None
    assert pointed.prompt.point_labels.tolist() == [True] * 5 + [False]


def test_the_label_of_a_plain_shape_is_that_of_its_labels_result():
    results = [
        shape("labels", BOX | {"labels": ["Dog"]}, id="region-one"),
        shape("plain", BOX, id="region-one"),
        shape("caption", BOX | {"text": ["a dog"]}, id="region-one"),
    ]
    (pointed,) = read(*results)
    assert (pointed.labels, pointed.control) == (("Dog",), "plain")
