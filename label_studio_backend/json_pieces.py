"""JSON of many megabytes, read where it is needed and in pieces.

A JSON decoder holds Python's lock to the end of its text, from 1 to 300 ms for a megabyte. No
other thread runs meanwhile, not even the one that answers `/health`. So numpy finds the commas, and
what stands between them is decoded when somebody asks for it, `PIECE` bytes at a time. What nobody
asks for is not checked either.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from label_studio_backend.errors import RequestError

PIECE = 1 << 15
"""About so many bytes are decoded at once."""

MOST_MEMBERS = 10_000
"""An object longer than a piece may have so many members."""

LONG_LIST = 2 << 20
"""A longer list, in bytes, is a `JsonList`."""

MOST_NESTED = 200_000
"""So many lists and objects may be in one list that becomes a Python list."""

MOST_TEXT = 32 << 20
"""A text may have so many bytes, and a 32nd of them with escapes: it is decoded in one go."""

_SCAN = 1 << 17  # bytes in which commas are looked for at once
_MOST_COMMAS = 8_000_000  # 72 MB of memory
_LEVELS = 4  # how deep commas are looked for in one go: a task's results are so deep
_DEEPEST = 40  # levels of lists and objects that are longer than a piece
_LONG_KEY = 1 << 15  # bytes
_SPACE = b" \t\n\r"
_KEY = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")[ \t\n\r]*:', re.DOTALL)

_QUOTE, _OPEN, _CLOSE = 1, 2, 3
_KINDS = bytes(
    {'"': _QUOTE, "{": _OPEN, "[": _OPEN, "}": _CLOSE, "]": _CLOSE}.get(chr(code), 0)
    for code in range(256)
)
_STEPS = np.array([0, 0, 1, -1], dtype=np.int8)


class TooManyItemsError(RequestError):
    """The text has more items in lists and objects than are read."""


class _Commas(NamedTuple):
    """The commas of a text, outside its strings.

    Attributes:
        at: int64 `(N,)`, their offsets in bytes, ascending.
        levels: int8 `(N,)`, in how many lists and objects they are, from 1 to `depth`.
        depth: how deep they were looked for.
    """

    at: npt.NDArray[np.int64]
    levels: npt.NDArray[np.int8]
    depth: int


class Json:
    """A part of a JSON text, not decoded yet.

    Args:
        text: the whole text.
        start, stop: where the part begins and ends in it, in bytes; by default it is the whole.
        level: in how many lists and objects it is.
        commas: those of the whole text, if they were looked for.
        above: how many levels are above the text.
    """

    __slots__ = ("_above", "_commas", "_level", "_start", "_stop", "_text")

    def __init__(
        self,
        text: bytes,
        start: int = 0,
        stop: int | None = None,
        *,
        level: int = 0,
        commas: _Commas | None = None,
        above: int = 0,
    ) -> None:
        self._text = text
        self._start, self._stop = _trimmed(text, start, len(text) if stop is None else stop)
        self._level = level
        self._commas = commas
        self._above = above

    @classmethod
    def shallow(cls, text: bytes, depth: int, most: int) -> Json:
        """A whole text of which only the upper levels are looked for, with `most` commas in them.

        Raises:
            RequestError: it is no JSON, or has more.
        """
        return cls(text, commas=_commas(text, depth, most))

    @property
    def text(self) -> bytes:
        """The part, without the space around it."""
        return self._text[self._start : self._stop]

    @property
    def raw(self) -> msgspec.Raw:
        """The part as msgspec writes it into another text."""
        return msgspec.Raw(self.text)

    @property
    def nbytes(self) -> int:
        """How long it is."""
        return self._stop - self._start

    @property
    def kind(self) -> str:
        """Its first character."""
        return self._text[self._start : self._start + 1].decode("latin-1")

    def value(self) -> Any:
        """Decode it; what is long becomes a `JsonObject` or a `JsonList`.

        Raises:
            RequestError: it is not JSON, nested too deeply, or longer than is read.
        """
        if self.nbytes <= PIECE:
            return decode(self.text)
        if self.kind == "{":
            return JsonObject(self)
        if self.kind == "[":
            found = JsonList(self)
            return found if self.nbytes > LONG_LIST else found.whole()
        text = self.text
        if len(text) > (MOST_TEXT // 32 if b"\\" in text else MOST_TEXT):
            raise RequestError(f"it has a text of {len(text):,} bytes, longer than is read")
        return decode(text)

    def members(self) -> dict[str, Json]:
        """The values of an object by their keys.

        Raises:
            RequestError: it is no object, or has more than `MOST_MEMBERS` members.
        """
        found = {}
        for part in self._parts("{}", MOST_MEMBERS):
            key = _KEY.match(self._text, part._start, min(part._stop, part._start + _LONG_KEY))
            if key is None:
                raise RequestError("it is not JSON: an object has a member without a key")
            found[decode(key[1])] = part._from(key.end(), part._stop)
        return found

    def items(self, most: int) -> list[Json]:
        """The items of a list.

        Raises:
            RequestError: it is no list, or has more than `most` items.
        """
        return self._parts("[]", most)

    def pieces(self) -> Iterator[list[Any]]:
        """The items of a list, decoded, some at a time.

        Raises:
            RequestError: it is no list, or a part of it is not JSON.
        """
        bounds = self._bounds("[]")
        first, last = 0, len(bounds) - 1
        while first < last:
            end = int(np.searchsorted(bounds, bounds[first] + PIECE, side="right")) - 1
            end = max(end, first + 1)
            start, stop = int(bounds[first]) + 1, int(bounds[end])
            if stop - start > PIECE:
                yield [self._child(start, stop).value()]
            else:
                yield decode(b"[" + self._text[start:stop] + b"]")
            first = end

    def _parts(self, brackets: str, most: int) -> list[Json]:
        bounds = self._bounds(brackets)
        if len(bounds) - 1 > most:
            raise TooManyItemsError(f"it has more than {most:,} items in a list or object")
        return [
            self._child(start + 1, stop)
            for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        ]

    def _bounds(self, brackets: str) -> npt.NDArray[np.int64]:
        """The offsets of the bracket before the first item, the commas, and the bracket at the end;
        of one bracket where there are no items."""
        if self.kind != brackets[0] or self._text[self._stop - 1] != ord(brackets[1]):
            raise RequestError(f"it is not JSON, or not what is between {brackets}")
        start, stop = self._start, self._stop - 1
        if _trimmed(self._text, start + 1, stop) == (stop, stop):
            return np.array([start])
        if self._commas is None or self._level == self._commas.depth:
            self._look_again()
            start, stop = 0, len(self._text) - 1
        assert self._commas is not None
        at, levels, _ = self._commas
        here = slice(*np.searchsorted(at, (start, stop)))
        own = at[here][levels[here] == self._level + 1]
        return np.concatenate(([start], own, [stop]))

    def _look_again(self) -> None:
        """Make this part a text of its own, and look for its commas."""
        self._above += self._level
        if self._above >= _DEEPEST:
            raise RequestError("it is nested too deeply")
        self._text = self.text
        self._start, self._stop, self._level = 0, len(self._text), 0
        self._commas = _commas(self._text, _LEVELS)

    def _child(self, start: int, stop: int) -> Json:
        level = self._level + 1
        return Json(self._text, start, stop, level=level, commas=self._commas, above=self._above)

    def _from(self, start: int, stop: int) -> Json:
        """Another part of the same text, as deep as this one."""
        return Json(
            self._text, start, stop, level=self._level, commas=self._commas, above=self._above
        )


class JsonObject(Mapping[str, Any]):
    """A long object; a member is decoded when it is asked for, each time."""

    def __init__(self, json: Json) -> None:
        self.json = json
        self._members = json.members()

    def __getitem__(self, key: str) -> Any:
        return self._members[key].value()

    def __contains__(self, key: object) -> bool:
        return key in self._members

    def __iter__(self) -> Iterator[str]:
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)


class JsonList:
    """A long list; its items are decoded while one goes through it, each time."""

    def __init__(self, json: Json) -> None:
        self.json = json

    def __iter__(self) -> Iterator[Any]:
        for piece in self.json.pieces():
            yield from piece

    def whole(self) -> list[Any]:
        """All items.

        Raises:
            RequestError: a part is not JSON, or there are more than `MOST_NESTED` lists and objects
                in it, which would be freed in one go, too.
        """
        text = self.json.text
        if text.count(b"[") + text.count(b"{") > MOST_NESTED:
            raise RequestError(f"it has more than {MOST_NESTED:,} lists and objects in a list")
        return list(self)


def decode(text: bytes) -> Any:
    """Decode a short text.

    Raises:
        RequestError: it is not JSON, or nested too deeply.
    """
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"it is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError("it is nested too deeply") from error


def _trimmed(text: bytes, start: int, stop: int) -> tuple[int, int]:
    """Where a part begins and ends without the space around it."""
    step = 256
    while start < stop and text[start] in _SPACE:
        piece = text[start : min(start + step, stop)]
        start += len(piece) - len(piece.lstrip(_SPACE))
    while start < stop and text[stop - 1] in _SPACE:
        piece = text[max(stop - step, start) : stop]
        stop -= len(piece) - len(piece.rstrip(_SPACE))
    return start, stop


def _commas(text: bytes, depth: int, most: int = _MOST_COMMAS) -> _Commas:
    """Find the commas of the upper levels.

    Raises:
        RequestError: a string, list or object does not end, or more of them end than began; or
            there are more than `most` commas.
    """
    found_at, found_levels, count = [np.empty(0, np.int64)], [np.empty(0, np.int8)], 0
    quotes, level, lowest, escaped = 0, 0, 0, False
    for start in range(0, len(text), _SCAN):
        piece = text[start : start + _SCAN]
        if escaped or b"\\" in piece:
            whole = b"\\" * escaped + piece
            whole = whole.replace(rb"\\", b"__").replace(rb"\"", b"__")
            piece, escaped = whole[escaped:], whole.endswith(b"\\")
        kinds = np.frombuffer(piece.translate(_KINDS), dtype=np.uint8)
        at = np.flatnonzero(kinds)
        kinds = kinds[at]
        counts = np.cumsum(np.concatenate(([quotes], kinds == _QUOTE)), dtype=np.int32)
        kinds[counts[1:] & 1 == 1] = 0
        levels = np.cumsum(np.concatenate(([level], _STEPS[kinds])), dtype=np.int32)
        quotes, level, lowest = int(counts[-1]), int(levels[-1]), min(lowest, int(levels.min()))
        if levels.min() <= depth:
            commas = np.flatnonzero(np.frombuffer(piece, dtype=np.uint8) == ord(","))
            before = np.searchsorted(at, commas)
            inside = levels[before]
            wanted = (counts[before] & 1 == 0) & (inside <= depth)
            found_at.append(commas[wanted] + start)
            found_levels.append(inside[wanted].astype(np.int8))
            count += len(found_at[-1])
            if count > most:
                raise TooManyItemsError(f"it has more than {most:,} items in lists and objects")
    found = _Commas(np.concatenate(found_at), np.concatenate(found_levels), depth)
    if quotes % 2 or level or lowest < 0 or (found.levels < 1).any():
        raise RequestError("it is not JSON: a string, list or object has no end, or no beginning")
    return found
