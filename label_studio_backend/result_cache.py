"""Pre-annotations that are finished or under way, so that no finished work is ever lost.

Label Studio gives up a batch after 100 s and asks for it again. What was finished in the meantime
is found here, and what is still under way is waited for instead of being begun twice.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.metrics import Metrics

Prediction = dict[str, Any]

_KEEP_SECONDS = 3600.0  # a picture may change behind its address
_encode = msgspec.json.Encoder(order="sorted", enc_hook=repr).encode


class ResultCache:
    """Predictions by what they were made from; safe to use from any thread.

    Args:
        max_bytes: how much of finished predictions is kept, as JSON; 0 keeps nothing.
        metrics: counts what was found.
    """

    def __init__(self, max_bytes: int, metrics: Metrics) -> None:
        self._max_bytes = max_bytes
        self._metrics = metrics
        self._nbytes = 0
        self._kept: OrderedDict[bytes, tuple[float, bytes]] = OrderedDict()
        self._under_way: dict[bytes, Future[Prediction]] = {}
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is kept now, in bytes."""
        return self._nbytes

    @property
    def under_way(self) -> int:
        """How many predictions are being worked on, or wait for it."""
        return len(self._under_way)

    def claim(self, key: bytes) -> tuple[Future[Prediction], bool]:
        """The future prediction for `key`, and whether the caller is the one to make it.

        Whoever is must call `finish` or `fail` once.
        """
        with self._lock:
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

    def finish(self, key: bytes, prediction: Prediction) -> None:
        """Keep a prediction, and give it to those who wait for it."""
        content = msgspec.json.encode(prediction)
        with self._lock:
            future = self._under_way.pop(key)
            if len(content) <= self._max_bytes:
                self._kept[key] = (time.monotonic(), content)
                self._nbytes += len(content)
            while self._nbytes > self._max_bytes:
                self._forget(next(iter(self._kept)))
        future.set_result(prediction)

    def fail(self, key: bytes, error: Exception) -> None:
        """Tell those who wait why there is no prediction; the next one may try again."""
        with self._lock:
            future = self._under_way.pop(key)
        future.set_exception(error)

    def _find(self, key: bytes) -> bytes | None:
        entry = self._kept.get(key)
        if entry is None:
            return None
        made, content = entry
        if time.monotonic() - made > _KEEP_SECONDS:
            self._forget(key)
            return None
        self._kept.move_to_end(key)
        return content

    def _forget(self, key: bytes) -> None:
        _, content = self._kept.pop(key)
        self._nbytes -= len(content)


def result_key(task: Mapping[str, Any], *context: object) -> bytes:
    """A digest of what a prediction is made from.

    Args:
        task: its data, and the results of its annotations, drafts and predictions count; times
            and names of people do not.
        context: what else counts; its JSON, or `repr` where it has none, must tell all.
    """
    regions = [
        [entry.get("result") for entry in entries if isinstance(entry, dict)]
        for entries in (task.get(key) for key in ("annotations", "drafts", "predictions"))
        if isinstance(entries, list)
    ]
    parts = (task.get("id"), task.get("data"), regions, context)
    return blake2b(_encode(parts), digest_size=32).digest()
