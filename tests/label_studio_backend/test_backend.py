"""Clicks and batches of a real Label Studio, answered by the embedded model."""

from __future__ import annotations

import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import requests
from label_studio_sdk.converter.brush import decode_rle
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_backend.bodies import SetupBody, predict_body
from label_studio_backend.errors import RequestError
from label_studio_backend.labeling_config import LabelingConfig
from label_studio_backend.options import Options
from label_studio_backend.task_media import Access
from pam_labeling import DeadlineError, Priority
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.conftest import SEED, drawn, iou, png

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
    height, width = drawn(seed).picture.shape[:2]
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
    """Label Studio's SDK finds nothing wrong, and its decoder masks of the picture's size."""
    interface = LabelInterface(label_config)
    assert interface.validate_prediction(prediction, return_errors=True) == []
    for result in prediction["result"]:
        if "original_width" in result or result["type"] == "brushlabels":
            assert (result["original_width"], result["original_height"]) == size
        if result["type"] == "brushlabels":
            assert mask_of(result, size).any()


def metric(backend, name, **labels):
    return backend.metrics.registry.get_sample_value(f"pam_{name}", labels) or 0


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
    assert {len(result["id"]) >= 20 for result in prediction["result"]} == {True}


def test_a_click_is_answered_with_mask_label_caption_and_choice_of_one_region(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    [prediction] = client.post("/predict", json=sent).json["results"]
    mask, caption, choice = prediction["result"]
    assert {mask["id"]} == {result["id"] for result in prediction["result"]}
    assert mask["value"]["brushlabels"] == ["object"]
    assert iou(mask_of(mask, size_of()), clicked_object()) > 0.9
    assert caption["value"]["text"][0]
    assert choice["value"]["choices"][0] in ("good", "bad")


@pytest.mark.parametrize("name", BATCHES)
def test_a_captured_batch_gets_one_prediction_for_each_task(client, backend, traffic, name):
    sent = traffic(name)
    set_up(client, sent, QUICK)
    results = client.post("/predict", json=sent).json["results"]
    assert len(results) == len(sent["tasks"])
    for prediction in results:
        assert_label_studio_takes(prediction, sent["label_config"], size_of())


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


def test_after_submit_the_answer_is_empty_at_once_without_the_picture(
    client, label_studio, traffic
):
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


def test_a_second_click_on_a_known_picture_fetches_decodes_and_encodes_nothing(
    client, backend, label_studio, traffic
):
    sent = traffic("predict_interactive_kp_positive")
    client.post("/predict", json=sent)
    misses = metric(backend, "feature_cache_misses")
    client.post("/predict", json=sent)
    assert len(label_studio.asked) == 1
    assert metric(backend, "picture_cache_total", found="miss") == 1
    assert metric(backend, "picture_cache_total", found="hit") == 1
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


def test_options_of_setup_are_used_by_the_clicks_of_that_project_only(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    set_up(client, sent, '{"language": "zh"}')
    caption = client.post("/predict", json=sent).json["results"][0]["result"][1]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])
    caption = client.post("/predict", json={**sent, "project": "9.9"}).json["results"][0]["result"][
        1
    ]
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])


def test_options_are_known_after_a_restart_without_a_setup(open_backend, client_of, traffic):
    sent = traffic("predict_interactive_kp_positive")
    set_up(client_of(open_backend()), sent, {"language": "zh"})
    again = client_of(open_backend())
    caption = again.post("/predict", json=sent).json["results"][0]["result"][1]
    assert any("\u4e00" <= letter <= "\u9fff" for letter in caption["value"]["text"][0])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('value="object"', f'value="{"one " * 150}"'), 'The label "one one .* has more tokens'),
        (("<View>", '<View xmlns="http://www.w3.org/1999/xhtml">'), "has a namespace .xmlns"),
        (('value="$image"', 'value="$"'), "names no key of task data"),
    ],
)
def test_setup_says_what_every_click_would_fail_of(client, traffic, change, said):
    sent = traffic("predict_interactive_kp_positive")
    sent["label_config"] = sent["label_config"].replace(*change)
    body = {"project": sent["project"], "schema": sent["label_config"]}
    answer = client.post("/setup", json=body)
    assert answer.status_code == 400
    assert re.search(said, answer.json["error"])


def test_setup_names_what_is_wrong_and_clicks_repeat_it(client, traffic):
    sent = traffic("predict_interactive_kp_positive")
    body = {"project": sent["project"], "schema": sent["label_config"]}
    for extra, named in (
        ({"langage": "zh"}, "langage"),
        ("[1]", "object"),
        ({"tasks": 3}, "tasks"),
    ):
        answer = client.post("/setup", json={**body, "extra_params": extra})
        assert answer.status_code == 400
        assert named in answer.json["error"]
        assert named in client.post("/predict", json=sent).json["error"]
    set_up(client, sent, {})
    assert client.post("/predict", json=sent).status_code == 200


def test_setup_refuses_a_config_that_cannot_work_and_logs_hints_once(client, traffic, caplog):
    sent = traffic("setup_image_polygon")
    body = {"project": "7.7", "schema": "<View><Text name='t' value='$t'/></View>"}
    answer = client.post("/setup", json=body)
    assert answer.status_code == 400
    assert "Image" in answer.json["error"]
    silent = sent["schema"].replace('smart="true"', 'smart="false"')
    for _ in range(3):
        answer = client.post("/setup", json={**body, "schema": silent})
        assert answer.status_code == 200
        assert any('smart="false"' in hint for hint in answer.json["hints"])
    assert caplog.text.count('RectangleLabels "rect" has smart="false"') == 1


def test_setup_brings_the_token_that_pictures_are_fetched_with(
    open_backend, client_of, label_studio, traffic
):
    client = client_of(open_backend(api_key=None))
    sent = traffic("predict_interactive_kp_positive")
    assert client.post("/predict", json=sent).status_code == 502
    body = {"project": sent["project"], "schema": sent["label_config"]}
    body |= {"hostname": label_studio.url, "access_token": "a-legacy-token"}
    assert client.post("/setup", json=body).status_code == 200
    assert client.post("/predict", json=sent).status_code == 200


@pytest.mark.parametrize(
    ("change", "status", "said"),
    [
        (lambda sent: sent["tasks"][0].update(data={}), 400, 'task 1 has no "image" in its data'),
        (lambda sent: sent["tasks"][0]["data"].update(image=7), 502, "a number"),
        (lambda sent: sent["tasks"][0]["data"].update(image="/data/upload/1/no.png"), 502, "404"),
        (
            lambda sent: sent["tasks"][0]["data"].update(image="data:image/png;base64,AAAA"),
            400,
            "task 1: not a picture",
        ),
        (lambda sent: sent.update(label_config="<View"), 400, "not valid XML"),
        (
            lambda sent: sent["params"]["context"]["result"][0].update(from_name="nosuch"),
            400,
            "come from 'nosuch', which is no tag",
        ),
        (
            lambda sent: sent["params"].update(context={"result": [3, None]}),
            400,
            "come from nowhere",
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
    assert (answer.status_code, "time for this request was over" in answer.json["error"]) == (
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


def batch(traffic, pictures):
    """A captured batch with these pictures, each with a box as its prompt."""
    sent = traffic("predict_batch_image_brush_2tasks")
    [box] = traffic("predict_interactive_rectangle")["params"]["context"]["result"]
    task = sent["tasks"][0]
    sent["tasks"] = [
        {**task, "id": number, "data": {"image": picture}, "annotations": [{"result": [box]}]}
        for number, picture in enumerate(pictures, start=1)
    ]
    return sent


def test_regions_on_the_task_become_prompts(client, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    [prediction] = client.post("/predict", json=sent).json["results"]
    masks = [result for result in prediction["result"] if result["type"] == "brushlabels"]
    assert len(masks) == 1
    assert iou(mask_of(masks[0], size_of()), clicked_object()) > 0.8


def test_a_task_without_regions_gets_everything(client, traffic):
    sent = traffic("predict_next_task")
    set_up(client, sent, {"points_per_side": 8})
    [prediction] = client.post("/predict", json=sent).json["results"]
    masks = [result for result in prediction["result"] if result["type"] == "brushlabels"]
    assert len(masks) > 1
    assert prediction["score"] > 0


def test_a_batch_says_what_the_config_lacks_where_a_test_request_shows_it(client, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    sent["label_config"] = re.sub(r'<Label value="background".*?/>', "", sent["label_config"])
    set_up(client, sent, {})
    [prediction] = client.post("/predict", json=sent).json["results"]
    assert "hints" not in prediction
    sent["label_config"] = sent["label_config"].replace('smart="true"', 'smart="false"')
    set_up(client, sent, {})
    [prediction] = client.post("/predict", json=sent).json["results"]
    assert prediction["result"]
    assert any('smart="false"' in hint for hint in prediction["hints"])


def test_one_bad_task_spoils_no_other_and_gets_a_sentence_instead_of_a_result(
    client, backend, label_studio, traffic
):
    label_studio.pictures["/data/upload/1/broken.png"] = b"not a picture"
    good = "/data/upload/1/314f5194-exp_small.jpg"
    sent = batch(traffic, [good, "/data/upload/1/broken.png", "/data/upload/1/gone.png", good])
    results = client.post("/predict", json=sent).json["results"]
    assert [bool(one.get("result")) for one in results] == [True, False, False, True]
    # Label Studio saves nothing for an entry without "result", and asks for it again.
    assert [set(one) for one in results[1:3]] == [{"error"}, {"error"}]
    assert results[1]["error"].startswith("task 2: ")
    assert "404" in results[2]["error"]
    assert metric(backend, "failures_total", kind="PictureError") == 1


def test_a_batch_asked_for_again_is_found_finished(client, backend, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    first = client.post("/predict", json=sent).json
    sent["tasks"][0]["updated_at"] = "later"
    assert client.post("/predict", json=sent).json == first
    assert metric(backend, "result_cache_total", found="hit") == 1
    # Other regions, options or project: another prediction.
    client.post("/predict", json={**sent, "project": "9.9"})
    set_up(client, sent, {"label_threshold": 0.1})
    client.post("/predict", json=sent)
    assert metric(backend, "result_cache_total", found="miss") == 3


class Slow:
    """The embedded model, waiting before each picture of a batch until it may."""

    def __init__(self, annotator):
        self._annotator = annotator
        self.model_name = annotator.model_name
        self.may = threading.Semaphore(0)
        self.closed = False

    def annotate_many(self, requests_):
        def one_by_one():
            for request in requests_:
                if not self.closed:
                    self.may.acquire(timeout=30)
                yield request

        return self._annotator.annotate_many(one_by_one())

    def close(self):
        self.closed = True
        self.may.release(100)


def test_at_the_limit_of_time_what_is_finished_is_answered_and_the_rest_goes_on(
    open_backend, client_of, annotator, label_studio, traffic
):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.5)
    client = client_of(backend)
    pictures = []
    for number in range(6):
        pictures.append(f"/data/upload/1/{number}.png")
        label_studio.pictures[pictures[-1]] = png(HELD_OUT_SEED + number)
    sent = batch(traffic, pictures)
    # The first is asked for alone, and is finished, if need be after its own limit.
    slow.may.release(1)
    client.post("/predict", json={**sent, "tasks": sent["tasks"][:1]})
    until(lambda: backend._results.under_way == 0)
    start = time.monotonic()
    first = client.post("/predict", json=sent).json["results"]
    assert 0.4 < time.monotonic() - start < 10
    assert "result" in first[0]
    for number, unfinished in enumerate(first[1:], start=2):
        assert set(unfinished) == {"error"}
        assert f"task {number} is not finished yet and goes on" in unfinished["error"]
    slow.may.release(100)
    until(lambda: backend._results.under_way == 0)
    again = client.post("/predict", json=sent).json["results"]
    assert all("result" in one for one in again)
    assert again[0] == first[0]
    assert metric(backend, "result_cache_total", found="miss") == 6


def test_the_rest_of_a_batch_is_given_up_after_a_while(
    open_backend, client_of, annotator, traffic, label_studio
):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.05, background_seconds=0.0)
    client = client_of(backend)
    pictures = ["/data/upload/1/314f5194-exp_small.jpg"] * 3
    client.post("/predict", json=batch(traffic, pictures))
    slow.may.release(100)
    until(lambda: backend._results.under_way == 0)
    assert metric(backend, "failures_total", kind="TimeoutError") >= 1


def test_too_many_batches_in_the_background_are_busy(open_backend, client_of, annotator, traffic):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.01, predictions=1)
    client = client_of(backend)
    statuses = []
    for number in range(5):
        sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
        statuses.append(client.post("/predict", json={**sent, "project": str(number)}).status_code)
    assert statuses == [200, 200, 200, 200, 503]


def test_a_closed_backend_fails_what_waits(open_backend, client_of, annotator, traffic):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.05)
    client = client_of(backend)
    client.post("/predict", json=batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"] * 2))
    backend.close()
    until(lambda: backend._results.under_way == 0)


def test_a_batch_while_the_model_cannot_be_loaded_says_so_for_each_task(
    open_backend, client_of, traffic
):
    def fail():
        raise ValueError("no checkpoint")

    client = client_of(open_backend(open_annotator=fail))
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"] * 2)
    results = client.post("/predict", json=sent).json["results"]
    assert [set(one) for one in results] == [{"error"}] * 2
    assert "no checkpoint" in results[0]["error"]


def test_an_error_nobody_thought_of_fails_one_task_and_is_logged(
    client, backend, monkeypatch, traffic, caplog
):
    def fail(*_, **__):
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(backend._translator, "prediction", fail)
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    [one] = client.post("/predict", json=sent).json["results"]
    assert one == {"error": "task 1: oh"}
    assert "ZeroDivisionError" in caplog.text


def test_predict_task_waits_for_the_model_and_gives_one_prediction(backend, label_studio, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    config = LabelingConfig.parse(sent["label_config"])
    access = Access(label_studio.url, None)
    task = sent["tasks"][0]
    prediction = backend.predict_task(task, config, Options(), access)
    assert_label_studio_takes(prediction, sent["label_config"], size_of())
    with pytest.raises(DeadlineError):
        backend.predict_task(task, config, Options(), access, deadline=time.monotonic() - 1)
    with pytest.raises(RequestError, match='no "image"'):
        backend.predict_task({"id": 3, "data": {}}, config, Options(), access)
    interactive = backend.predict_task(
        task, config, Options(), access, priority=Priority.INTERACTIVE
    )
    assert interactive["result"]


def test_setup_and_an_empty_batch_need_no_http(backend, traffic):
    sent = traffic("setup_image_polygon")
    assert backend.setup(SetupBody(project="2.2", schema=sent["schema"]))["hints"] == ()
    assert backend.predict(predict_body([], sent["schema"]))["results"] == []


@pytest.mark.parametrize("value", ["$image", "$photo.url", "https://elsewhere.test/x.png"])
def test_the_picture_is_found_by_the_tags_value(client, label_studio, traffic, value):
    sent = traffic("predict_interactive_kp_positive")
    sent["label_config"] = sent["label_config"].replace('value="$image"', f'value="{value}"')
    sent["tasks"][0]["data"]["photo"] = {"url": sent["tasks"][0]["data"]["image"]}
    answer = client.post("/predict", json=sent)
    assert answer.status_code == (200 if value.startswith("$") else 502)


def test_two_annotators_on_different_pictures_get_masks_of_their_own(
    open_backend, serve, label_studio, traffic
):
    url = serve(open_backend(predictions=16))
    seeds = [HELD_OUT_SEED + number for number in (2, 5)]
    for number, seed in enumerate(seeds):
        label_studio.pictures[f"/data/upload/1/own-{number}.png"] = png(seed)

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
        overlaps = list(threads.map(click, range(160)))
    # nano knows every object of these two pictures; a mask of the other one has another size.
    assert min(overlaps) > 0.9
    assert len(overlaps) == 160


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)
