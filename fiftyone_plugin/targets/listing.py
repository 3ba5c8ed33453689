"""Lists of the ids of samples and labels, read from the database into a temporary file."""

from __future__ import annotations

import tempfile
from struct import Struct
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from bson import ObjectId

from .missing import label_ids

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_ID_BYTES = 12
_HEAD = Struct(f"<{_ID_BYTES}sI")


class ListedSample(NamedTuple):
    """The id of a sample (or video frame), and those of its labels to work on."""

    document_id: ObjectId
    label_ids: tuple[ObjectId, ...]


class Listing:
    """Entries in a temporary file, so that a million of them need no memory.

    Use it as a context manager; the file is gone afterwards.

    Args:
        rows: documents with `_id` and a list `labels`, as the stages of `listing_stages` give.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        try:
            for row in rows:
                labels = row["labels"]
                self._file.write(_HEAD.pack(row["_id"].binary, len(labels)))
                self._file.write(b"".join(label.binary for label in labels))
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __iter__(self) -> Iterator[ListedSample]:
        self._file.seek(0)
        while head := self._file.read(_HEAD.size):
            document_id, count = _HEAD.unpack(head)
            ids = self._file.read(_ID_BYTES * count)
            labels = (ids[start : start + _ID_BYTES] for start in range(0, len(ids), _ID_BYTES))
            yield ListedSample(ObjectId(document_id), tuple(ObjectId(label) for label in labels))


def listing_stages(
    document_id: str, field: str | None, list_name: str | None
) -> list[dict[str, Any]]:
    """MongoDB stages from samples to `{_id, labels}`, without those that have no label.

    Args:
        document_id: where the id of the sample or frame is.
        field: the label field; None: every sample, with no labels.
        list_name: where the field's list is ("detections"), or None of a single label.
    """
    if field is None:
        return [{"$project": {"_id": f"${document_id}", "labels": []}}]
    return [
        {"$project": {"_id": f"${document_id}", "labels": label_ids(field, list_name)}},
        {"$match": {"labels.0": {"$exists": True}}},
    ]


def counting_stages() -> list[dict[str, Any]]:
    """Stages from the rows of `listing_stages` to one `{samples, regions}`, or none of no rows.

    A sample that comes several times (in a view of patches) counts once.
    """
    return [
        {"$group": {"_id": "$_id", "regions": {"$sum": {"$size": "$labels"}}}},
        {"$group": {"_id": None, "samples": {"$sum": 1}, "regions": {"$sum": "$regions"}}},
    ]
