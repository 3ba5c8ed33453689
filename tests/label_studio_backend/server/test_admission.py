"""Which requests work, which wait, and which are told "busy"."""

from __future__ import annotations

import threading
import time

import pytest

from label_studio_backend.server.admission import ConcurrencyLimit
from pam_labeling.errors import BusyError


def test_a_slot_is_given_back_after_work_and_after_an_error():
    limit = ConcurrencyLimit(1, "clicks")
    with limit.slot():
        pass
    with pytest.raises(KeyError), limit.slot():
        raise KeyError
    with limit.slot():
        pass


def test_a_slot_that_does_not_become_free_in_time_is_busy():
    limit = ConcurrencyLimit(1, "clicks", waiting=1, patience=0.05)
    with limit.slot():
        start = time.monotonic()
        with pytest.raises(BusyError, match="1 clicks are being worked on"):
            limit.slot().__enter__()
    assert 0.04 < time.monotonic() - start < 2


def test_more_than_may_wait_are_told_at_once():
    limit = ConcurrencyLimit(1, "clicks", waiting=1, patience=30.0)
    leave = threading.Event()
    inside = [threading.Event(), threading.Event()]

    def work(arrived):
        with limit.slot():
            arrived.set()
            leave.wait(30)

    working = threading.Thread(target=work, args=(inside[0],))
    working.start()
    inside[0].wait(30)
    waiting = threading.Thread(target=work, args=(inside[1],))
    waiting.start()
    _until(lambda: limit._inside._value == 0)
    start = time.monotonic()
    with pytest.raises(BusyError):
        limit.slot().__enter__()
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
