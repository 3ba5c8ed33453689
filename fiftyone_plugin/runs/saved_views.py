"""The saved view that a run made; a digest of all its parts tells it from other views."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import records

if TYPE_CHECKING:
    from .records import RunRecord


def save_view(dataset: Any, record: RunRecord, name: str, view: Any, description: str) -> RunRecord:
    """Save a view for a run, and remember in the run's record what was saved.

    Args:
        dataset: the run's.
        record: of the run.
        name: a name that is free.
        view: of the dataset.
        description: of the view; the run's key is put behind it.
    """
    dataset.save_view(name, view, description=f"{description} ({record.key})")
    record = replace(record, saved_view=_stamp(dataset._get_saved_view_doc(name)))
    records.save(dataset, record)
    return record


def delete_view(dataset: Any, record: RunRecord) -> None:
    """Delete the view that a run saved, where it is as the run saved it.

    A view that somebody renamed, described, coloured or saved anew, under whatever name, stays.
    """
    if record.saved_view:
        dataset._doc.reload("saved_views")  # another process may have changed them
        for document in list(dataset._doc.get_saved_views()):
            if _stamp(document) == record.saved_view:
                dataset.delete_saved_view(document.name)


def _stamp(document: Any) -> str:
    # Whatever somebody changes of the view, the digest is another then.
    parts = [document.name, document.description, document.color, list(document.view_stages)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
