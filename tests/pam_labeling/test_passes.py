"""Equal work of several jobs in one pass, and whose turn it is meanwhile."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future

from pam_labeling.errors import ClosedError, DeadlineError
from pam_labeling.jobs import Emit, Job, Priority
from pam_labeling.work import Work
from pam_labeling.work_queue import WorkQueue
from tests.pam_labeling.queues import finish, steps, worker


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
    assert "is tried again in halves" in caplog.text


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
