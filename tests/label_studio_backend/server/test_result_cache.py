"""Pre-annotations that are finished or under way."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from label_studio_backend.metrics import Metrics
from label_studio_backend.server.result_cache import ResultCache, result_key


class Clock:
    """Seconds that pass when a test says so."""

    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def cache(max_bytes=1000, clock=time.monotonic):
    return ResultCache(max_bytes, Metrics(), clock=clock)


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


def put(results, key, prediction, *, fetched):
    """A prediction that is finished after its request was answered, or fetched by it."""
    results.claim(key)
    if not fetched:
        results.leave(key, fetched=False)
    results.finish(key, prediction)
    if fetched:
        results.leave(key, fetched=True)


def is_kept(results, key):
    future, mine = results.claim(key)
    results.leave(key, fetched=False)
    if mine:
        results.fail(key, KeyError(key))
        future.exception()
    return not mine


def test_the_fetched_prediction_used_longest_ago_is_forgotten_within_the_limit():
    results = cache(max_bytes=40)
    for key in (b"a", b"b"):
        put(results, key, {"result": [1, 2]}, fetched=True)
    assert is_kept(results, b"a")
    put(results, b"c", {"result": [3, 4]}, fetched=True)
    assert results.nbytes <= 40
    assert [is_kept(results, key) for key in (b"a", b"b", b"c")] == [True, False, True]


def test_an_unfetched_prediction_is_never_forgotten_for_others():
    results = cache(max_bytes=40)
    put(results, b"unfetched", {"result": [1, 2]}, fetched=False)
    for number in range(10):
        put(results, b"fetched %d" % number, {"result": [1, 2]}, fetched=True)
        put(results, b"unfetched %d" % number, {"result": [1, 2]}, fetched=False)
    assert is_kept(results, b"unfetched")
    assert all(is_kept(results, b"unfetched %d" % number) for number in range(10))


def test_work_that_nobody_waits_for_begins_only_where_there_is_room():
    results = cache(max_bytes=32)
    put(results, b"a", {"result": [1, 2]}, fetched=False)
    assert results.may_begin(b"c")
    put(results, b"b", {"result": [1, 2]}, fetched=False)
    assert not results.may_begin(b"c")
    results.claim(b"c")
    assert results.may_begin(b"c")
    assert not results.may_begin(b"d")


def test_whoever_waits_gets_a_prediction_that_has_no_room():
    results = cache(max_bytes=16)
    put(results, b"a", {"result": [1, 2]}, fetched=False)
    future, _ = results.claim(b"b")
    results.finish(b"b", {"result": [1, 2]})
    assert future.result() == {"result": [1, 2]}
    results.leave(b"b", fetched=True)
    assert results.nbytes == 16


def test_room_is_waited_for_until_something_is_fetched():
    results = cache(max_bytes=16)
    put(results, b"a", {"result": [1, 2]}, fetched=False)
    assert not results.wait_for_room([b"b"], 0.0)
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(results.wait_for_room, [b"b"], 30.0)
        results.claim(b"a")
        results.leave(b"a", fetched=True)
        assert waits.result()


def test_room_is_waited_for_until_somebody_waits_for_that_work():
    results = cache(max_bytes=0)
    assert not results.wait_for_room([b"a", b"b"], 0.0)
    with ThreadPoolExecutor(1) as thread:
        waits = thread.submit(results.wait_for_room, [b"a", b"b"], 30.0)
        results.claim(b"b")
        assert waits.result()


def test_an_unfetched_prediction_leaves_its_room_after_an_hour(clock):
    results = cache(max_bytes=16, clock=clock)
    put(results, b"a", {"result": [1, 2]}, fetched=False)
    assert not results.may_begin(b"b")
    clock.now += 3601
    assert results.may_begin(b"b")
    assert results.nbytes == 0


def test_a_prediction_larger_than_the_limit_still_reaches_those_who_wait():
    results = cache(max_bytes=0)
    future, _ = results.claim(b"a")
    results.finish(b"a", {"result": []})
    results.leave(b"a", fetched=True)
    assert future.result() == {"result": []}
    assert results.nbytes == 0


def test_an_old_prediction_is_made_anew(clock):
    results = cache(clock=clock)
    put(results, b"a", {"result": []}, fetched=True)
    assert is_kept(results, b"a")
    clock.now += 3601
    assert results.claim(b"a")[1]
    assert results.nbytes == 0


def test_a_key_is_made_of_data_regions_and_context():
    task = {"id": 1, "data": {"image": "x"}, "annotations": [], "drafts": [{"result": [1]}]}
    key = result_key(task, "config")
    same = [{**task, "updated_at": "now", "predictions": None}]
    same.append({**task, "annotations": [{"result": [1]}], "drafts": []})
    assert {result_key(one, "config") for one in same} == {key}
    others = [
        result_key({**task, "id": 2}, "config"),
        result_key({**task, "data": {"image": "y"}}, "config"),
        result_key({**task, "drafts": [{"result": [2]}]}, "config"),
        result_key({**task, "annotations": [{"result": [2]}]}, "config"),
        result_key(task, "another config"),
    ]
    assert len({key, *others}) == 6


def test_a_key_changes_with_what_is_skipped_whose_prediction_it_is_and_what_is_newer():
    older, newer = "2026-11-22T10:00:00Z", "2026-11-22T11:00:00Z"

    def key_of(kind, *entries):
        return result_key({"id": 1, "data": {}, kind: list(entries)})

    one, two = {"result": [1]}, {"result": [2]}
    assert key_of("annotations", one) != key_of("annotations", {**one, "was_cancelled": True})
    assert key_of("predictions", {**one, "model_version": "yolo"}) != key_of(
        "predictions", {**one, "model_version": "nano (pam-labeling 0.1.0)"}
    )
    assert key_of("drafts", {**one, "updated_at": older}, {**two, "updated_at": newer}) != key_of(
        "drafts", {**one, "updated_at": newer}, {**two, "updated_at": older}
    )


def test_a_key_does_not_change_with_what_prompts_nothing():
    task = {"id": 1, "data": {}, "drafts": [{"result": [1]}]}
    own = {"result": [2], "model_version": "trial (pam-labeling)"}
    empty = {"result": [], "updated_at": "2026-11-22T10:00:00Z"}
    skipped = {"result": [3], "was_cancelled": True}
    more = {**task, "predictions": [own], "annotations": [skipped, empty]}
    assert result_key(more) == result_key(task)


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
