"""What becomes of the work on a batch that nobody waits for any more, and of unreadable tasks."""

from __future__ import annotations

import threading
import time

import pytest

TASKS = 8


class Slow:
    """The embedded model, waiting before each picture of a batch until it may."""

    def __init__(self, annotator):
        self._annotator = annotator
        self.model_name = annotator.model_name
        self.may = threading.Semaphore(0)
        self.begun = 0

    def annotate_many(self, requests):
        def one_by_one():
            for request in requests:
                self.may.acquire(timeout=30)
                self.begun += 1
                yield request

        return self._annotator.annotate_many(one_by_one())

    def close(self):
        self.may.release(100)


@pytest.fixture
def sent(traffic):
    """A batch of tasks with the same picture and the same box as their prompt."""
    body = traffic("predict_batch_image_brush_2tasks")
    [box] = traffic("predict_interactive_rectangle")["params"]["context"]["result"]
    task = {**body["tasks"][0], "annotations": [{"result": [box]}]}
    body["tasks"] = [{**task, "id": number} for number in range(1, TASKS + 1)]
    return body


def until(condition):
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def results(client, sent):
    return client.post("/predict", json=sent).json["results"]


@pytest.fixture
def prediction_bytes(open_backend, client_of, sent):
    """The size of one prediction."""
    backend = open_backend()
    results(client_of(backend), {**sent, "tasks": sent["tasks"][:1]})
    return backend._results.nbytes


def test_nothing_is_computed_ahead_that_would_be_lost(
    open_backend, client_of, annotator, sent, prediction_bytes, caplog
):
    slow = Slow(annotator)
    backend = open_backend(
        open_annotator=lambda: slow, batch_seconds=0.2, result_cache_bytes=5 * prediction_bytes
    )
    client = client_of(backend)
    assert all("error" in one for one in results(client, sent))
    slow.may.release(100)
    until(lambda: backend._results.under_way == 0)
    assert slow.begun in (3, 4, 5)  # of five; how many are ahead is a matter of timing
    until(lambda: "PAM_RESULT_CACHE_BYTES" in caplog.text)
    [said] = [line for line in caplog.messages if "PAM_RESULT_CACHE_BYTES" in line]
    assert f"of {TASKS} tasks of a batch" in said
    assert "raise it" in said
    # What was finished is there, and when it was fetched the rest goes on. Label Studio does not
    # ask again for what it has.
    left = sent["tasks"]
    while left:
        found = results(client, {**sent, "tasks": left})
        left = [task for task, one in zip(left, found, strict=True) if "error" in one]
        until(lambda: backend._results.under_way == 0)
    assert slow.begun == TASKS


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
        until(lambda: backend._results.under_way == 0)
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


def test_a_prediction_is_made_anew_when_the_annotation_it_was_made_from_is_skipped(client, sent):
    [task] = sent["tasks"][:1]
    before = results(client, {**sent, "tasks": [task]})
    skipped = {**task, "annotations": [{**task["annotations"][0], "was_cancelled": True}]}
    after = results(client, {**sent, "tasks": [skipped]})
    assert before[0]["result"] != after[0]["result"]
    assert results(client, {**sent, "tasks": [task]}) == before
