"""Tasks with several images, and images with several pages: clicks and batches over HTTP."""

from __future__ import annotations

import base64

import pytest

from tests.label_studio_backend.answers import (
    QUICK,
    assert_label_studio_takes,
    clicked_object,
    mask_of,
    size_of,
)
from tests.label_studio_backend.conftest import SEED, iou, png

LABELS = '<Label value="object"/><Label value="thing"/>'
TAGS = (
    '<BrushLabels name="mask{}" toName="{}" smart="false">' + LABELS + "</BrushLabels>"
    '<KeyPointLabels name="point{}" toName="{}" smart="true">' + LABELS + "</KeyPointLabels>"
    '<TextArea name="caption{}" toName="{}" perRegion="true"/>'
)
OTHER, CLICKED = (
    f"data:image/png;base64,{base64.b64encode(png(seed)).decode()}" for seed in (SEED + 1, SEED)
)


def tags(suffix, image):
    return TAGS.format(*(suffix, image) * 3)


PAGES = f'<View><Image name="pdf" valueList="$doc.pages"/>{tags("", "pdf")}</View>'
TWO = (
    '<View><Image name="a" value="$images[0]"/><Image name="b" value="$images[1].url"/>'
    f"{tags('_a', 'a')}{tags('_b', 'b')}</View>"
)
SHARED = (
    '<View><Image name="a" value="$images[0]"/><Image name="b" value="$images[1].url"/>'
    f"{tags('', 'a,b')}</View>"
)
REPEATED = (
    '<View><Repeater on="$doc.pages"><Image name="page_{{idx}}" value="$doc.pages[{{idx}}]"/>'
    f"<View>{tags('_{{idx}}', 'page_{{idx}}')}</View></Repeater></View>"
)
# The config; the image, page and suffix of the tags that the second picture has.
CASES = [
    pytest.param(PAGES, "pdf", 1, "", id="pages"),
    pytest.param(TWO, "b", None, "_b", id="two images"),
    pytest.param(SHARED, "b", None, "", id="toName of two"),
    pytest.param(REPEATED, "page_1", None, "_1", id="repeater"),
]


def body(config, context=None, **task):
    data = {"doc": {"pages": [OTHER, CLICKED]}, "images": [OTHER, {"url": CLICKED}]}
    tasks = [{"id": 1, "data": data} | task]
    return {
        "tasks": tasks,
        "label_config": config,
        "project": "1.1",
        "params": {"context": context},
    }


def point(image, page, suffix, x=116, y=340):
    width, height = size_of()
    value = {
        "x": 100 * x / width,
        "y": 100 * y / height,
        "width": 0.3,
        "keypointlabels": ["object"],
    }
    frame = {"from_name": f"point{suffix}", "to_name": image, "type": "keypointlabels"}
    place = {} if page is None else {"item_index": page}
    return {"id": "a-region-id", "value": value, "is_positive": True} | frame | place


def places(prediction):
    return {
        (one["from_name"], one["to_name"], one.get("item_index")) for one in prediction["result"]
    }


def set_up(client, config):
    body = {"project": "1.1", "schema": config, "extra_params": {**QUICK, "label_fit": 0}}
    answer = client.post("/setup", json=body)
    assert answer.status_code == 200, answer.json
    return answer.json["hints"]


@pytest.mark.parametrize(("config", "image", "page", "suffix"), CASES)
def test_a_click_is_answered_on_its_own_image_and_page(client, config, image, page, suffix):
    context = {"result": [point(image, page, suffix)]}
    answer = client.post("/predict", json=body(config, context))
    assert answer.status_code == 200, answer.json
    [prediction] = answer.json["results"]
    mask, caption = prediction["result"]
    assert iou(mask_of(mask, size_of()), clicked_object()) > 0.9
    assert caption["value"]["text"][0]
    assert places(prediction) == {(f"{tag}{suffix}", image, page) for tag in ("mask", "caption")}
    if config != REPEATED:  # the SDK cannot repeat
        assert_label_studio_takes(prediction, config, size_of())


@pytest.mark.parametrize(("config", "image", "page", "suffix"), CASES)
def test_every_image_and_page_of_a_task_is_annotated(client, config, image, page, suffix):
    assert bool(set_up(client, config)) == (config == SHARED)
    region = point(image, page, suffix)
    answer = client.post("/predict", json=body(config, annotations=[{"result": [region]}]))
    [prediction] = answer.json["results"]
    masks = [one for one in prediction["result"] if one["from_name"].startswith("mask")]
    # Where the annotator pointed, that region; everything on the other image.
    [pointed] = [one for one in masks if (one["to_name"], one.get("item_index")) == (image, page)]
    assert pointed["id"] == "a-region-id"
    assert iou(mask_of(pointed, size_of()), clicked_object()) > 0.9
    found = [one for one in masks if one is not pointed]
    assert found
    assert len(places(prediction)) == 4
    assert prediction["score"] == pytest.approx(
        sum(m["score"] for m in masks) / len(masks), abs=1e-3
    )


def test_what_is_wrong_with_one_page_fails_the_task_with_its_number(client):
    request = body(PAGES, annotations=[{"result": [point("pdf", 0, "")]}])
    request["tasks"][0]["data"]["doc"]["pages"][1] = "file:///x.png"
    [answer] = client.post("/predict", json=request).json["results"]
    assert answer["error"].startswith('task 1: image "pdf", page 2: images are not fetched from')


def test_a_click_on_a_page_that_is_not_there_is_refused(client):
    request = body(PAGES, {"result": [point("pdf", 2, "")]})
    answer = client.post("/predict", json=request)
    assert answer.status_code == 400
    assert 'The image "pdf" has 2 pages' in answer.json["error"]
