"""Whole projects without a click, and single tasks when they are opened."""

from __future__ import annotations

import json

from playwright.sync_api import expect

from label_studio_backend.config.template import build_config
from pam_model import Task
from tests.e2e.label_studio.api import regions_of
from tests.e2e.label_studio.images import DrawnImage, decode_brush
from tests.e2e.label_studio.pages import LabelingPage, screenshot

LABELS = ("circle", "triangle", "crescent", "star", "cross", "ring", "hexagon", "heart")
CONFIG = build_config(LABELS, texts=(Task.BRIEF,))
# A quarter of the clicks that look for everything: CI has two slow cores for three servers.
FEWER_CLICKS = {"points_per_side": 16}


def test_the_action_of_the_data_manager_predicts_every_task(connect, api, backend, page):
    images = [DrawnImage(number) for number in (12, 10, 1)]
    files = [(f"shapes-{number}.png", one.png()) for number, one in enumerate(images)]
    project, tasks = connect("Batch", CONFIG, *files, extra_params=FEWER_CLICKS)
    mark = backend.mark()
    assert api.retrieve_predictions(project)["processed_items"] == len(images)

    exchanges = backend.since(mark, "/predict")
    assert sum(len(exchange.asked["tasks"]) for exchange in exchanges) == len(images)
    for task, image in zip(tasks, images, strict=True):
        [prediction] = api.predictions(task)
        assert prediction["model_version"].startswith("nano")
        assert 0 < prediction["score"] <= 1
        check_regions(prediction["result"], image)

    api.show_predictions(project)
    labeling = LabelingPage(page, project, tasks[0], images[0].size)
    expect(labeling.regions.nth(3)).to_be_visible()  # the list has only rows that can be seen
    screenshot(page, "pre-annotated")


def test_a_task_is_predicted_when_it_is_opened(connect, api, backend, page):
    image = DrawnImage(1)
    project, [task] = connect(
        "Opened",
        CONFIG,
        ("shapes.png", image.png()),
        show_predictions=True,
        extra_params=json.dumps(FEWER_CLICKS),
    )
    mark = backend.mark()
    labeling = LabelingPage(page, project, task, image.size)
    backend.wait(mark, "/predict", lambda exchange: exchange.context is None)
    # Label Studio asks, and saves, once for each of the requests that open the page.
    prediction = api.predictions(task)[0]
    expect(labeling.regions).to_have_count(len(regions_of(prediction["result"])))
    check_regions(prediction["result"], image)


def check_regions(results, image):
    """Most things are found, rightly called and described, under one id each."""
    regions = regions_of(results)
    assert all(len(name) == 10 for name in regions)
    found = {}
    for parts in regions.values():
        assert set(parts) == {"brushlabels", "textarea"}
        [label] = parts["brushlabels"]["value"]["brushlabels"]
        assert label in LABELS
        iou, thing = image.best_match(decode_brush(parts["brushlabels"]))
        if iou > 0.8:
            assert parts["textarea"]["value"]["text"][0]
            found[id(thing)] = label == thing.label
    assert len(found) >= 0.6 * len(image.things)
    assert sum(found.values()) >= 0.8 * len(found)
