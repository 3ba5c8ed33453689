"""The interface that `label-config` prints, as an annotator finds it."""

from __future__ import annotations

import json

import pytest
from playwright.sync_api import expect

from label_studio_backend.config.template import build_config
from tests.e2e.label_studio.api import of_type
from tests.e2e.label_studio.images import DrawnImage
from tests.e2e.label_studio.pages import LabelingPage, screenshot

LABELS = ("cross", "circle", "star")
PRINTED = build_config(LABELS)
SMALL_SCREEN = {"width": 1280, "height": 720}
HUNDRED_WORDS = " ".join(f"word{number}" for number in range(100))


@pytest.fixture(scope="module")
def image():
    return DrawnImage(16)


@pytest.fixture
def start(connect, page, image):
    """Make a project and open its only task."""

    def start(title, config=PRINTED):
        project, [task] = connect(title, config, ("shapes.png", image.png()))
        labeling = LabelingPage(page, project, task, image.size)
        labeling.switch_auto_annotation_on()
        return labeling, project, task

    return start


def answered(backend, mark):
    """The numbers of points or boxes of the prompts; each was answered with a region."""
    asked = [exchange for exchange in backend.since(mark, "/predict") if exchange.context]
    assert all(exchange.results for exchange in asked)
    return [len({prompt["id"] for prompt in exchange.context}) for exchange in asked]


def test_a_label_is_taken_once_for_clicks_and_boxes(start, api, backend, image):
    labeling, _, task = start("Taken once")
    cross, star = image.only("yellow", "cross"), image.only("orange", "star")
    circle = image.only("red", "circle")
    mark = backend.mark()
    labeling.choose("key-point")
    labeling.take("circle")
    for thing in (circle, image.only("orange", "heart"), image.only("red", "hexagon")):
        labeling.click(*thing.middle)
        labeling.accept()
    # A point to add, and one on what is too much.
    labeling.click(*cross.middle)
    labeling.click(cross.middle[0] + 20, cross.middle[1])
    labeling.click(*star.middle, "Alt")
    labeling.accept()
    labeling.choose("rectangle")
    labeling.drag(*image.only("cyan", "crescent").box)
    labeling.accept()
    labeling.page.keyboard.press("3")  # the key that stands beside another label
    labeling.drag(*star.box)
    labeling.accept()
    assert answered(backend, mark) == [1, 1, 1, 1, 2, 3, 1, 1]
    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    masks = of_type(annotation["result"], "brushlabels")
    labels = [mask["value"]["brushlabels"] for mask in masks]
    assert labels == [["circle"]] * 5 + [["star"]]


def test_every_tool_can_be_used(start, backend, image):
    labeling, *_ = start("Tools")
    tools = labeling.toolbar.locator("[aria-label]")
    names = [tools.nth(index).get_attribute("aria-label") for index in range(tools.count())]
    smart = ["key-point-tool", "rectangle-tool", "rectangle-3-point-tool"]
    # The eraser is grey until a mask is selected.
    assert names == ["eraser", "move-tool", "pan", "zoom-in", "zoom-out", *smart]
    mark = backend.mark()
    labeling.choose("rectangle-3-point")
    labeling.draw_by_three_points(*image.only("yellow", "cross").box)
    assert answered(backend, mark) == [1]


def test_a_click_on_a_region_selects_it_and_with_ctrl_asks(start, page, backend, image):
    labeling, *_ = start("Existing")
    star, cross = image.only("orange", "star"), image.only("yellow", "cross")
    details = page.get_by_text("View region details")
    labeling.choose("key-point")
    labeling.take("star")
    labeling.click(*star.middle)
    labeling.accept()
    mark = backend.mark()
    labeling.click_only(*star.middle)
    expect(details).to_be_hidden()  # instead of those of the region
    page.keyboard.press("Escape")
    expect(details).to_be_visible()
    labeling.take("star")
    assert answered(backend, mark) == []
    labeling.click(*star.middle, "Control")
    labeling.accept()
    labeling.click(*cross.middle)
    labeling.click(*star.middle, "Control", "Alt")
    assert answered(backend, mark) == [1, 1, 2]


def test_the_label_of_a_selected_region_can_be_corrected(start, api, image):
    labeling, project, task = start("Corrected")
    labeling.choose("key-point")
    labeling.take("cross")
    labeling.click(*image.only("red", "circle").middle)
    labeling.accept()
    labeling.regions.first.click()
    labeling.take("circle")
    screenshot(labeling.page, "interface-corrected")
    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    [mask] = of_type(annotation["result"], "brushlabels")
    assert mask["value"]["brushlabels"] == ["circle"]
    exported = json.loads(api.export(project, "BRUSH_TO_COCO")["result_coco.json"])
    names = {category["id"]: category["name"] for category in exported["categories"]}
    assert {names[item["category_id"]] for item in exported["annotations"]} == {"circle"}


@pytest.mark.parametrize("count", [3, 40])
def test_labels_leave_room_for_the_image_and_the_tools(start, page, count):
    page.set_viewport_size(SMALL_SCREEN)
    labels = [f"label {number}" for number in range(count)]
    labeling, *_ = start(f"{count} labels", build_config(labels))
    screenshot(page, f"interface-{count}-labels")
    for part in (labeling.toolbar, page.locator("canvas").first):
        box = part.bounding_box()
        assert box["y"] > 0
        assert box["y"] + box["height"] < SMALL_SCREEN["height"]
    labeling.take(labels[-1])  # a row that is to be scrolled to
    expect(page.locator(".lsf-label_selected")).to_contain_text(labels[-1])


def test_a_hundred_words_can_be_read(start, page, image):
    labeling, *_ = start("Words")
    labeling.choose("key-point")
    labeling.take("circle")
    labeling.click(*image.only("red", "circle").middle)
    labeling.accept()
    for row in (0, 1):
        labeling.write_text(0, row, HUNDRED_WORDS)
        seen = "field => [field.scrollHeight - field.clientHeight, field.clientHeight]"
        hidden, height = labeling.text(0, row).evaluate(seen)
        assert hidden <= 0
        assert height > 100
    screenshot(page, "interface-hundred-words")


def test_an_interface_of_version_0_1_goes_on_working(start, api, image):
    labels = "".join(f'<Label value="{label}"/>' for label in LABELS)
    rows = "".join(
        f'<{tag} name="{name}" toName="image" smart="true">{labels}</{tag}>'
        for tag, name in (("BrushLabels", "mask"), ("KeyPointLabels", "point"))
    )
    text = '<TextArea name="caption" toName="image" pam="brief" perRegion="true"/>'
    config = f'<View>{rows}<Image name="image" value="$image" zoom="true"/>{text}</View>'
    labeling, _, task = start("Version 0.1", config)
    labeling.choose("key-point")
    labeling.take("star", row=1)
    labeling.click(*image.only("orange", "star").middle)
    labeling.accept()
    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    [mask] = of_type(annotation["result"], "brushlabels")
    assert mask["value"]["brushlabels"] == ["star"]
