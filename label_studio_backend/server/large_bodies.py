"""Bodies of `/predict`, of whatever length, read so that no other thread waits for long.

One call of a JSON decoder keeps the interpreter's lock to its end: half a second for 50 MB, in
which not even `/health` is answered. So a large body is cut at commas into pieces of some hundred
kilobytes. Each piece is completed by the brackets that are open around it, decoded alone, and
put where it belongs. (Parsers of streams, such as ijson's yajl, take time that grows with the
square of a string's length and of the depth: an image as a data URI took seconds.)
"""

from __future__ import annotations

import re
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import msgspec
import numpy as np

from label_studio_backend.errors import RequestError
from label_studio_backend.server.bodies import predict_body, read_predict
from label_studio_backend.server.collector import collector_rests

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from label_studio_backend.server.bodies import PredictBody

LARGE = 2 << 20
"""Bodies of fewer bytes are decoded at once, in some milliseconds."""

_CLICK = 16 << 20  # a click's body up to here is skipped faster than it is cut
_BLOCK = 1 << 20
_PIECE = 1 << 18
_MAX_DEPTH = 100
_QUOTE, _OPEN, _CLOSE = 1, 2, 3
_KINDS = bytes(
    {'"': _QUOTE, "{": _OPEN, "[": _OPEN, "}": _CLOSE, "]": _CLOSE}.get(chr(letter), 0)
    for letter in range(256)
)
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_FIRST = "\0first"  # names the member that goes on; Label Studio has no such key


class Readable(Protocol):
    """A body, as the server hands it over."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, all for -1; b"" at the end."""


class _Params(msgspec.Struct):
    context: Any = None


class _Head(msgspec.Struct):
    params: _Params | None = None


class _Piece(NamedTuple):
    """A part of the text, between two commas.

    Attributes:
        text: without the commas.
        before, after: the brackets that are open where it begins and where it ends.
        lowest: how many brackets are open all the way.
    """

    text: memoryview
    before: bytes
    after: bytes
    lowest: int


@contextmanager
def received(body: Readable, length: int) -> Iterator[PredictBody]:
    """What `read_any_predict` reads, for as long as it is worked on.

    While a large one is, the cycle collector rests; then its tasks are freed one at a time.

    Raises:
        RequestError: as `read_any_predict` does.
    """
    with collector_rests() if length >= LARGE else nullcontext():
        read = read_any_predict(body, length)
        try:
            yield read
        finally:
            while read.tasks:
                del read.tasks[-1]


def read_any_predict(body: Readable, length: int) -> PredictBody:
    """Read the body of `/predict`.

    In batches the run lengths of brushes become bytes, an eighth of a list's memory.

    Args:
        body: the bytes.
        length: how many there are.

    Raises:
        RequestError: not JSON, or not of the form that Label Studio posts.
    """
    if length < LARGE:
        read = read_predict(body.read())
    else:
        raw = _read(body, length)
        at_once = length <= _CLICK and _is_click(raw)
        read = read_predict(raw) if at_once else _from_whole(decode_in_pieces(raw))
    if read.prompts is None:
        for task in read.tasks:
            _pack_run_lengths(task)
    return read


def _read(body: Readable, length: int) -> memoryview:
    """All bytes; a call that copied or cleared as many would keep the interpreter's lock."""
    raw = np.empty(length, np.uint8)
    end = 0
    while block := body.read(min(_BLOCK, length - end)):
        raw[end : end + len(block)] = np.frombuffer(block, np.uint8)
        end += len(block)
    return raw[:end].data


def _is_click(raw: memoryview) -> bool:
    try:
        params = msgspec.json.decode(raw, type=_Head).params
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True  # `read_predict` says what is wrong
    return params is not None and params.context is not None


def _from_whole(whole: Any) -> PredictBody:
    if not isinstance(whole, dict):
        raise RequestError("the body is not what Label Studio posts here: it is no object")
    tasks, params = whole.get("tasks"), whole.get("params")
    if params is not None and not isinstance(params, dict):
        raise RequestError("the body is not what Label Studio posts here: params is no object")
    context = params.get("context") if isinstance(params, dict) else None
    if context is not None and isinstance(tasks, list):
        tasks = [
            {key: task[key] for key in ("id", "data") if key in task}
            if isinstance(task, dict)
            else task
            for task in tasks
        ]
    return predict_body(tasks, whole.get("label_config"), whole.get("project"), context)  # type: ignore[arg-type] # it is checked there


def decode_in_pieces(raw: bytes | memoryview) -> Any:
    """What `msgspec.json.decode` makes of a text, a little of it at a time.

    A comma behind the last member of a list or object may pass.

    Raises:
        RequestError: not JSON.
    """
    around: list[Any] = []  # what is open, from the outermost
    root: list[Any] = []
    for piece in _pieces(memoryview(raw)):
        around = _join(root, around, piece)
    return root[0]


def _join(root: list[Any], around: list[Any], piece: _Piece) -> list[Any]:
    """Put a piece where it belongs; return what is open behind it."""
    try:
        whole = b"".join((_opened(piece.before), piece.text, _closed(piece.after)))
        decoded = msgspec.json.decode(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    is_last = not piece.after
    if not root:
        root.append(decoded)
        inner = decoded
        still: list[Any] = []
    else:
        inner, still = decoded, around[: piece.lowest]
        for level, target in enumerate(around):
            deeper = _added(target, inner, goes_on=level + 1 < len(around))
            if level + 1 == piece.lowest:
                # Everything that is open further inside was opened in this piece.
                still, opened = around[: level + 1], _last(inner)
            inner = deeper
        inner = opened if piece.lowest else None
    while not is_last and len(still) < len(piece.after):
        if not isinstance(inner, list | dict):  # an object has a name twice
            raise RequestError("the body is not JSON: an object has two members of one name")
        still.append(inner)
        inner = _last(inner)
    return still


def _added(target: Any, piece: Any, *, goes_on: bool) -> Any:
    """Add the piece's members to what is open; return the one that goes on further inside."""
    first = None
    if isinstance(target, dict):
        if goes_on:
            first = piece.pop(_FIRST)
        target.update(piece)
    else:
        if goes_on:
            first = piece[0]
            del piece[0]
        target.extend(piece)
    return first


def _last(members: Any) -> Any:
    if isinstance(members, dict):
        return next(reversed(members.values()), None)
    return members[-1] if isinstance(members, list) and members else None


def _opened(brackets: bytes) -> bytes:
    name = msgspec.json.encode(_FIRST) + b":"
    inside = [b"{" + name if bracket == ord("{") else b"[" for bracket in brackets[:-1]]
    return b"".join(inside) + brackets[-1:]


def _closed(brackets: bytes) -> bytes:
    return brackets[::-1].translate(bytes.maketrans(b"{[", b"}]"))


def _pieces(raw: memoryview) -> Iterator[_Piece]:
    begin, position = 0, 0
    is_in_text = False
    before, brackets = b"", b""  # open at `begin` and at `position`
    lowest = 0
    while position < len(raw):
        end = position + _PIECE
        while end < len(raw) and raw[end - 1] == ord("\\"):
            end += 1  # an escape stays in one part
        part = _Part(bytes(raw[position:end]), is_in_text, len(brackets))
        if part.comma is not None:
            lowest = min(lowest, part.lowest_before())
            after = part.open_at_comma(brackets)
            yield _Piece(raw[begin : position + part.comma], before, after, lowest)
            begin, before, lowest = position + part.comma + 1, after, len(after)
        lowest = min(lowest, part.lowest_behind())
        brackets = part.open_at_end(brackets)
        is_in_text, position = part.ends_in_text, end
    yield _Piece(raw[begin:], before, b"", 0)


class _Part:
    """Where a part of the text has brackets outside of strings, and the last comma among them.

    Attributes:
        comma: where the last comma is that is neither in a string nor outside everything; None
            where there is none.
        ends_in_text: whether a string goes on behind it.
    """

    def __init__(self, text: bytes, is_in_text: bool, depth: int) -> None:
        if b"\\" in text:
            text = _ESCAPED.sub(b"__", text)
        self._text = text
        kinds = np.frombuffer(text.translate(_KINDS), np.uint8)
        places = np.flatnonzero(kinds)
        kinds = kinds[places]
        inside = (np.cumsum(kinds == _QUOTE) + is_in_text) & 1
        self._opens = (kinds == _OPEN) & (inside == 0)
        closes = (kinds == _CLOSE) & (inside == 0)
        # Of the stretches before, between and behind the marks.
        self._depths = depth + np.cumsum(np.append(0, self._opens.astype(np.int32) - closes))
        self._places = np.append(-1, places)
        self.ends_in_text = bool(inside[-1]) if len(inside) else is_in_text
        self._stretch = len(places)
        self.comma = self._last_comma(np.append(is_in_text, inside))

    def _last_comma(self, inside: npt.NDArray[np.int_]) -> int | None:
        end = len(self._text)
        possible = (inside == 0) & (self._depths > 0)
        for stretch in range(len(self._places) - 1, -1, -1):
            begin = int(self._places[stretch]) + 1
            comma = self._text.rfind(b",", begin, end) if possible[stretch] else -1
            if comma >= 0:
                self._stretch = stretch
                return comma
            end = begin - 1
        return None

    def lowest_before(self) -> int:
        """The least depth before the comma."""
        return int(self._depths[: self._stretch + 1].min())

    def lowest_behind(self) -> int:
        """The least depth behind the comma, or of all where there is none."""
        begin = 0 if self.comma is None else self._stretch
        return int(self._depths[begin:].min())

    def open_at_comma(self, brackets: bytes) -> bytes:
        """The brackets that are open at the comma, where `brackets` are at the part's begin."""
        return self._open_in(self._stretch, brackets)

    def open_at_end(self, brackets: bytes) -> bytes:
        """The brackets that are open at the end."""
        return self._open_in(len(self._depths) - 1, brackets)

    def _open_in(self, stretch: int, brackets: bytes) -> bytes:
        depths = self._depths[: stretch + 1]
        final = int(depths[-1])
        if final > _MAX_DEPTH:
            raise RequestError("the body is nested too deeply")
        kept = max(0, int(depths.min()))
        opened = b""
        for depth in range(kept + 1, final + 1):
            mark = np.flatnonzero(self._opens[:stretch] & (depths[1:] == depth))[-1]
            place = int(self._places[mark + 1])
            opened += self._text[place : place + 1]
        return brackets[:kept] + opened


def _pack_run_lengths(task: dict[str, Any]) -> None:
    for key in ("annotations", "drafts", "predictions"):
        entries = task.get(key)
        for entry in entries if isinstance(entries, list) else ():
            results = entry.get("result") if isinstance(entry, dict) else None
            for result in results if isinstance(results, list) else ():
                value = result.get("value") if isinstance(result, dict) else None
                if isinstance(value, dict):
                    _pack(value)


def _pack(value: dict[str, Any]) -> None:
    rle = value.get("rle")
    if isinstance(rle, list) and rle:
        try:
            value["rle"] = bytes(rle)
        except (TypeError, ValueError):  # whoever reads it says what is wrong
            return
