from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest

from pam_labeling.errors import BusyError, ClosedError, DeadlineError
from pam_labeling.jobs import Emit, Job, Priority
from pam_labeling.work_queue import WorkQueue
from tests.pam_labeling.queues import finish, steps, worker


def test_clicks_go_first_and_each_kind_in_order():
    queue = WorkQueue(9)
    log: list[str] = []
    jobs = [
        Job(steps(log, name), Priority.CLICK if name < "c" else Priority.BATCH) for name in "dbca"
    ]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["b0", "a0", "d0", "c0"]


def test_interactive_work_gets_in_between_the_steps_of_a_batch():
    queue = WorkQueue(9)
    log: list[str] = []
    click = Job(steps(log, "click"), Priority.CLICK)

    def batch():
        log.append("batch0")
        queue.put(click)
        yield
        log.append("batch1")

    jobs = [Job(batch(), Priority.BATCH), Job(steps(log, "later"), Priority.BATCH)]
    for job in jobs:
        queue.put(job)
    finish(queue, click, *jobs)
    assert log == ["batch0", "click0", "later0", "batch1"]


def test_the_result_of_the_steps_is_the_futures():
    queue = WorkQueue(1)
    job = Job(steps([], "a", 3, result=7), Priority.BATCH)
    queue.put(job)
    finish(queue, job)
    assert job.future.result() == 7


def test_a_full_queue_is_busy_for_that_priority_only():
    queue = WorkQueue(2)
    for _ in range(2):
        queue.put(Job(steps([], "a"), Priority.BATCH))
    with pytest.raises(BusyError, match="2 requests are waiting"):
        queue.put(Job(steps([], "a"), Priority.BATCH))
    queue.put(Job(steps([], "a"), Priority.CLICK))
    assert len(queue) == 3


def test_a_cancelled_or_late_job_frees_its_place():
    queue = WorkQueue(1)
    cancelled = Job(steps([], "a"), Priority.BATCH)
    queue.put(cancelled)
    cancelled.future.cancel()
    queue.put(Job(steps([], "a"), Priority.BATCH, deadline=time.monotonic()))
    queue.put(Job(steps([], "a"), Priority.BATCH))
    with pytest.raises(BusyError):
        queue.put(Job(steps([], "a"), Priority.BATCH))


def test_dead_jobs_do_not_pile_up():
    queue = WorkQueue(2)
    for _ in range(50):
        job = Job(steps([], "a"), Priority.BATCH)
        queue.put(job)
        job.future.cancel()
    assert len(queue) <= 3


def test_a_job_that_may_wait_gets_the_next_free_place():
    queue = WorkQueue(1)
    log: list[str] = []
    first, second = (Job(steps(log, name), Priority.BATCH) for name in "ab")
    queue.put(first)
    putting = threading.Thread(target=queue.put, args=(second,), kwargs={"wait": True})
    putting.start()
    time.sleep(0.05)
    assert len(queue) == 1
    finish(queue, first, second)
    putting.join(20)
    assert log == ["a0", "b0"]


def test_waiting_for_a_place_ends_at_the_deadline():
    queue = WorkQueue(1)
    queue.put(Job(steps([], "a"), Priority.BATCH))
    with pytest.raises(DeadlineError, match="no place"):
        queue.put(Job(steps([], "b"), Priority.BATCH, time.monotonic() + 0.05), wait=True)


def test_cancelled_jobs_are_skipped_also_between_steps():
    queue = WorkQueue(9)
    log: list[str] = []

    def doomed():
        log.append("doomed")
        job.future.cancel()
        yield
        log.append("never")

    job = Job(doomed(), Priority.BATCH)
    other = Job(steps(log, "other"), Priority.BATCH)
    unstarted = Job(steps(log, "unstarted"), Priority.BATCH)
    unstarted.future.cancel()
    for each in (job, unstarted, other):
        queue.put(each)
    finish(queue, other)
    assert log == ["doomed", "other0"]
    with pytest.raises(CancelledError):
        job.future.result()


def test_late_jobs_fail_without_being_done():
    queue = WorkQueue(9)
    log: list[str] = []
    late = Job(steps(log, "late"), Priority.BATCH, deadline=time.monotonic() - 1)
    queue.put(late)
    finish(queue, late)
    assert log == []
    assert isinstance(late.future.exception(), DeadlineError)


@pytest.mark.parametrize("error", [ValueError("x"), MemoryError(), SystemExit(1)])
def test_an_error_is_its_callers_and_the_worker_lives_on(error):
    def failing():
        yield
        raise error

    queue = WorkQueue(9)
    bad, good = Job(failing(), Priority.BATCH), Job(steps([], "a", 1, 5), Priority.BATCH)
    queue.put(bad)
    queue.put(good)
    finish(queue, bad, good)
    assert bad.future.exception() is error
    assert good.future.result() == 5


@pytest.mark.parametrize("result", [5, None])
def test_a_callback_that_exits_does_not_end_the_worker(caplog, result):
    def leave(_):
        raise SystemExit(1)

    def failing():
        yield
        raise ValueError("x")

    queue = WorkQueue(9)
    first = Job(steps([], "a", 1, 5) if result else failing(), Priority.BATCH)
    second = Job(steps([], "b", 1, 6), Priority.BATCH)
    first.future.add_done_callback(leave)
    queue.put(first)
    queue.put(second)
    finish(queue, first, second)
    assert second.future.result() == 6
    assert "SystemExit" in caplog.text


def test_a_timeout_error_is_a_missed_deadline_only_after_the_deadline():
    def failing(seconds):
        if seconds is None:
            yield
        time.sleep(seconds)
        raise TimeoutError("too slow")

    early = Job(failing(0), Priority.BATCH, time.monotonic() + 60)
    early.advance()
    assert type(early.future.exception()) is TimeoutError
    late = Job(failing(0.1), Priority.BATCH, time.monotonic() + 0.05)
    late.advance()
    assert isinstance(late.future.exception(), DeadlineError)


def test_closing_fails_what_waits_and_refuses_what_comes():
    queue = WorkQueue(9)
    log: list[str] = []
    waiting = Job(steps(log, "a"), Priority.BATCH)
    queue.put(waiting)
    queue.close()
    assert isinstance(waiting.future.exception(), ClosedError)
    with pytest.raises(ClosedError):
        queue.put(Job(steps(log, "b"), Priority.BATCH))
    queue.work()
    assert log == []


def test_closing_fails_the_job_at_work_after_its_step():
    queue, entered, go = WorkQueue(9), threading.Event(), threading.Event()

    def slow():
        entered.set()
        assert go.wait(20)
        yield

    job = Job(slow(), Priority.BATCH)
    queue.put(job)
    thread = worker(queue)
    assert entered.wait(20)
    queue.close()
    go.set()
    thread.join(20)
    assert isinstance(job.future.exception(), ClosedError)


def test_a_size_below_one_is_refused():
    with pytest.raises(ValueError, match="1 or more"):
        WorkQueue(0)


def resting(queue, cost=4):
    """A job that is begun, and rests because nobody takes its events."""

    def emitting():
        for number in range(9):
            yield Emit(number)

    job = Job(emitting(), Priority.WATCHED, cost=cost, outbox=2)
    queue.put(job)
    while job.is_ready:
        time.sleep(0.001)
    return job


def test_jobs_that_rest_do_not_keep_others_from_beginning():
    queue = WorkQueue(9, cost=4)
    thread = worker(queue)
    held = resting(queue)
    others = [Job(steps([], name, result=name), Priority.WATCHED, cost=4) for name in "ab"]
    for job in others:
        queue.put(job)
    assert [job.result(20) for job in others] == ["a", "b"]
    assert list(held) == list(range(9))
    queue.close()
    thread.join(20)


def test_a_late_job_ends_also_where_no_room_is_for_it_to_begin():
    queue = WorkQueue(9, cost=4)
    log: list[str] = []
    over = threading.Event()

    def busy():
        while not over.wait(0.001):
            yield

    held = Job(busy(), Priority.WATCHED, cost=4)
    late = Job(steps(log, "late"), Priority.WATCHED, time.monotonic() + 0.05, cost=4)
    queue.put(held)
    queue.put(late)
    thread = worker(queue)
    try:
        assert isinstance(late.future.exception(5), DeadlineError)
    finally:
        over.set()
        queue.close()
        thread.join(20)
    assert log == []


def test_a_cost_that_changes_after_the_beginning_leaves_the_count_right():
    queue = WorkQueue(9, cost=4)
    begun: list[int] = []
    most = 0

    def counted(number):
        nonlocal most
        begun.append(number)
        most = max(most, len(begun))
        for _ in range(3):
            yield
        begun.remove(number)

    def dearer():
        first.cost = 100
        yield

    first = Job(dearer(), Priority.BATCH)
    jobs = [first, *(Job(counted(number), Priority.BATCH, cost=4) for number in range(4))]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert most == 1


def test_a_callback_that_exits_keeps_closing_from_nobody():
    queue = WorkQueue(9)
    jobs = [Job(steps([], name), Priority.BATCH) for name in "ab"]
    for job in jobs:
        job.future.add_done_callback(lambda _: sys.exit(1))
        queue.put(job)
    queue.close()
    assert all(isinstance(job.future.exception(0), ClosedError) for job in jobs)
