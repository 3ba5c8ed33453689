"""A cache for data on the model's device, with a limit in bytes."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from cachetools import LRUCache


class Sized(Protocol):
    """Anything that knows its size on the device."""

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""


T = TypeVar("T", bound=Sized)


class DeviceCache(Generic[T]):
    """Entries by content key; the least recently used one is dropped first.

    Only the annotator's worker may use it; other threads may only ask whether a key is `in` it.

    Args:
        max_bytes: the limit in bytes; 0 keeps nothing.

    Attributes:
        hits: how often `get` found an entry.
        misses: how often it did not.
    """

    def __init__(self, max_bytes: int) -> None:
        if max_bytes < 0:
            raise ValueError(f"the cache limit must be 0 bytes or more, not {max_bytes}")
        self.hits = 0
        self.misses = 0
        self._entries: LRUCache[str, T] = LRUCache(max_bytes, getsizeof=lambda entry: entry.nbytes)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    @property
    def nbytes(self) -> int:
        """Bytes kept now."""
        return int(self._entries.currsize)

    def get(self, key: str) -> T | None:
        """The entry of `key`, which becomes the most recently used one, or None."""
        entry = self.peek(key)
        self.hits += entry is not None
        self.misses += entry is None
        return entry

    def peek(self, key: str) -> T | None:
        """Like `get`, but not counted as a hit or miss."""
        return self._entries.get(key)

    def put(self, key: str, entry: T) -> None:
        """Keep an entry, unless it is larger than the whole limit."""
        # Drop the old entry first: it must not stay if the new one is too large.
        self._entries.pop(key, None)
        if entry.nbytes <= self._entries.maxsize:
            self._entries[key] = entry

    def clear(self) -> None:
        """Drop all entries."""
        self._entries.clear()
