"""Lists of the ids of samples and labels, read from the database into a temporary file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

import bson

from .missing import label_ids

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from bson import ObjectId


class ListedSample(NamedTuple):
    """The id of a sample (or video frame), and those of its labels to work on."""

    document_id: ObjectId
    label_ids: tuple[ObjectId, ...]


def listing(rows: Iterable[Mapping[str, Any]]) -> Generator[ListedSample, None, None]:
    """Read all rows, and then give them one by one; a million of them need no memory.

    Args:
        rows: documents with `_id` and a list `labels`, as the stages of `listing_stages` give.
    """
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(bson.encode(row))
        # The cursor is through before the run writes anything.
        file.seek(0)
        for row in bson.decode_file_iter(file):
            yield ListedSample(row["_id"], tuple(row["labels"]))


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
