"""Batches of a real Label Studio: prompts, limits of time and memory, tasks that cannot be read."""

from __future__ import annotations

import json
import re
import threading
import time

import pytest

from pam_labeling import ClosedError, Priority
from pam_model.nano.world import HELD_OUT_SEED
from tests.label_studio_backend.answers import (
    BATCHES,
    QUICK,
    Slow,
    assert_label_studio_takes,
    batch,
    clicked_object,
    mask_of,
    metric,
    set_up,
    size_of,
    until,
)
from tests.label_studio_backend.conftest import iou, png

TASKS = 12


@pytest.fixture
def sent(traffic):
    """A batch of tasks with the same image and the same box as their prompt."""
    body = traffic("predict_batch_image_brush_2tasks")
    [box] = traffic("predict_interactive_rectangle")["params"]["context"]["result"]
    task = {**body["tasks"][0], "annotations": [{"result": [box]}]}
    body["tasks"] = [{**task, "id": number} for number in range(1, TASKS + 1)]
    # Masks alone: words would take their time.
    body["label_config"] = re.sub(r"<(TextArea|Choices) .*\n", "", body["label_config"])
    return body


def results(client, sent):
    return client.post("/predict", json=sent).json["results"]


@pytest.fixture
def few_ahead(monkeypatch):
    """The annotator begins few tasks ahead of the one that is waited for."""
    monkeypatch.setattr("pam_labeling.annotator._AHEAD", 2)


@pytest.fixture
def prediction_bytes(open_backend, client_of, sent):
    """The size of one prediction."""
    backend = open_backend()
    results(client_of(backend), {**sent, "tasks": sent["tasks"][:1]})
    return backend._results.nbytes


def test_work_that_nobody_waits_for_pauses_while_unfetched_results_fill_the_memory(
    open_backend, client_of, annotator, sent, prediction_bytes, caplog, few_ahead
):
    slow = Slow(annotator)
    backend = open_backend(
        open_annotator=lambda: slow, batch_seconds=0.05, result_cache_bytes=3 * prediction_bytes
    )
    client = client_of(backend)
    assert all("error" in one for one in results(client, sent))
    slow.may.release(1000)
    until(lambda: "PAM_RESULT_CACHE_BYTES" in caplog.text)
    # Three fill the memory, and a few were begun while there was room.
    paused = slow.begun
    assert 3 <= paused < TASKS
    assert backend._results.under_way == TASKS - paused
    # The rest goes on by itself when what was finished is fetched, and nothing is made twice. Label
    # Studio does not ask again for what it has.
    left = sent["tasks"]
    while left:
        found = results(client, {**sent, "tasks": left})
        left = [task for task, one in zip(left, found, strict=True) if "error" in one]
    assert slow.begun == TASKS


def test_a_task_that_is_asked_for_does_not_wait_behind_those_that_must_wait(
    open_backend, client_of, annotator, sent, few_ahead
):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.05, result_cache_bytes=0)
    client = client_of(backend)
    assert all("error" in one for one in results(client, sent))
    slow.may.release(1000)
    last = {**sent, "tasks": sent["tasks"][-1:]}
    until(lambda: "result" in results(client, last)[0])
    assert backend._results.under_way > 0


def test_who_waits_gets_more_than_the_memory_holds(open_backend, client_of, sent, caplog):
    client = client_of(open_backend(result_cache_bytes=0))
    assert all("result" in one for one in results(client, sent))
    assert "PAM_RESULT_CACHE_BYTES" not in caplog.text


def test_unfetched_work_stays_while_other_batches_come_and_go(
    open_backend, client_of, annotator, sent, prediction_bytes
):
    slow = Slow(annotator)
    backend = open_backend(
        open_annotator=lambda: slow, batch_seconds=0.2, result_cache_bytes=4 * prediction_bytes
    )
    client = client_of(backend)
    one = {**sent, "tasks": sent["tasks"][:1]}
    assert "error" in results(client, one)[0]
    slow.may.release(1000)
    until(lambda: backend._results.under_way == 0)
    begun = slow.begun
    left = sent["tasks"]
    while left:
        found = results(client, {**sent, "tasks": left, "project": "9.9"})
        left = [task for task, one in zip(left, found, strict=True) if "error" in one]
    assert "result" in results(client, one)[0]
    assert slow.begun == begun + TASKS


@pytest.mark.parametrize("data", [{}, {"data": None}, {"data": []}])
def test_a_task_without_data_spoils_no_other(client, sent, data):
    first, second = sent["tasks"][:2]
    bad = {key: value for key, value in first.items() if key != "data"} | data
    found = results(client, {**sent, "tasks": [bad, second]})
    assert set(found[0]) == {"error"}
    assert "task 1 has no data" in found[0]["error"]
    assert found[1]["result"]


@pytest.mark.parametrize("bad", ["3", "null", '{"id":}', '{"a":NaN}', "[" * 2000 + "]" * 2000])
def test_a_task_that_cannot_be_read_spoils_no_other(client, sent, bad):
    [task] = sent["tasks"][:1]
    body = json.dumps({**sent, "tasks": [task, "BAD"]}).replace('"BAD"', bad)
    found = client.post("/predict", data=body).json["results"]
    assert found[0]["result"]
    assert set(found[1]) == {"error"}
    assert found[1]["error"].startswith("number 2 of the batch: the task cannot be read: it is n")


def test_a_prediction_is_made_anew_when_the_annotation_it_was_made_from_is_skipped(client, sent):
    [task] = sent["tasks"][:1]
    set_up(client, sent, QUICK)
    before = results(client, {**sent, "tasks": [task]})
    skipped = {**task, "annotations": [{**task["annotations"][0], "was_cancelled": True}]}
    after = results(client, {**sent, "tasks": [skipped]})
    assert before[0]["result"] != after[0]["result"]
    assert results(client, {**sent, "tasks": [task]}) == before


@pytest.mark.parametrize("name", BATCHES)
def test_a_captured_batch_gets_one_prediction_for_each_task(client, backend, traffic, name):
    sent = traffic(name)
    set_up(client, sent, QUICK)
    results = client.post("/predict", json=sent).json["results"]
    assert len(results) == len(sent["tasks"])
    for prediction in results:
        assert_label_studio_takes(prediction, sent["label_config"], size_of())


def test_regions_on_the_task_become_prompts(client, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    [prediction] = client.post("/predict", json=sent).json["results"]
    masks = [result for result in prediction["result"] if result["type"] == "brushlabels"]
    assert len(masks) == 1
    assert iou(mask_of(masks[0], size_of()), clicked_object()) > 0.8


def test_a_task_without_regions_gets_everything(client, traffic):
    sent = traffic("predict_next_task")
    # No label of this list fits a drawn shape: a region that nobody pointed at is left out then.
    set_up(client, sent, {"points_per_side": 8})
    assert client.post("/predict", json=sent).json["results"][0]["result"] == []
    set_up(client, sent, {"points_per_side": 8, "label_fit": 0})
    [prediction] = client.post("/predict", json=sent).json["results"]
    masks = [result for result in prediction["result"] if result["type"] == "brushlabels"]
    assert len(masks) > 1
    assert prediction["score"] < 0.01  # how badly the labels fit


def test_a_batch_says_what_the_config_lacks_where_a_test_request_shows_it(client, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    config = re.sub(r'<Label value="background".*?/>', "", sent["label_config"])
    sent["label_config"] = config.replace('smart="true"', 'smart="false"', 1)  # the brush
    set_up(client, sent, {})
    [prediction] = client.post("/predict", json=sent).json["results"]
    assert "hints" not in prediction
    sent["label_config"] = sent["label_config"].replace('smart="true"', 'smart="false"')
    set_up(client, sent, {})
    [prediction] = client.post("/predict", json=sent).json["results"]
    assert prediction["result"]
    assert any('smart="false", so' in hint for hint in prediction["hints"])


def test_one_bad_task_spoils_no_other_and_gets_a_sentence_instead_of_a_result(
    client, backend, label_studio, traffic
):
    label_studio.images["/data/upload/1/broken.png"] = b"not an image"
    good = "/data/upload/1/314f5194-exp_small.jpg"
    sent = batch(traffic, [good, "/data/upload/1/broken.png", "/data/upload/1/gone.png", good])
    results = client.post("/predict", json=sent).json["results"]
    assert [bool(one.get("result")) for one in results] == [True, False, False, True]
    # Label Studio saves nothing for an entry without "result", and asks for it again.
    assert [set(one) for one in results[1:3]] == [{"error"}, {"error"}]
    assert results[1]["error"].startswith("task 2: ")
    assert "404" in results[2]["error"]
    assert metric(backend, "failures_total", kind="ImageError") == 1


def test_a_batch_asked_for_again_is_found_finished(client, backend, traffic):
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    first = client.post("/predict", json=sent).json
    sent["tasks"][0]["updated_at"] = "later"
    assert client.post("/predict", json=sent).json == first
    assert metric(backend, "result_cache_total", found="hit") == 1
    # Other regions, options or project: another prediction.
    client.post("/predict", json={**sent, "project": "9.9"})
    set_up(client, sent, {"label_fit": 0.1})
    client.post("/predict", json=sent)
    assert metric(backend, "result_cache_total", found="miss") == 3


def test_at_the_limit_of_time_what_is_finished_is_answered_and_the_rest_goes_on(
    open_backend, client_of, annotator, label_studio, traffic
):
    slow = Slow(annotator)
    backend = open_backend(open_annotator=lambda: slow, batch_seconds=0.5)
    client = client_of(backend)
    images = []
    for number in range(6):
        images.append(f"/data/upload/1/{number}.png")
        label_studio.images[images[-1]] = png(HELD_OUT_SEED + number)
    sent = batch(traffic, images)
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
        assert f"task {number} is not finished yet" in unfinished["error"]
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
    backend._loader.wait(30)  # else the batch may fail because the model is still loading
    client = client_of(backend)
    # More than the readers fetch ahead of the model.
    images = ["/data/upload/1/314f5194-exp_small.jpg"] * 20
    client.post("/predict", json=batch(traffic, images))
    slow.may.release(100)
    until(lambda: backend._results.under_way == 0)
    assert metric(backend, "failures_total", kind="DeadlineError") >= 1


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

    monkeypatch.setattr(backend._predictor._translator, "prediction", fail)
    sent = batch(traffic, ["/data/upload/1/314f5194-exp_small.jpg"])
    [one] = client.post("/predict", json=sent).json["results"]
    assert one == {"error": "task 1: oh"}
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize(("number", "priority"), [(1, Priority.WATCHED), (2, Priority.BATCH)])
def test_a_single_task_goes_before_batches(open_backend, client_of, sent, number, priority):
    asked = []

    class Noting:
        model_name = "noting"
        close = staticmethod(lambda: None)

        def annotate_many(self, requests_, priority):
            asked.append(priority)
            raise ClosedError("noted")
            yield

    client = client_of(open_backend(open_annotator=Noting))
    results(client, {**sent, "tasks": sent["tasks"][:number]})
    assert asked == [priority]


def test_a_prediction_that_is_no_json_fails_one_task(backend, client, sent, monkeypatch, caplog):
    predict_many = backend._predictor.predict_many

    def half_a_character(*args, **options):
        for key, prediction in predict_many(*args, **options):
            yield key, ({"result": "\ud800"} if key == first else prediction)

    first = None
    begin = backend._batches._start

    def start(batch):
        nonlocal first
        first = next(iter(batch.tasks))
        begin(batch)

    monkeypatch.setattr(backend._batches, "_start", start)
    monkeypatch.setattr(backend._predictor, "predict_many", half_a_character)
    bad, *others = results(client, sent)
    assert "surrogates" in bad["error"]
    assert all("error" not in one for one in others)
    assert backend._results.under_way == 0


def test_without_a_thread_nothing_stays_under_way(backend, client, sent, monkeypatch, caplog):
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        assert client.post("/predict", json=sent).status_code == 500
    assert backend._results.under_way == 0
    assert all("error" not in one for one in results(client, sent))


def _no_more_threads(_thread):
    raise RuntimeError("can't start new thread")
