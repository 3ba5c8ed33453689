"""The cache of pre-annotations, finished or under way.

Label Studio gives up a batch after 100 s and asks for it again. The second request gets the
finished predictions from here, and waits for those under way instead of beginning them twice.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from concurrent.futures import Future
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from cachetools import TTLCache

from label_studio_backend.json_pieces import JsonList, JsonObject
from label_studio_backend.translation.prompts import region_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from label_studio_backend.metrics import Metrics

Prediction = dict[str, Any]

_KEEP_SECONDS = 3600.0  # an image may change behind its address


def _other(value: object) -> object:
    """What msgspec is to encode in the place of what it does not know."""
    return value.json.raw if isinstance(value, JsonObject | JsonList) else repr(value)


_encode = msgspec.json.Encoder(order="sorted", enc_hook=_other).encode


class ResultCache:
    """A bounded store of predictions; safe to use from any thread.

    A prediction counts as fetched when a request was answered with it. Fetched ones make room for
    others, least recently used first. Unfetched ones never do: while they fill the store, only
    predictions that a request waits for may begin (`may_begin`).

    Args:
        max_bytes: limit on finished predictions, as JSON. The tasks that are under way when it is
            full may exceed it. 0 makes only predictions that a request waits for.
        metrics: counts hits and misses.
        clock: in seconds; predictions are forgotten after an hour.
    """

    def __init__(
        self, max_bytes: int, metrics: Metrics, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.max_bytes = max_bytes
        self._metrics = metrics
        self._fetched = _store(max_bytes, clock)
        self._unfetched = _store(math.inf, clock)
        self._under_way: dict[bytes, Future[Prediction]] = {}
        self._waiting: Counter[bytes] = Counter()
        self._changed = threading.Condition()

    @property
    def nbytes(self) -> int:
        """How many bytes of predictions are kept now."""
        return int(self._fetched.currsize + self._unfetched.currsize)

    @property
    def under_way(self) -> int:
        """How many predictions have begun, or wait for their turn."""
        return len(self._under_way)

    def claim(self, key: bytes) -> tuple[Future[Prediction], bool]:
        """The future prediction for `key`, and whether the caller must make it.

        Every caller must call `leave` once. The caller that makes the prediction must call `finish`
        or `fail` once.
        """
        with self._changed:
            self._waiting[key] += 1
            self._changed.notify_all()  # this work may begin now, even without room
            future = self._under_way.get(key)
            if future is not None:
                self._metrics.results.labels("joined").inc()
                return future, False
            future = Future()
            kept = self._unfetched.get(key) or self._fetched.get(key)
            self._metrics.results.labels("miss" if kept is None else "hit").inc()
            if kept is None:
                self._under_way[key] = future
                return future, True
        future.set_result(msgspec.json.decode(kept))
        return future, False

    def leave(self, key: bytes, *, fetched: bool) -> None:
        """End the wait of one caller; `fetched` says whether its request gets the prediction."""
        with self._changed:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
            content = self._unfetched.pop(key, None) if fetched else None
            if content is not None:
                if len(content) <= self.max_bytes:
                    self._fetched[key] = content
                self._make_room()
                self._changed.notify_all()

    def may_begin(self, key: bytes) -> bool:
        """Whether work on a prediction may begin: a request waits for it, or there is room."""
        with self._changed:
            return self._waiting[key] > 0 or self._unfetched.currsize < self.max_bytes

    def wait_for_room(self, keys: Collection[bytes], seconds: float) -> bool:
        """Wait until work on one of `keys` may begin; False if the seconds are over first."""
        with self._changed:
            return self._changed.wait_for(lambda: any(map(self.may_begin, keys)), seconds)

    def finish(self, key: bytes, prediction: Prediction) -> None:
        """Keep a prediction, and give it to those who wait for it."""
        content = msgspec.json.encode(prediction)
        with self._changed:
            future = self._under_way.pop(key)
            self._unfetched[key] = content
            self._make_room()
        future.set_result(prediction)

    def fail(self, key: bytes, error: Exception) -> None:
        """Tell those who wait why there is no prediction; the next request may try again."""
        with self._changed:
            future = self._under_way.pop(key)
        future.set_exception(error)

    def _make_room(self) -> None:
        while self._fetched and self.nbytes > self.max_bytes:
            self._fetched.popitem()


def _store(max_bytes: float, clock: Callable[[], float]) -> TTLCache[bytes, bytes]:
    return TTLCache(max_bytes, _KEEP_SECONDS, timer=clock, getsizeof=len)


def result_key(task: Mapping[str, Any], *context: object) -> bytes:
    """A digest of all that a prediction depends on.

    Args:
        task: its id, its data and the results that prompt it count, in the order of
            `region_sources`. Skipped annotations, our own predictions, times and names of people
            do not count.
        context: everything else that counts; its JSON, or its `repr` if it has none, must be
            complete.
    """
    regions = [results for results in region_sources(task) if results]
    parts = (task.get("id"), task.get("data"), regions, context)
    return blake2b(_encode(parts), digest_size=32).digest()
