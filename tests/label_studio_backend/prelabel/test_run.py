from __future__ import annotations

import threading
import time

import pytest

from label_studio_backend.api_client import AccessError, Api, StoppedError, UnreachableError
from label_studio_backend.prelabel.run import Run
from label_studio_backend.prelabel.sink import PredictionSink, Written
from label_studio_backend.prelabel.source import Todo
from pam_labeling import ImageError
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
        self.written, self.failures, self.ticks = [], {}, 0

    def wrote(self, written):
        self.written.append(written)

    def failed(self, failure):
        self.failures[failure.task] = failure.reason

    def tick(self):
        self.ticks += 1


@pytest.fixture
def watcher():
    return Watcher()


def todos(count=30):
    return (Todo({"id": number}) for number in range(1, count + 1))


def empty(task):
    return {"result": []}


def test_predicts_and_writes_all(fake, sink, watcher, stop):
    Run(todos(), lambda task: {"result": [{"id": str(task["id"])}]}, sink, watcher, stop=stop)()
    assert fake.count("v") == dict.fromkeys(range(1, 31), 1)
    assert all(p["result"] == [{"id": str(p["task"])}] for p in fake.predictions.values())
    assert watcher.written == [Written.CREATED] * 30


def test_replaces_what_a_task_says(fake, sink, watcher, stop):
    old = fake.add_prediction(1, "v")
    Run([Todo({"id": 1}, (old,))], empty, sink, watcher, stop=stop)()
    assert watcher.written == [Written.REPLACED]


def test_stops_at_the_limit(fake, sink, watcher, stop):
    Run(todos(), empty, sink, watcher, stop=stop, limit=7)()
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
    Run(todos(), predict, sink, watcher, stop=stop)()
    assert sum(fake.count("v").values()) == 26
    assert watcher.failures.pop(6).startswith("Label Studio answers 400")
    assert watcher.failures == {3: "the file is no image", 4: "KeyError: 4", 5: "ValueError"}


def test_several_tasks_are_under_way_but_not_all(fake, sink, watcher, stop):
    lock, under_way, most, taken = threading.Lock(), 0, 0, 0

    def source():
        nonlocal taken
        for todo in todos():
            taken += 1
            yield todo

    def predict(task):
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            assert taken <= task["id"] + 12
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return {"result": []}

    Run(source(), predict, sink, watcher, stop=stop, ahead=3)()
    assert most == 3
    assert watcher.failures == {}


def test_what_is_finished_is_written_when_it_is_stopped(fake, sink, watcher, stop):
    predicted = []

    def predict(task):
        if len(predicted) == 8:
            stop.set()
        predicted.append(task["id"])
        return {"result": []}

    Run(todos(), predict, sink, watcher, stop=stop)()
    assert 8 <= len(predicted) < 30
    assert {task for task, number in fake.count("v").items() if number} == set(predicted)


def test_stopping_does_not_wait_for_a_task_that_takes_long(fake, sink, watcher, stop):
    begun, finish = threading.Event(), threading.Event()

    def predict(task):
        begun.set()
        finish.wait(10)
        return {"result": []}

    threading.Thread(target=lambda: begun.wait() and stop.set()).start()
    began = time.monotonic()
    Run(todos(), predict, sink, watcher, stop=stop)()
    assert time.monotonic() - began < 5
    assert fake.predictions == {}
    finish.set()


def test_is_told_that_time_passes(sink, watcher, stop):
    def predict(task):
        time.sleep(0.5)
        return {"result": []}

    Run(todos(1), predict, sink, watcher, stop=stop)()
    assert watcher.ticks > 0


@pytest.mark.parametrize("error", [AccessError("no"), UnreachableError("away"), KeyError("bug")])
def test_a_source_that_breaks_ends_the_run(fake, sink, watcher, stop, error):
    def source():
        yield from todos(2)
        raise error

    with pytest.raises(type(error)):
        Run(source(), empty, sink, watcher, stop=stop)()


def test_a_source_that_is_stopped_ends_the_run_quietly(fake, sink, watcher, stop):
    def source():
        yield from todos(2)
        stop.set()
        raise StoppedError("stopped")

    Run(source(), empty, sink, watcher, stop=stop)()


def test_a_server_that_goes_away_for_good_ends_the_run_and_its_threads(sink, watcher, stop, fake):
    fake.faults += [Fault("GET", "/api/predictions", 503)] * 99
    with pytest.raises(UnreachableError):
        Run(todos(), empty, sink, watcher, stop=stop)()
    deadline = time.monotonic() + 5
    while any(thread.name.startswith("prelabel") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_late_doubles_are_removed_at_the_end(fake, sink, watcher, stop):
    fake.faults.append(Fault("POST", "/api/predictions", late=0.2))

    def predict(task):
        time.sleep(0.03)
        return {"result": []}

    Run(todos(), predict, sink, watcher, stop=stop, ahead=1)()
    assert fake.count("v") == dict.fromkeys(range(1, 31), 1)
