from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from label_studio_backend.api_client import Api, RefusedError, UnreachableError
from label_studio_backend.prelabel.sink import PredictionSink, Written
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio, Fault

PREDICTION = {"result": [{"id": "a"}], "score": 0.5, "model_version": "whatever"}
POST = ("POST", "/api/predictions")


@pytest.fixture
def fake():
    with FakeLabelStudio(tasks=3) as fake:
        yield fake


@pytest.fixture
def api(fake):
    api = Api(fake.url, TOKEN, patience=5)
    yield api
    api.close()


@pytest.fixture
def sink(api):
    return PredictionSink(api, "v", grace=(0.05, 0.1))


def test_creates_a_prediction(sink, fake):
    assert sink.write(1, PREDICTION) is Written.CREATED
    (saved,) = fake.predictions.values()
    assert saved["task"] == 1
    assert (saved["result"], saved["score"], saved["model_version"]) == ([{"id": "a"}], 0.5, "v")


def test_leaves_a_prediction_that_is_there_already(sink, fake):
    fake.add_prediction(1, "v")
    assert sink.write(1, PREDICTION) is Written.ALREADY_THERE
    assert fake.versions(1) == ["v"]


def test_predictions_of_others_do_not_matter(sink, fake):
    fake.add_prediction(1, "other")
    assert sink.write(1, PREDICTION) is Written.CREATED
    assert fake.versions(1) == ["other", "v"]


@pytest.mark.parametrize("status", [None, 500, 502, 504])
def test_a_saved_prediction_whose_answer_is_lost_is_not_sent_again(sink, fake, status):
    fake.faults.append(Fault(*POST, status, saves=True))
    assert sink.write(1, PREDICTION) is Written.CREATED
    assert fake.versions(1) == ["v"]
    assert fake.asked(*POST) == 1


@pytest.mark.parametrize("status", [None, 500, 502, 504])
def test_a_prediction_that_did_not_arrive_is_sent_again(sink, fake, status):
    fake.faults.append(Fault(*POST, status))
    assert sink.write(1, PREDICTION) is Written.CREATED
    assert fake.versions(1) == ["v"]
    assert fake.asked(*POST) == 2


def test_a_prediction_that_arrives_within_the_time_of_grace_is_not_sent_again(sink, fake):
    fake.faults.append(Fault(*POST, late=0.08))
    assert sink.write(1, PREDICTION) is Written.CREATED
    assert fake.asked(*POST) == 1
    assert fake.versions(1) == ["v"]


def test_a_prediction_that_arrives_after_it_was_sent_again_is_removed_in_the_end(sink, fake):
    fake.faults.append(Fault(*POST, late=0.5))
    assert sink.write(1, PREDICTION) is Written.CREATED
    deadline = time.monotonic() + 5
    while fake.versions(1) != ["v", "v"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    sink.settle()
    assert fake.versions(1) == ["v"]


def test_doubles_are_removed_without_touching_other_predictions(sink, fake):
    fake.faults.append(Fault(*POST))
    sink.write(1, PREDICTION)
    kept = next(iter(fake.predictions))
    fake.add_prediction(1, "v")
    fake.add_prediction(1, "other")
    fake.add_prediction(2, "v")
    fake.add_prediction(2, "v")  # somebody else's business: it was not sent twice
    sink.settle()
    assert fake.versions(1) == ["v", "other"]
    assert fake.versions(2) == ["v", "v"]
    assert kept in fake.predictions


def test_a_prediction_that_always_breaks_the_server_is_given_up(sink, fake):
    fake.faults += [Fault(*POST, 500)] * 9
    with pytest.raises(RefusedError, match=r"cannot answer now \(500\), 4 times"):
        sink.write(1, PREDICTION)
    assert fake.versions(1) == []


def test_a_refused_prediction_is_told(sink):
    with pytest.raises(RefusedError, match="400: .*Invalid pk"):
        sink.write(99, PREDICTION)


def test_a_server_that_stays_away_is_told(fake):
    fake.stop()
    with pytest.raises(UnreachableError):
        PredictionSink(Api(fake.url, TOKEN, patience=0.5), "v").write(1, PREDICTION)
    fake.start(fake.port)


def test_replaces_a_prediction_in_its_place(sink, fake):
    old = fake.add_prediction(1, "v")
    assert sink.write(1, PREDICTION, (old,)) is Written.REPLACED
    assert list(fake.predictions) == [old]
    assert fake.predictions[old]["result"] == [{"id": "a"}]


def test_replaces_several_by_one(sink, fake):
    old = (fake.add_prediction(1, "v"), fake.add_prediction(1, "v"))
    sink.write(1, PREDICTION, old)
    assert fake.versions(1) == ["v"]


def test_a_replacement_whose_answer_is_lost_is_repeated(sink, fake):
    old = fake.add_prediction(1, "v")
    fake.faults.append(Fault("PATCH", "/api/predictions", None, saves=True))
    assert sink.write(1, PREDICTION, (old,)) is Written.REPLACED
    assert fake.versions(1) == ["v"]


def test_creates_what_was_deleted_while_it_should_be_replaced(sink, fake):
    assert sink.write(1, PREDICTION, (77,)) is Written.CREATED
    assert fake.versions(1) == ["v"]


def test_a_double_that_is_gone_already_is_no_error(sink, fake):
    fake.add_prediction(1, "v")
    assert sink.write(1, PREDICTION, (88, 1)) is Written.REPLACED


def test_a_refused_replacement_is_told(sink, fake):
    old = fake.add_prediction(1, "v")
    fake.faults.append(Fault("PATCH", "/api/predictions", 400))
    with pytest.raises(RefusedError, match="400"):
        sink.write(1, PREDICTION, (old,))


def test_a_refused_removal_is_told(sink, fake):
    old = (fake.add_prediction(1, "v"), fake.add_prediction(1, "v"))
    fake.faults.append(Fault("DELETE", "/api/predictions", 400))
    with pytest.raises(RefusedError, match="400"):
        sink.write(1, PREDICTION, old)


def test_two_programs_that_look_before_either_writes_leave_one_prediction(fake):
    looked = threading.Barrier(2)

    def write(_):
        with closing(Api(fake.url, TOKEN, patience=5)) as api:
            once = api.once
            api.once = lambda *given: (looked.wait(30), once(*given))
            return [
                PredictionSink(api, "v", grace=()).write(task, PREDICTION) for task in (1, 2, 3)
            ]

    with ThreadPoolExecutor(2) as programs:
        list(programs.map(write, range(2)))
    assert [fake.versions(task) for task in (1, 2, 3)] == [["v"]] * 3
    assert fake.asked(*POST) == 6
