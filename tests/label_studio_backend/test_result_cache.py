"""Pre-annotations that are finished or under way."""

from __future__ import annotations

import pytest

from label_studio_backend import result_cache
from label_studio_backend.metrics import Metrics
from label_studio_backend.result_cache import ResultCache, result_key


def cache(max_bytes=1000):
    return ResultCache(max_bytes, Metrics())


def test_what_is_finished_is_found_again():
    results = cache()
    future, mine = results.claim(b"a")
    assert mine
    assert results.under_way == 1
    results.finish(b"a", {"result": [1]})
    assert future.result() == {"result": [1]}
    again, mine = results.claim(b"a")
    assert not mine
    assert again.result() == {"result": [1]}
    assert (results.under_way, results.nbytes) == (0, len(b'{"result":[1]}'))


def test_what_is_under_way_is_joined_instead_of_begun_twice():
    results = cache()
    first, _ = results.claim(b"a")
    second, mine = results.claim(b"a")
    assert second is first
    assert not mine


def test_a_failure_is_told_and_not_kept():
    results = cache()
    future, _ = results.claim(b"a")
    results.fail(b"a", ValueError("no"))
    with pytest.raises(ValueError, match="no"):
        future.result()
    assert results.claim(b"a")[1]


def test_what_was_used_longest_ago_is_forgotten_within_the_limit():
    results = cache(max_bytes=40)
    for key in (b"a", b"b"):
        results.claim(key)
        results.finish(key, {"result": [1, 2]})
    results.claim(b"a")
    results.claim(b"c")
    results.finish(b"c", {"result": [3, 4]})
    assert results.nbytes <= 40
    assert not results.claim(b"a")[1]
    assert results.claim(b"b")[1]


def test_a_prediction_larger_than_the_limit_still_reaches_those_who_wait():
    results = cache(max_bytes=0)
    future, _ = results.claim(b"a")
    results.finish(b"a", {"result": []})
    assert future.result() == {"result": []}
    assert results.nbytes == 0


def test_what_is_old_is_made_anew(monkeypatch):
    results = cache()
    results.claim(b"a")
    results.finish(b"a", {"result": []})
    monkeypatch.setattr(result_cache, "_KEEP_SECONDS", -1.0)
    assert results.claim(b"a")[1]
    assert results.nbytes == 0


def test_a_key_is_made_of_data_regions_and_context():
    task = {"id": 1, "data": {"image": "x"}, "annotations": [], "drafts": [{"result": [1]}]}
    key = result_key(task, "config")
    assert result_key({**task, "updated_at": "now", "predictions": None}, "config") == key
    others = [
        result_key({**task, "id": 2}, "config"),
        result_key({**task, "data": {"image": "y"}}, "config"),
        result_key({**task, "drafts": [{"result": [2]}]}, "config"),
        result_key({**task, "annotations": [{"result": [1]}], "drafts": []}, "config"),
        result_key(task, "another config"),
    ]
    assert len({key, *others}) == 6


def test_a_key_does_not_change_with_times_and_the_order_of_entries():
    one = {
        "id": 1,
        "data": {"a": 1, "b": 2},
        "drafts": [{"result": [], "created_ago": "0 minutes"}],
    }
    two = {
        "id": 1,
        "data": {"b": 2, "a": 1},
        "drafts": [{"result": [], "created_ago": "2 minutes"}],
    }
    assert result_key(one) == result_key(two)
