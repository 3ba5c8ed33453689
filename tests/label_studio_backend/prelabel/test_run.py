from __future__ import annotations

import threading
import time
from collections import deque

import pytest

from label_studio_backend.api_client import AccessError, Api, StoppedError, UnreachableError
from label_studio_backend.prelabel.run import run
from label_studio_backend.prelabel.sink import PredictionSink, Written
from label_studio_backend.prelabel.source import Todo
from pam_labeling import ClosedError, ImageError
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio, Fault


@pytest.fixture
def fake():
    with FakeLabelStudio(tasks=30) as fake:
        yield fake


@pytest.fixture
def stop():
    return threading.Event()


@pytest.fixture
def sink(fake, stop):
    api = Api(fake.url, TOKEN, patience=0.3, stop=stop)
    yield PredictionSink(api, "v", grace=(0.01,))
    api.close()


class Watcher:
    def __init__(self):
        self.written, self.failures = [], {}

    def wrote(self, written):
        self.written.append(written)

    def failed(self, task, reason):
        self.failures[task] = reason


@pytest.fixture
def watcher():
    return Watcher()


def todos(count=30):
    return (Todo({"id": number}) for number in range(1, count + 1))


def one_by_one(predict):
    """Imitate `Predictor.predict_many`, some tasks ahead, with a function of one task."""

    def predict_many(tasks, ahead=3):
        pending = deque()

        def predicted(todo, read):
            try:
                return todo, predict(read())
            except Exception as error:  # noqa: BLE001
                return todo, error

        try:
            for todo, read in tasks:
                pending.append(predicted(todo, read))
                if len(pending) > ahead:
                    yield pending.popleft()
        except Exception:
            yield from pending
            raise
        yield from pending

    return predict_many


empty = one_by_one(lambda task: {"result": []})


def test_predicts_and_writes_all(fake, sink, watcher, stop):
    predict = one_by_one(lambda task: {"result": [{"id": str(task["id"])}]})
    run(todos(), predict, sink, watcher, stop=stop)
    assert fake.count("v") == dict.fromkeys(range(1, 31), 1)
    assert all(p["result"] == [{"id": str(p["task"])}] for p in fake.predictions.values())
    assert watcher.written == [Written.CREATED] * 30


def test_replaces_what_a_task_says(fake, sink, watcher, stop):
    old = fake.add_prediction(1, "v")
    run([Todo({"id": 1}, (old,))], empty, sink, watcher, stop=stop)
    assert watcher.written == [Written.REPLACED]


def test_stops_at_the_limit(fake, sink, watcher, stop):
    run(todos(), empty, sink, watcher, stop=stop, limit=7)
    assert sum(fake.count("v").values()) == 7


def test_tasks_that_fail_do_not_stop_the_others(fake, sink, watcher, stop):
    def predict(task):
        if task["id"] == 3:
            raise ImageError("the file is\nno image")
        if task["id"] == 4:
            return {"no result": True}[task["id"]]
        if task["id"] == 5:
            raise ValueError
        return {"result": []}

    del fake.tasks[6]
    run(todos(8), one_by_one(predict), sink, watcher, stop=stop)
    assert sum(fake.count("v").values()) == 4
    assert watcher.failures.pop(6).startswith("Label Studio answers 400")
    assert watcher.failures == {3: "the file is no image", 4: "KeyError: 4", 5: "ValueError"}


def test_tasks_are_taken_a_little_ahead_of_the_writes(fake, sink, watcher, stop):
    taken = 0

    def source():
        nonlocal taken
        for todo in todos(12):
            taken += 1
            assert taken <= len(watcher.written) + 4
            yield todo

    run(source(), empty, sink, watcher, stop=stop)
    assert len(watcher.written) == 12


def test_what_is_finished_is_written_when_it_is_stopped(fake, sink, watcher, stop):
    predicted = []

    def predict(task):
        if len(predicted) == 8:
            stop.set()
        predicted.append(task["id"])
        return {"result": []}

    run(todos(), one_by_one(predict), sink, watcher, stop=stop)
    assert 8 <= len(predicted) < 30
    assert {task for task, number in fake.count("v").items() if number} == set(predicted)


def test_tasks_that_stopping_cuts_short_are_no_failures(fake, sink, watcher, stop):
    def predict(task):
        if task["id"] < 3:
            return {"result": []}
        stop.set()
        raise ClosedError("the annotator was closed")

    run(todos(), one_by_one(predict), sink, watcher, stop=stop)
    assert sum(fake.count("v").values()) == 2
    assert watcher.failures == {}


def test_a_closed_annotator_is_a_failure_where_nobody_stopped(sink, watcher, stop):
    def predict(task):
        raise ClosedError("the annotator was closed")

    run(todos(2), one_by_one(predict), sink, watcher, stop=stop)
    assert watcher.failures == dict.fromkeys((1, 2), "the annotator was closed")


@pytest.mark.parametrize("error", [AccessError("no"), UnreachableError("away"), KeyError("bug")])
def test_a_source_that_breaks_ends_the_run_after_what_is_finished(fake, sink, watcher, stop, error):
    def source():
        yield from todos(2)
        raise error

    with pytest.raises(type(error)):
        run(source(), empty, sink, watcher, stop=stop)
    assert sum(fake.count("v").values()) == 2


def test_a_source_that_is_stopped_ends_the_run_quietly(fake, sink, watcher, stop):
    def source():
        yield from todos(2)
        stop.set()
        raise StoppedError("stopped")

    run(source(), empty, sink, watcher, stop=stop)
    assert sum(fake.count("v").values()) == 2


def test_a_server_that_goes_away_for_good_ends_the_run(sink, watcher, stop, fake):
    fake.faults += [Fault("GET", "/api/predictions", 503)] * 99
    closed = []

    def predict_many(tasks):
        try:
            yield from empty(tasks)
        finally:
            closed.append(True)

    with pytest.raises(UnreachableError):
        run(todos(), predict_many, sink, watcher, stop=stop)
    assert closed  # which cancels what is queued


def test_late_doubles_are_removed_at_the_end(fake, sink, watcher, stop):
    fake.faults.append(Fault("POST", "/api/predictions", late=0.2))

    def predict(task):
        time.sleep(0.03)
        return {"result": []}

    run(todos(), one_by_one(predict), sink, watcher, stop=stop)
    assert fake.count("v") == dict.fromkeys(range(1, 31), 1)
