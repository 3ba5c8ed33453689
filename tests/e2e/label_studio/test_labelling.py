"""From a drawn image to a submitted annotation, as an annotator does it: click by click."""

from __future__ import annotations

import json

import numpy as np
import pytest

from label_studio_backend.config.template import build_config
from pam_model import Task
from tests.e2e.label_studio.api import of_type, regions_of
from tests.e2e.label_studio.images import DrawnImage, decode_brush, fill_polygon
from tests.e2e.label_studio.pages import LabelingPage, screenshot

LABELS = ("cross", "circle", "heart", "hexagon", "star")
BRUSH = build_config(LABELS, texts=(Task.BRIEF,))
ID_LENGTH = 10  # as Label Studio's own
CAPTION = "a cross that I have looked at myself"


@pytest.fixture(scope="module")
def image():
    return DrawnImage(16)


def test_clicks_a_rectangle_and_a_caption_are_saved_as_sent(connect, api, backend, page, image):
    cross, circle = image.only("yellow", "cross"), image.only("red", "circle")
    star = image.only("orange", "star")
    project, [task] = connect("Clicks", BRUSH, ("shapes.png", image.png()))
    labeling = LabelingPage(page, project, task, image.size)
    labeling.switch_auto_annotation_on()
    mark = backend.mark()

    # A click, and an Alt+click on what does not belong to it.
    labeling.choose("key-point")
    labeling.take("cross")
    labeling.click(*cross.middle)
    screenshot(page, "click")
    labeling.click(*star.middle, "Alt")
    labeling.accept()
    # A rectangle.
    labeling.choose("rectangle")
    labeling.take("circle")
    labeling.drag(*circle.box)
    screenshot(page, "rectangle")
    labeling.accept()

    first, refined, boxed = interactive(backend, mark)
    signs = [prompt["is_positive"] for prompt in of_type(first.context, "keypoint")]
    refined_signs = [prompt["is_positive"] for prompt in of_type(refined.context, "keypoint")]
    assert (signs, refined_signs) == ([True], [True, False])
    assert [prompt["type"] for prompt in boxed.context] == ["rectangle", "labels"]
    assert all(exchange.authorised for exchange in (first, refined, boxed))

    # The caption as PAM wrote it, and as it was corrected.
    assert "cross" in labeling.text(0, 0).input_value()
    assert "circle" in labeling.text(1, 0).input_value()
    screenshot(page, "labelled")
    labeling.write_text(0, 0, CAPTION)
    before_submit = backend.mark()
    assert labeling.submit().status == 201

    [annotation] = api.annotations(task)
    saved = regions_of(annotation["result"])
    assert set(saved) == set(regions_of(refined.results)) | set(regions_of(boxed.results))
    for exchange, thing, label in ((refined, cross, "cross"), (boxed, circle, "circle")):
        [(name, sent)] = regions_of(exchange.results).items()
        brush, brush_sent = saved[name]["brushlabels"], sent["brushlabels"]
        assert len(name) == ID_LENGTH
        # Label Studio adds the label that is taken when the mask is accepted.
        assert set(saved[name]) == {"brushlabels", "textarea", "labels"}
        assert brush["value"]["brushlabels"] == [label]
        assert np.array_equal(decode_brush(brush), decode_brush(brush_sent))
        assert thing.iou(decode_brush(brush)) > 0.8
    [clicked] = regions_of(refined.results)
    [rectangle] = regions_of(boxed.results)
    assert saved[clicked]["textarea"]["value"]["text"] == [CAPTION]
    assert (
        saved[rectangle]["textarea"]["value"]["text"]
        == regions_of(boxed.results)[rectangle]["textarea"]["value"]["text"]
    )
    assert_nothing_broke(page, backend, before_submit)


def test_a_smart_rectangle_is_answered_as_a_polygon(connect, api, backend, page):
    image = DrawnImage(18)
    arrow = image.only("brown", "arrow")
    config = build_config(("arrow", "circle", "hexagon"), geometry="polygon", texts=(Task.BRIEF,))
    project, [task] = connect("Polygons", config, ("shapes.png", image.png()))
    labeling = LabelingPage(page, project, task, image.size)
    labeling.switch_auto_annotation_on()
    mark = backend.mark()
    labeling.choose("rectangle")
    labeling.take("arrow")
    labeling.drag(*arrow.box)
    labeling.accept()
    screenshot(page, "polygon")
    assert labeling.submit().status == 201

    [sent] = of_type(interactive(backend, mark)[0].results, "polygonlabels")
    [annotation] = api.annotations(task)
    [saved] = of_type(annotation["result"], "polygonlabels")
    assert saved["id"] == sent["id"]
    assert saved["value"]["polygonlabels"] == ["arrow"]
    assert np.allclose(saved["value"]["points"], sent["value"]["points"], atol=1e-6)
    assert arrow.iou(fill_polygon(saved)) > 0.8
    [caption] = of_type(annotation["result"], "textarea")
    assert caption["id"] == saved["id"]
    assert "arrow" in caption["value"]["text"][0]
    exported = json.loads(api.export(project, "COCO")["result.json"])
    assert len(exported["annotations"]) == 1


def test_a_click_is_answered_as_a_rectangle(connect, api, backend, page):
    image = DrawnImage(10)
    cross = image.only("blue", "cross")
    config = build_config(("cross", "heart"), geometry="rectangle", texts=(Task.BRIEF,))
    project, [task] = connect("Boxes", config, ("shapes.png", image.png()))
    labeling = LabelingPage(page, project, task, image.size)
    labeling.switch_auto_annotation_on()
    labeling.choose("key-point")
    labeling.take("cross")
    labeling.click(*cross.middle)
    labeling.accept()
    assert labeling.submit().status == 201

    [annotation] = api.annotations(task)
    [saved] = of_type(annotation["result"], "rectangle")
    [label] = of_type(annotation["result"], "labels")
    value = saved["value"]
    assert label["value"] == value | {"labels": ["cross"]}
    width, height = image.size
    found = (
        value["x"] * width / 100,
        value["y"] * height / 100,
        (value["x"] + value["width"]) * width / 100,
        (value["y"] + value["height"]) * height / 100,
    )
    assert found == pytest.approx(cross.box, abs=4)


def interactive(backend, mark):
    """The answered requests with prompts, in their order."""
    asked = [exchange for exchange in backend.since(mark, "/predict") if exchange.context]
    assert all(exchange.status == 200 for exchange in asked)
    return asked


def assert_nothing_broke(page, backend, mark):
    """The request after Submit is answered, and nothing is put back on the page."""
    page.wait_for_timeout(2000)  # it posts without being waited for
    for exchange in backend.since(mark, "/predict"):
        assert exchange.status == 200
        assert exchange.context == []
        assert exchange.results == []
    assert all(exchange.status == 200 for exchange in backend.since(mark, "/webhook"))
    assert page.locator("[data-testid=bottombar-accept-suggestions-button]").count() == 0
