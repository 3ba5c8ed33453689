"""Who may work, who waits, and who is told that it is busy."""

from __future__ import annotations

import threading
import time

import pytest

from label_studio_backend.server.admission import NoTurnError, Turns


def test_a_turn_is_given_back_after_work_and_after_an_error():
    turns = Turns(1, 0.0, "clicks")
    with turns.turn():
        pass
    with pytest.raises(KeyError), turns.turn():
        raise KeyError
    with turns.turn():
        pass


def test_a_turn_that_does_not_come_in_time_is_busy_with_a_time_to_retry():
    turns = Turns(1, 0.05, "clicks")
    with turns.turn():
        start = time.monotonic()
        with pytest.raises(NoTurnError, match="busy: 1 clicks are being worked on") as caught:
            turns.turn().__enter__()
    assert 0.04 < time.monotonic() - start < 2
    assert (caught.value.status, caught.value.retry_after) == (503, 5)


def test_more_than_may_wait_are_told_at_once():
    turns = Turns(1, 30.0, "clicks")
    leave = threading.Event()
    inside = [threading.Event(), threading.Event()]

    def work(arrived):
        with turns.turn():
            arrived.set()
            leave.wait(30)

    working = threading.Thread(target=work, args=(inside[0],))
    working.start()
    inside[0].wait(30)
    waiting = threading.Thread(target=work, args=(inside[1],))
    waiting.start()
    _until(lambda: turns._inside._value == 0)
    start = time.monotonic()
    with pytest.raises(NoTurnError):
        turns.turn().__enter__()
    assert time.monotonic() - start < 5
    leave.set()
    working.join()
    waiting.join()
    assert inside[1].is_set()


def _until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)
