"""A job by itself: what its steps yield, what its caller sees."""

from __future__ import annotations

import threading
import time
import weakref
from concurrent.futures import CancelledError, Future

import pytest

from pam_labeling.errors import DeadlineError
from pam_labeling.jobs import Emit, Job, Priority


def run(job, most=50):
    """Advance a job to its end, or to where it rests."""
    for _ in range(most):
        if job.is_over or not job.is_ready:
            return
        job.advance()
    raise AssertionError("it never ends")


def counting(count):
    for number in range(count):
        yield Emit(number)
    return "done"


def test_events_come_in_order_and_then_the_result():
    job = Job(counting(3), Priority.WATCHED, outbox=5)
    run(job)
    assert list(job) == [0, 1, 2]
    assert job.result(0) == "done"


def test_a_job_whose_outbox_is_full_rests_until_an_event_is_taken():
    job = Job(counting(5), Priority.WATCHED, outbox=2)
    woken = []
    job.wake = lambda: woken.append(1)
    run(job)
    assert not job.is_ready
    assert not job.is_over
    events = iter(job)
    assert next(events) == 0
    assert woken
    assert job.is_ready
    run(job)
    assert not job.is_ready
    assert [next(events), next(events)] == [1, 2]
    run(job)
    assert [next(events), next(events)] == [3, 4]
    run(job)
    assert job.is_over
    assert list(events) == []


def test_where_nobody_listens_events_are_dropped():
    job = Job(counting(100), Priority.BATCH)
    job.advance()
    assert job.is_over
    assert list(job) == []
    assert job.result(0) == "done"


def test_whoever_iterates_waits_for_the_worker():
    job = Job(counting(50), Priority.WATCHED, outbox=3)
    changed = threading.Event()
    job.wake = changed.set

    def work():
        while not job.is_over:
            if job.is_ready:
                job.advance()
            else:
                assert changed.wait(20)
                changed.clear()

    worker = threading.Thread(target=work)
    worker.start()
    assert list(job) == list(range(50))
    worker.join(20)


def test_an_iteration_ends_when_the_job_is_cancelled():
    job = Job(counting(5), Priority.WATCHED, outbox=2)
    run(job)
    events = iter(job)
    next(events)
    assert job.cancel()
    assert list(events) == [1], "what was there may still be taken"
    with pytest.raises(CancelledError):
        job.result(0)


def test_a_job_waits_for_data_and_gets_it():
    frame: Future[str] = Future()

    def steps():
        return (yield frame)

    job = Job(steps(), Priority.BATCH)
    woken = []
    job.wake = lambda: woken.append(1)
    job.advance()
    assert not job.is_ready
    frame.set_result("pixels")
    assert woken
    assert job.is_ready
    job.advance()
    assert job.result(0) == "pixels"


def test_steps_may_survive_data_that_cannot_be_had():
    frame: Future[str] = Future()

    def steps():
        try:
            yield frame
        except OSError as error:
            return f"kept what there was: {error}"

    job = Job(steps(), Priority.BATCH)
    job.advance()
    frame.set_exception(OSError("frame 7 is broken"))
    job.advance()
    assert job.result(0) == "kept what there was: frame 7 is broken"


def test_a_job_begins_after_what_it_waits_for():
    read: Future[None] = Future()
    job = Job(counting(0), Priority.BATCH, after=read)
    assert not job.is_ready
    read.set_result(None)
    job.advance()
    assert job.result(0) == "done"


def test_the_error_of_what_it_waits_for_is_the_jobs():
    read: Future[None] = Future()
    job = Job(counting(0), Priority.BATCH, after=read)
    read.set_exception(OSError("no such file"))
    job.advance()
    with pytest.raises(OSError, match="no such file"):
        job.result(0)


def test_a_late_job_is_ready_to_be_ended_whatever_it_waits_for():
    job = Job(counting(0), Priority.BATCH, time.monotonic(), after=Future())
    assert job.is_ready
    job.advance()
    assert isinstance(job.future.exception(0), DeadlineError)


def test_a_job_is_failed_once():
    job = Job(counting(0), Priority.BATCH)
    job.fail(OSError("first"))
    job.fail(OSError("second"))
    with pytest.raises(OSError, match="first"):
        job.result(0)


def test_interactive_is_another_name_of_click():
    assert Priority.INTERACTIVE is Priority.CLICK
    assert Priority.CLICK < Priority.WATCHED < Priority.BATCH


def test_a_job_that_is_cancelled_keeps_nothing_of_the_model_alive():
    """Its caller may keep the future for long; the work that it waited for holds features."""

    class Features:
        """Can be referred to weakly."""

    def waiting():
        yield Future()

    job = Job(waiting(), Priority.BATCH)
    job.advance()
    features = Features()
    gone = weakref.ref(features)
    job.reply(features)
    del features
    job.cancel()
    job.advance()
    assert job.is_over
    assert job.wants is None
    assert gone() is None
