from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import CancelledError, Future

import pytest

from pam_labeling.errors import BusyError, ClosedError, DeadlineError
from pam_labeling.jobs import Emit, Job, Priority
from pam_labeling.work import Work
from pam_labeling.work_queue import WorkQueue


def steps(log, name, count=1, result=None):
    for step in range(count):
        log.append(f"{name}{step}")
        yield
    return result


def worker(queue):
    thread = threading.Thread(target=queue.work)
    thread.start()
    return thread


def finish(queue, *jobs):
    """Work until the jobs are over."""
    thread = worker(queue)
    for job in jobs:
        job.future.exception(timeout=20)
    queue.close()
    thread.join(20)


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
    with pytest.raises(ValueError, match="from 1"):
        WorkQueue(0)


class Piece(Work[str]):
    """Equal work of size `tokens`; `log` gets the names of each pass."""

    stage = 1

    def __init__(self, log, name, tokens=1, kind="piece"):
        self.log, self.name, self._tokens, self._kind = log, name, tokens, kind

    @property
    def kind(self):
        return self._kind

    @property
    def tokens(self):
        return self._tokens

    def run(self, pieces):
        names = [piece.name for piece in pieces]
        self.log.append("+".join(names))
        yield
        if "poison" in names:
            raise ValueError("poison")
        return [name.upper() for name in names]


class Early(Piece):
    stage = 0


def wanting(*pieces):
    results = []
    for piece in pieces:
        result = yield piece
        results += [result]
    return results


def test_equal_work_of_several_jobs_is_done_in_one_pass():
    queue, log = WorkQueue(9), []
    jobs = [Job(wanting(Piece(log, name)), Priority.BATCH) for name in "abc"]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["a+b+c"]
    assert [job.result(0) for job in jobs] == [["A"], ["B"], ["C"]]


def test_a_pass_has_a_budget_and_a_large_piece_goes_alone():
    queue, log = WorkQueue(9, tokens_per_pass=5), []
    sizes = {"a": 2, "b": 9, "c": 2, "d": 1, "e": 1}
    jobs = [Job(wanting(Piece(log, name, size)), Priority.BATCH) for name, size in sizes.items()]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["a+c+d", "b", "e"]


def test_different_work_and_other_priorities_share_no_pass():
    queue, log = WorkQueue(9), []
    jobs = [
        Job(wanting(Piece(log, "a")), Priority.BATCH),
        Job(wanting(Piece(log, "b", kind="other")), Priority.BATCH),
        Job(wanting(Piece(log, "c")), Priority.CLICK),
        Job(wanting(Piece(log, "d")), Priority.BATCH),
    ]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["c", "a+d", "b"]


def test_in_a_batch_early_stages_go_first_so_that_later_ones_fill_up():
    queue, log = WorkQueue(9), []
    jobs = [Job(wanting(Piece(log, "late")), Priority.BATCH)]
    jobs += [Job(wanting(Early(log, n, kind=n), Piece(log, n)), Priority.BATCH) for n in "ab"]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["a", "b", "late+a+b"]


def test_one_bad_piece_spoils_no_other(caplog):
    queue, log = WorkQueue(9), []
    jobs = {n: Job(wanting(Piece(log, n)), Priority.BATCH) for n in ("a", "b", "poison", "d")}
    for job in jobs.values():
        queue.put(job)
    finish(queue, *jobs.values())
    assert log == ["a+b+poison+d", "a+b", "poison+d", "poison", "d"]
    assert isinstance(jobs.pop("poison").future.exception(0), ValueError)
    assert [job.result(0) for job in jobs.values()] == [["A"], ["B"], ["D"]]
    assert "is tried in halves" in caplog.text


def test_a_click_gets_in_in_the_middle_of_a_pass():
    queue, log = WorkQueue(9), []
    click = Job(steps(log, "click"), Priority.CLICK)

    class Interrupted(Piece):
        def run(self, pieces):
            log.append("begin")
            queue.put(click)
            yield
            log.append("end")
            return ["x"] * len(pieces)

    job = Job(wanting(Interrupted(log, "a")), Priority.BATCH)
    queue.put(job)
    finish(queue, job, click)
    assert log == ["begin", "click0", "end"]


def test_a_pass_that_nobody_waits_for_is_not_finished():
    queue, log, jobs = WorkQueue(9), [], []

    class Long(Piece):
        def run(self, pieces):
            for step in range(100):
                log.append(step)
                for job in jobs:
                    job.cancel()
                yield
            return ["x"] * len(pieces)

    jobs += [Job(wanting(Long(log, name)), Priority.BATCH) for name in "ab"]
    after = Job(steps([], "after"), Priority.BATCH)
    for job in (*jobs, after):
        queue.put(job)
    finish(queue, after)
    assert log == [0]


def test_of_a_pass_the_one_who_was_cancelled_is_left_out():
    queue, log = WorkQueue(9), []

    class Cancelling(Piece):
        def run(self, pieces):
            jobs[0].cancel()
            yield
            return [piece.name for piece in pieces]

    jobs = [Job(wanting(Cancelling(log, name)), Priority.BATCH) for name in "ab"]
    for job in jobs:
        queue.put(job)
    finish(queue, jobs[1])
    assert jobs[1].result(0) == ["b"]
    assert jobs[0].future.cancelled()


def test_jobs_of_a_priority_take_turns():
    queue, log = WorkQueue(9), []
    jobs = [Job(steps(log, name, 3), Priority.WATCHED) for name in "ab"]
    jobs.append(Job(steps(log, "c", 1), Priority.WATCHED))
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["a0", "b0", "c0", "a1", "b1", "a2", "b2"]


def test_a_job_that_waits_for_data_holds_nobody_up():
    queue, log, frame = WorkQueue(9), [], Future()

    def waiting():
        log.append((yield frame))

    clip = Job(waiting(), Priority.WATCHED)
    others = [Job(steps(log, name), Priority.BATCH) for name in "ab"]
    for job in (clip, *others):
        queue.put(job)
    thread = worker(queue)
    for job in others:
        job.result(20)
    assert log == ["a0", "b0"]
    frame.set_result("frame")
    clip.result(20)
    queue.close()
    thread.join(20)
    assert log == ["a0", "b0", "frame"]


def test_a_deadline_ends_a_wait_for_data():
    queue = WorkQueue(9)
    job = Job(steps([], "a"), Priority.BATCH, time.monotonic() + 0.05, after=Future())
    queue.put(job)
    finish(queue, job)
    assert isinstance(job.future.exception(0), DeadlineError)


def test_a_job_whose_outbox_is_full_holds_nobody_up():
    queue, log = WorkQueue(9), []

    def emitting():
        for number in range(4):
            yield Emit(number)

    watched = Job(emitting(), Priority.CLICK, outbox=1)
    other = Job(steps(log, "other"), Priority.BATCH)
    queue.put(watched)
    queue.put(other)
    thread = worker(queue)
    other.result(20)
    assert list(watched) == [0, 1, 2, 3]
    queue.close()
    thread.join(20)


def test_few_jobs_hold_features_at_once_and_none_is_overtaken_for_ever():
    queue, log = WorkQueue(9), []
    costs = {"a": 20, "b": 20, "c": 5}
    jobs = [Job(steps(log, name, 2), Priority.BATCH, cost=cost) for name, cost in costs.items()]
    for job in jobs:
        queue.put(job)
    finish(queue, *jobs)
    assert log == ["a0", "a1", "b0", "c0", "b1", "c1"]


def test_closing_fails_the_jobs_of_a_pass():
    queue, entered, go = WorkQueue(9), threading.Event(), threading.Event()

    class Held(Piece):
        def run(self, pieces):
            entered.set()
            assert go.wait(20)
            yield
            return ["x"] * len(pieces)

    jobs = [Job(wanting(Held([], name)), Priority.BATCH) for name in "ab"]
    for job in jobs:
        queue.put(job)
    thread = worker(queue)
    assert entered.wait(20)
    queue.close()
    go.set()
    thread.join(20)
    assert all(isinstance(job.future.exception(0), ClosedError) for job in jobs)


def test_a_pass_takes_turns_with_others_of_its_priority():
    queue, log = WorkQueue(9), []

    class Long(Piece):
        def run(self, pieces):
            for step in range(3):
                log.append(f"long{step}")
                if step == 0:
                    queue.put(click)
                yield
            return ["x"] * len(pieces)

    click = Job(steps(log, "click", 2), Priority.CLICK)
    job = Job(wanting(Long(log, "a")), Priority.CLICK)
    queue.put(job)
    finish(queue, job, click)
    assert log == ["long0", "click0", "long1", "click1", "long2"]


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
