from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from label_studio_backend.single_flight import SingleFlight


def test_threads_that_ask_at_once_share_one_call_and_its_result():
    flights, calls, start = SingleFlight(), [], threading.Barrier(5)

    def slow():
        calls.append(1)
        time.sleep(0.1)
        return object()

    def ask(_):
        start.wait()
        return flights.call("key", slow)

    with ThreadPoolExecutor(5) as pool:
        found = list(pool.map(ask, range(5)))
    assert len(calls) == len(set(found)) == 1


def test_a_failure_is_shared_but_not_remembered():
    flights = SingleFlight()
    with pytest.raises(ValueError, match="no"):
        flights.call("key", lambda: int("no"))
    assert flights.call("key", lambda: 3) == 3


def test_other_keys_do_not_wait():
    flights = SingleFlight()
    assert flights.call("outer", lambda: flights.call("inner", lambda: 1) + 1) == 2
