"""List the ids of samples and labels, read from the database into a temporary file."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Any, NamedTuple

import bson

from .missing import label_ids

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from bson import ObjectId


class ListedSample(NamedTuple):
    """The id of a sample (or video frame), and the ids of its labels to work on."""

    document_id: ObjectId
    label_ids: tuple[ObjectId, ...]


def listing(rows: Iterable[Mapping[str, Any]]) -> Generator[ListedSample, None, None]:
    """Read all rows, then yield them one by one; even a million of them need no memory.

    Args:
        rows: documents with `_id` and a list `labels`, as from `listing_stages`.
    """
    with tempfile.TemporaryFile() as file:
        for row in rows:
            file.write(bson.encode(row))
        # The cursor is exhausted before the run writes anything.
        file.seek(0)
        for row in bson.decode_file_iter(file):
            yield ListedSample(row["_id"], tuple(row["labels"]))


def listing_stages(
    document_id: str, field: str | None, list_name: str | None
) -> list[dict[str, Any]]:
    """MongoDB stages from samples to `{_id, labels}`, without samples that have no label.

    Args:
        document_id: the field with the id of the sample or frame.
        field: the label field; None: every sample, with no labels.
        list_name: the name of the field's list ("detections"); None for a single label.
    """
    if field is None:
        return [{"$project": {"_id": f"${document_id}", "labels": []}}]
    return [
        {"$project": {"_id": f"${document_id}", "labels": label_ids(field, list_name)}},
        {"$match": {"labels.0": {"$exists": True}}},
    ]


def counting_stages() -> list[dict[str, Any]]:
    """Stages from the rows of `listing_stages` to one `{samples, regions}`, or none without rows.

    A sample that occurs several times (in a view of patches) counts once.
    """
    return [
        {"$group": {"_id": "$_id", "regions": {"$sum": {"$size": "$labels"}}}},
        {"$group": {"_id": None, "samples": {"$sum": 1}, "regions": {"$sum": "$regions"}}},
    ]
