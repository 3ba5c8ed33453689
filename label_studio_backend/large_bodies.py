"""Bodies of `/predict`, of whatever length, read so that no other thread waits for long.

One call of a JSON decoder keeps the interpreter's lock to its end: half a second for 50 MB, in
which not even `/health` is answered. So a large body is decoded while it is read, a little of it
at a time.
"""

from __future__ import annotations

import io
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol

import ijson
import msgspec

from label_studio_backend.bodies import predict_body, read_predict
from label_studio_backend.collector import collector_rests
from label_studio_backend.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_backend.bodies import PredictBody

LARGE = 2 << 20
"""Bodies of fewer bytes are decoded at once, in some milliseconds."""

_CLICK = 16 << 20  # a click's body up to here is skipped faster than it is decoded in pieces
_BLOCK = 4 << 20
_PIECE = 1 << 16


class Readable(Protocol):
    """A body, as the server hands it over."""

    def read(self, size: int = -1, /) -> bytes:
        """At most so many bytes, all for -1; b"" at the end."""


class _Params(msgspec.Struct):
    context: Any = None


class _Head(msgspec.Struct):
    params: _Params | None = None


def _pieces(body: Readable) -> Iterator[bytes]:
    # Other threads run in between two pieces if they have waited long enough. Each reading of the
    # body wakes them too early and makes them wait anew, so much is read at once.
    while block := body.read(_BLOCK):
        for start in range(0, len(block), _PIECE):
            yield block[start : start + _PIECE]


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
    read = _read_large(body, length) if length >= LARGE else read_predict(body.read())
    if read.prompts is None:
        for task in read.tasks:
            _pack_run_lengths(task)
    return read


def _read_large(body: Readable, length: int) -> PredictBody:
    if length <= _CLICK:
        raw = body.read()
        if _is_click(raw):
            return read_predict(raw)
        body = io.BytesIO(raw)
    return _from_whole(_decode(body))


def _decode(body: Readable) -> dict[str, Any]:
    try:
        return dict(ijson.kvitems(ijson.from_iter(_pieces(body)), "", use_float=True))
    except ijson.JSONError as error:
        raise RequestError(f"the body is not JSON: {error}") from error


def _is_click(raw: bytes) -> bool:
    try:
        params = msgspec.json.decode(raw, type=_Head).params
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True  # `read_predict` says what is wrong
    return params is not None and params.context is not None


def _from_whole(whole: dict[str, Any]) -> PredictBody:
    tasks, params = whole.get("tasks"), whole.get("params")
    context = params.get("context") if isinstance(params, dict) else None
    if context is not None and isinstance(tasks, list):
        tasks = [
            {key: task[key] for key in ("id", "data") if key in task}
            if isinstance(task, dict)
            else task
            for task in tasks
        ]
    return predict_body(tasks, whole.get("label_config"), whole.get("project"), context)  # type: ignore[arg-type] # it is checked there


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
