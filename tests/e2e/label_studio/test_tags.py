"""Tags beside brushes, polygons and boxes, in the editor: bitmasks, details, whole images."""

from __future__ import annotations

import numpy as np
from playwright.sync_api import expect

from label_studio_backend.translation.bitmask import read_bitmask
from tests.e2e.label_studio.api import of_type
from tests.e2e.label_studio.images import DrawnImage
from tests.e2e.label_studio.pages import LabelingPage, screenshot

BITMASK = """<View>
  <BitmaskLabels name="mask" toName="image"><Label value="cross"/><Label value="ring"/>
  </BitmaskLabels>
  <KeyPoint name="point" toName="image" smart="true"/>
  <Image name="image" value="$image" smoothing="false"/>
</View>"""
# Label Studio's templates "Image Captioning" and "Image Classification".
WHOLE = """<View>
  <Image name="image" value="$image"/>
  <TextArea name="caption" toName="image" rows="5" maxSubmissions="1"/>
  <Choices name="choice" toName="image" pam_label_fit="0">
    <Choice value="Weapons"/><Choice value="Violence"/></Choices>
</View>"""


def test_bitmasks_go_out_and_in_pixel_by_pixel(connect, api, backend, page):
    image = DrawnImage(16)
    star = image.only("orange", "star")
    project, [task] = connect("Bitmasks", BITMASK, ("shapes.png", image.png()))
    labeling = LabelingPage(page, project, task, image.size)
    labeling.switch_auto_annotation_on()
    page.locator(".lsf-tool_smart").first.hover()
    page.click(".lsf-toolbar__smart [aria-label=key-point-tool]")
    mark = backend.mark()
    labeling.click(*star.middle)
    labeling.accept()
    [asked] = [one for one in backend.since(mark, "/predict") if one.context]
    [sent] = of_type(asked.results, "bitmasklabels")
    mask = read_bitmask(sent["value"]["imageDataURL"], image.size)
    assert star.iou(mask) > 0.8
    # No label of the list fits; the details say what the model calls it.
    assert sent["value"]["bitmasklabels"] == []
    labeling.regions.first.click()
    expect(page.locator(".lsf-detailed-region__meta-text")).to_have_text("PAM: star")
    screenshot(page, "bitmask")
    # Another one, painted by hand.
    page.keyboard.press("Escape")
    page.click("[aria-label=bitmask-tool]")
    page.locator('.lsf-label:has(:text-is("ring"))').click()
    labeling.paint(star.box[:2], star.middle)
    screenshot(page, "bitmask-painted")

    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    saved, painted = of_type(annotation["result"], "bitmasklabels")
    assert np.array_equal(read_bitmask(saved["value"]["imageDataURL"], image.size), mask)
    assert (saved["id"], saved["meta"]) == (sent["id"], {"text": ["PAM: star"]})
    # Both are prompts now, which stay as they are.
    api.retrieve_predictions(project)
    [prediction] = api.predictions(task)
    again = of_type(prediction["result"], "bitmasklabels")
    assert [one["id"] for one in again] == [saved["id"], painted["id"]]
    assert again[1]["value"]["bitmasklabels"] == ["ring"]
    for before, after in zip((saved, painted), again, strict=True):
        masks = [read_bitmask(one["value"]["imageDataURL"], image.size) for one in (before, after)]
        assert np.array_equal(*masks)
        assert masks[0].any()


def test_a_whole_image_is_captioned_and_classified(connect, api, page):
    image = DrawnImage(16)
    project, [task] = connect("Whole images", WHOLE, ("shapes.png", image.png()))
    api.retrieve_predictions(project)
    [prediction] = api.predictions(task)
    caption, choice = prediction["result"]
    assert caption["value"]["text"][0]
    api.show_predictions(project)
    labeling = LabelingPage(page, project, task, image.size)
    screenshot(page, "whole-image")
    assert labeling.submit().status == 201
    [annotation] = api.annotations(task)
    assert {one["from_name"]: one["value"] for one in annotation["result"]} == {
        "caption": caption["value"],
        "choice": choice["value"],
    }
