"""An image with pages, and several images, in Label Studio's own editor."""

from __future__ import annotations

import base64

from playwright.sync_api import expect

from label_studio_backend.config.template import build_config
from pam_model import Task
from tests.e2e.label_studio.api import of_type
from tests.e2e.label_studio.images import DrawnImage, decode_brush
from tests.e2e.label_studio.pages import LabelingPage, screenshot
from tests.e2e.label_studio.test_labelling import interactive

CONFIG = build_config(("cross", "circle", "heart", "hexagon", "star"), texts=(Task.BRIEF,))


def import_task(api, project, **data):
    api.call("POST", f"/api/projects/{project.id}/import", json=[data])
    [task] = api.call("GET", f"/api/tasks?project={project.id}")["tasks"]
    return int(task["id"])


def address(image):
    return f"data:image/png;base64,{base64.b64encode(image.png()).decode()}"


def test_clicks_and_predictions_are_on_the_pages_that_they_belong_to(connect, api, backend, page):
    first, second = DrawnImage(18), DrawnImage(16)
    cross = second.only("yellow", "cross")
    project, _ = connect("Pages", CONFIG.replace('value="$image"', 'valueList="$pages"'))
    task = import_task(api, project, pages=[address(first), address(second)])
    labeling = LabelingPage(page, project, task, second.size)
    page.locator(".lsf-pagination__btn_arrow-right").first.click()
    expect(page.locator(".lsf-pagination__page-indicator")).to_have_text("2 of 2")
    labeling.switch_auto_annotation_on()
    mark = backend.mark()
    labeling.choose("key-point")
    labeling.take("cross")
    labeling.click(*cross.middle)
    screenshot(page, "page")
    labeling.accept()
    assert labeling.submit().status == 201

    [exchange] = interactive(backend, mark)
    assert {prompt["item_index"] for prompt in exchange.context} == {1}
    [annotation] = api.annotations(task)
    [saved] = of_type(annotation["result"], "brushlabels")
    assert saved["item_index"] == 1
    assert cross.iou(decode_brush(saved)) > 0.8

    api.retrieve_predictions(project)
    [prediction] = api.predictions(task)
    assert {result["item_index"] for result in prediction["result"]} == {0, 1}


def test_the_editor_has_no_tools_for_a_tag_on_two_images(api, page):
    two = '<Image name="image" value="$a"/><Image name="b" value="$b"/>'
    image = address(DrawnImage(16))
    for to_name, tools in (("image", 1), ("image,b", 0)):
        brush = f'<BrushLabels name="m" toName="{to_name}"><Label value="star"/></BrushLabels>'
        config = f"<View>{two}{brush}</View>"
        project = api.create_project("Two images", config, show_predictions=False)
        task = import_task(api, project, a=image, b=image)
        page.goto(f"{project.url}/data?task={task}")
        expect(page.locator("img[alt=image]")).to_have_count(2)
        expect(page.locator("[aria-label=brush-tool]")).to_have_count(tools)
