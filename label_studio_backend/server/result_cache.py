"""Pre-annotations that are finished or under way, so that finished work is found again.

Label Studio gives up a batch after 100 s and asks for it again. What was finished in the meantime
is found here, and what is still under way is waited for instead of being begun twice.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from concurrent.futures import Future
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from label_studio_backend.translation.prompts import region_sources

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.metrics import Metrics

Prediction = dict[str, Any]

_KEEP_SECONDS = 3600.0  # an image may change behind its address
_encode = msgspec.json.Encoder(order="sorted", enc_hook=repr).encode


class ResultCache:
    """Predictions by what they were made from; safe to use from any thread.

    A prediction is fetched when a request was answered with it. What is full forgets the fetched
    ones, those used longest ago first; finished work that nobody has fetched yet is never forgotten
    for other work. So there may be no place for it: see `finish`.

    Args:
        max_bytes: how much of finished predictions is kept, as JSON; 0 keeps nothing.
        metrics: counts what was found.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self.max_bytes = max_bytes
        self._metrics = metrics
        self._fetched: _Kept = OrderedDict()  # in the order of use
        self._unfetched: _Kept = OrderedDict()  # in the order they were finished
        self._fetched_bytes = 0
        self._unfetched_bytes = 0
        self._has_lost = False  # and nothing was fetched since
        self._under_way: dict[bytes, Future[Prediction]] = {}
        self._waiting: Counter[bytes] = Counter()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is kept now, in bytes."""
        return self._fetched_bytes + self._unfetched_bytes

    @property
    def under_way(self) -> int:
        """How many predictions are being worked on, or wait for it."""
        return len(self._under_way)

    def claim(self, key: bytes) -> tuple[Future[Prediction], bool]:
        """The future prediction for `key`, and whether the caller is the one to make it.

        Everybody must call `leave` once. Whoever makes it must call `finish` or `fail` once.
        """
        with self._lock:
            self._waiting[key] += 1
            future = self._under_way.get(key)
            if future is not None:
                self._metrics.results.labels("joined").inc()
                return future, False
            future = Future()
            kept = self._find(key)
            self._metrics.results.labels("miss" if kept is None else "hit").inc()
            if kept is None:
                self._under_way[key] = future
                return future, True
        future.set_result(msgspec.json.decode(kept))
        return future, False

    def leave(self, key: bytes, *, fetched: bool) -> None:
        """Wait no longer; `fetched` says whether the request is answered with the prediction."""
        with self._lock:
            self._waiting[key] -= 1
            if not self._waiting[key]:
                del self._waiting[key]
            entry = self._unfetched.pop(key, None) if fetched else None
            if entry is not None:
                self._fetched[key] = entry
                self._unfetched_bytes -= len(entry.content)
                self._fetched_bytes += len(entry.content)
                self._has_lost = False

    def would_lose(self, key: bytes, ahead: int) -> bool:
        """Whether work on a prediction is in vain: nobody waits for it, and there is no place.

        There is none from a prediction that was lost until another is fetched, nor where this one
        and `ahead` others under way, each as large as the mean of the unfetched ones, do not fit.
        """
        with self._lock:
            self._forget_old()
            count, nbytes = len(self._unfetched), self._unfetched_bytes
            is_full = nbytes >= self.max_bytes or (
                nbytes * (count + ahead + 1) > self.max_bytes * count
            )
            return (is_full or self._has_lost) and key not in self._waiting

    def finish(self, key: bytes, prediction: Prediction) -> bool:
        """Give a prediction to those who wait for it, and keep it if there is a place.

        Returns:
            Whether anybody has it or can fetch it; False: the work is lost.
        """
        content = msgspec.json.encode(prediction)
        with self._lock:
            future = self._under_way.pop(key)
            self._forget_old()
            is_kept = self._unfetched_bytes + len(content) <= self.max_bytes
            if is_kept:
                self._unfetched[key] = _Entry(time.monotonic(), content)
                self._unfetched_bytes += len(content)
            while self.nbytes > self.max_bytes:
                _, forgotten = self._fetched.popitem(last=False)
                self._fetched_bytes -= len(forgotten.content)
            is_lost = not is_kept and key not in self._waiting
            self._has_lost |= is_lost and bool(self._unfetched)
        future.set_result(prediction)
        return not is_lost

    def fail(self, key: bytes, error: Exception) -> None:
        """Tell those who wait why there is no prediction; the next one may try again."""
        with self._lock:
            future = self._under_way.pop(key)
        future.set_exception(error)

    def _find(self, key: bytes) -> bytes | None:
        self._forget_old()
        entry = self._unfetched.get(key)
        if entry is None:
            entry = self._fetched.get(key)
            if entry is None:
                return None
            if entry.is_old:
                del self._fetched[key]
                self._fetched_bytes -= len(entry.content)
                return None
            self._fetched.move_to_end(key)
        return entry.content

    def _forget_old(self) -> None:
        """Forget what nobody has fetched for so long that nobody will."""
        while self._unfetched and next(iter(self._unfetched.values())).is_old:
            _, forgotten = self._unfetched.popitem(last=False)
            self._unfetched_bytes -= len(forgotten.content)
            self._has_lost = False


class _Entry(NamedTuple):
    made: float
    content: bytes

    @property
    def is_old(self) -> bool:
        return time.monotonic() - self.made > _KEEP_SECONDS


_Kept = OrderedDict[bytes, _Entry]


def result_key(task: Mapping[str, Any], *context: object) -> bytes:
    """A digest of what a prediction is made from.

    Args:
        task: its number, its data and the results that it is prompted with count, in the order in
            which `region_sources` gives them. Skipped annotations, our own predictions, times and
            names of people do not.
        context: what else counts; its JSON, or `repr` where it has none, must tell all.
    """
    regions = [results for results in region_sources(task) if results]
    parts = (task.get("id"), task.get("data"), regions, context)
    return blake2b(_encode(parts), digest_size=32).digest()
