"""Clicks of a real Label Studio, answered by the embedded model."""

from __future__ import annotations

import re
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests

from label_studio_backend.media.downloads import Downloader
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.answers import (
    CLICKS,
    VIDEOS,
    assert_label_studio_takes,
    clicked_object,
    mask_of,
    metric,
    set_up,
    size_of,
    until,
)
from tests.label_studio_backend.conftest import drawn, iou, png


@pytest.mark.parametrize("name", CLICKS)
def test_a_captured_click_is_answered_with_what_label_studio_may_save(
    client, backend, traffic, name
):
    sent = traffic(name)
    answer = client.post("/predict", json=sent)
    assert answer.status_code == 200
    [prediction] = answer.json["results"]
    assert_label_studio_takes(prediction, sent["label_config"], size_of())
    assert prediction["result"]
    assert prediction["model_version"] == backend.model_version
    assert {len(result["id"]) for result in prediction["result"]} == {10}


def test_a_click_is_answered_with_mask_label_caption_and_choice_of_one_region(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    [prediction] = client.post("/predict", json=sent).json["results"]
    # PAM would call the object neither good nor bad.
    assert [result["type"] for result in prediction["result"]] == ["brushlabels", "textarea"]
    set_up(client, sent, {"label_fit": 0})
    [prediction] = client.post("/predict", json=sent).json["results"]
    mask, caption, choice = prediction["result"]
    assert {mask["id"]} == {result["id"] for result in prediction["result"]}
    assert mask["value"]["brushlabels"] == ["object"]
    assert iou(mask_of(mask, size_of()), clicked_object()) > 0.9
    assert caption["value"]["text"][0]
    assert choice["value"]["choices"][0] in ("good", "bad")


def test_a_click_labelled_background_comes_alone_and_is_told_what_to_do_instead(
    client, label_studio, traffic
):
    answer = client.post("/predict", json=traffic("predict_interactive_kp_background_label"))
    assert answer.status_code == 400
    assert "Label Studio sends" in answer.json["error"]
    assert answer.status.endswith("Alt+click instead.")
    assert label_studio.asked == []


def test_a_background_click_beside_one_on_the_object_refines_it(client, traffic):
    sent = traffic("predict_interactive_kp_background_label")
    on_the_object = traffic("predict_interactive_kp_positive")["params"]["context"]["result"]
    sent["params"]["context"]["result"] += on_the_object
    [prediction] = client.post("/predict", json=sent).json["results"]
    mask = prediction["result"][0]
    assert mask["value"]["brushlabels"] == ["object"]
    assert iou(mask_of(mask, size_of()), clicked_object()) > 0.9


@pytest.mark.parametrize("name", VIDEOS)
def test_a_captured_video_is_refused_with_a_sentence(client, traffic, name):
    answer = client.post("/predict", json=traffic(name))
    assert answer.status_code == 400
    assert "video" in answer.json["error"]


def test_after_submit_the_answer_is_empty_at_once_without_the_image(client, label_studio, traffic):
    answer = client.post("/predict", json=traffic("predict_interactive_empty_context_on_submit"))
    assert answer.json == {"results": [{"result": []}]}
    assert label_studio.asked == []


def test_a_click_beside_every_object_is_empty_and_says_why_in_log_and_metrics(
    client, backend, traffic, caplog
):
    caplog.set_level("INFO")
    sent = traffic("predict_interactive_kp_positive")
    prompt = sent["params"]["context"]["result"][0]
    empty = ~np.any([item.mask for item in drawn().objects], axis=0)
    rows, columns = np.nonzero(empty)
    width, height = size_of()
    for index in np.linspace(0, len(rows) - 1, 40).astype(int):
        prompt["value"].update(x=100 * columns[index] / width, y=100 * rows[index] / height)
        [prediction] = client.post("/predict", json=sent).json["results"]
        if not prediction["result"]:
            break
    assert prediction["result"] == []
    assert "the model sees no object here" in caplog.text
    assert metric(backend, "refusals_total") == 1


def test_a_second_click_on_a_known_image_fetches_decodes_and_encodes_nothing(
    client, backend, label_studio, traffic
):
    sent = traffic("predict_interactive_kp_positive")
    client.post("/predict", json=sent)
    misses = metric(backend, "feature_cache_misses")
    client.post("/predict", json=sent)
    assert len(label_studio.asked) == 1
    assert metric(backend, "image_cache_total", found="miss") == 1
    assert metric(backend, "image_cache_total", found="hit") == 1
    assert metric(backend, "feature_cache_misses") == misses


def test_masks_of_earlier_regions_are_not_looked_at_on_a_click(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    sent["tasks"][0]["annotations"] = [{"result": [{"value": {"rle": ["no", {}, None]}}]}, 3]
    assert client.post("/predict", json=sent).status_code == 200


def test_several_objects_in_one_click_keep_their_own_labels(client, traffic):
    sent = traffic("predict_interactive_rectangle")
    [box] = sent["params"]["context"]["result"]
    sent["label_config"] = (
        sent["label_config"]
        .replace(
            '<Label value="background" background="#3030ff"/>\n  </BrushLabels>',
            '<Label value="other" background="#30ff30"/></BrushLabels>',
        )
        .replace(
            '<Label value="background" background="#3030ff"/>\n  </RectangleLabels>',
            '<Label value="other" background="#30ff30"/></RectangleLabels>',
        )
    )
    other = {**box, "id": "another", "value": {**box["value"], "rectanglelabels": ["other"]}}
    sent["params"]["context"]["result"] = [box, other]
    [prediction] = client.post("/predict", json=sent).json["results"]
    labels = {
        result["id"]: result["value"]["brushlabels"]
        for result in prediction["result"]
        if result["type"] == "brushlabels"
    }
    assert sorted(labels.values()) == [["object"], ["other"]]


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (lambda sent: sent["tasks"][0].update(data={}), 400, 'task 1 has no "image" in its data'),
        (lambda sent: sent["tasks"][0]["data"].update(image=7), 502, "a number"),
        (lambda sent: sent["tasks"][0]["data"].update(image="/data/upload/1/no.png"), 502, "404"),
        (
            lambda sent: sent["tasks"][0]["data"].update(image="data:image/png;base64,AAAA"),
            400,
            "task 1: not an image",
        ),
        (lambda sent: sent.update(label_config="<View"), 400, "not valid XML"),
        (
            lambda sent: sent["params"]["context"]["result"][0].update(from_name="nosuch"),
            400,
            'it comes from "nosuch"',
        ),
        (
            lambda sent: sent["params"].update(context={"result": [3, None]}),
            400,
            "it comes from nowhere",
        ),
        (
            lambda sent: sent["params"]["context"]["result"][0].update(value={"x": "left"}),
            400,
            "",
        ),
    ],
)
def test_a_click_that_cannot_be_answered_says_why(client, backend, traffic, change, status, said):
    sent = traffic("predict_interactive_kp_positive")
    change(sent)
    answer = client.post("/predict", json=sent)
    assert answer.status_code == status, answer.json
    assert said in answer.json["error"]


@pytest.mark.parametrize("kind", [ValueError, KeyError, TypeError, IndexError])
def test_a_fault_of_ours_is_never_told_as_a_fault_of_the_request(
    client, backend, monkeypatch, traffic, caplog, kind
):
    def fail(*_, **__):
        raise kind("operands could not be broadcast")

    monkeypatch.setattr(backend._predictor._translator, "prediction", fail)
    answer = client.post("/predict", json=traffic("predict_interactive_kp_positive"))
    assert answer.status == f"500 {kind.__name__}: see the backend's log"
    assert "Traceback" in caplog.text
    assert metric(backend, "failures_total", kind=kind.__name__) == 1


def test_neither_body_nor_token_nor_presigned_address_is_logged(client, traffic, caplog):
    caplog.set_level("DEBUG")
    sent = traffic("predict_interactive_kp_positive")
    sent["tasks"][0]["data"]["image"] = "https://elsewhere.test/x.png?X-Amz-Signature=s1gned"
    body = {"project": sent["project"], "schema": sent["label_config"], "access_token": "t0ken"}
    client.post("/setup", json=body)
    assert client.post("/predict", json=sent).status_code == 502
    assert "s1gned" not in caplog.text
    assert "t0ken" not in caplog.text


def test_a_click_that_takes_too_long_is_given_up(open_backend, client_of, traffic):
    client = client_of(open_backend(click_seconds=0.001))
    answer = client.post("/predict", json=traffic("predict_interactive_kp_positive"))
    assert (answer.status_code, "time for this request ran out" in answer.json["error"]) == (
        504,
        True,
    )


def test_a_full_queue_is_busy(open_backend, client_of, traffic, annotator):
    from pam_labeling import BusyError

    class Full:
        model_name = "full"
        close = staticmethod(lambda: None)

        def annotate(self, *_, **__):
            raise BusyError("64 requests are waiting already")

    client = client_of(open_backend(open_annotator=Full))
    answer = client.post("/predict", json=traffic("predict_interactive_kp_positive"))
    assert answer.status == "503 busy: 64 requests are waiting already"
    assert answer.headers["Retry-After"]


@pytest.mark.parametrize("value", ["$image", "$photo.url", "https://elsewhere.test/x.png"])
def test_the_image_is_found_by_the_tags_value(client, label_studio, traffic, value):
    sent = traffic("predict_interactive_kp_positive")
    sent["label_config"] = sent["label_config"].replace('value="$image"', f'value="{value}"')
    sent["tasks"][0]["data"]["photo"] = {"url": sent["tasks"][0]["data"]["image"]}
    answer = client.post("/predict", json=sent)
    assert answer.status_code == (200 if value.startswith("$") else 502)


def test_two_annotators_on_different_images_get_masks_of_their_own(
    open_backend, serve, label_studio, traffic
):
    url = serve(open_backend(predictions=16))
    seeds = [HELD_OUT_SEED + number for number in (2, 5)]
    for number, seed in enumerate(seeds):
        label_studio.images[f"/data/upload/1/own-{number}.png"] = png(seed)

    def click(turn):
        number, step = turn % 2, turn // 2
        scene = drawn(seeds[number])
        item = scene.objects[step % len(scene.objects)]
        rows, columns = np.nonzero(item.mask)
        middle = np.lexsort((columns, rows))[len(rows) // 2]
        height, width = item.mask.shape
        sent = traffic("predict_interactive_kp_positive")
        sent["tasks"][0]["data"]["image"] = f"/data/upload/1/own-{number}.png"
        # Masks alone: words would take their time.
        sent["label_config"] = re.sub(r"<(TextArea|Choices) .*\n", "", sent["label_config"])
        [prompt] = sent["params"]["context"]["result"]
        at = columns[middle] + 0.5, rows[middle] + 0.5
        prompt["value"].update(x=100 * at[0] / width, y=100 * at[1] / height)
        answer = requests.post(f"{url}/predict", json=sent, timeout=120)
        assert answer.status_code == 200, answer.reason
        [prediction] = answer.json()["results"]
        assert_label_studio_takes(prediction, sent["label_config"], (width, height))
        [mask] = [one for one in prediction["result"] if one["type"] == "brushlabels"]
        return iou(mask_of(mask, (width, height)), item.mask)

    with ThreadPoolExecutor(16) as threads:
        overlaps = list(threads.map(click, range(80)))
    # nano knows every object of these two images; a mask of the other one has another size.
    assert min(overlaps) > 0.9
    assert len(overlaps) == 80


def test_clicks_that_wait_for_the_network_keep_no_place_from_those_on_known_images(
    open_backend, client_of, label_studio, traffic, monkeypatch
):
    backend = open_backend(predictions=2, busy_seconds=0.2)
    known = traffic("predict_interactive_kp_positive")
    client = client_of(backend)
    assert client.post("/predict", json=known).status_code == 200
    go = threading.Event()
    get = Downloader.get
    monkeypatch.setattr(
        Downloader, "get", lambda self, *given, **named: go.wait(30) and get(self, *given, **named)
    )

    def click(number):
        sent = traffic("predict_interactive_kp_positive")
        sent["tasks"][0]["data"]["image"] = f"/data/upload/9/{number}.jpg"
        return client_of(backend).post("/predict", json=sent)

    with ThreadPoolExecutor(12) as threads:
        waiting = [threads.submit(click, number) for number in range(10)]
        try:
            until(lambda: sum(one.done() for one in waiting) == 8)  # two fetch, as many wait a bit
            assert {one.result().status_code for one in waiting if one.done()} == {503}
            answers = list(
                threads.map(lambda _: client_of(backend).post("/predict", json=known), "ab")
            )
        finally:
            go.set()
    assert [answer.status_code for answer in answers] == [200, 200]
    busy = next(one.result() for one in waiting if one.result().status_code == 503)
    assert busy.json["error"].startswith("busy: 2 downloads are being worked on")
