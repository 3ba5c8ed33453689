"""Save and delete the view of a run; a digest of all its parts identifies it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from .records import RunRecord, save


def save_view(dataset: Any, record: RunRecord, name: str, view: Any, description: str) -> RunRecord:
    """Save a view for a run, and store its digest in the run's record.

    Args:
        dataset: the run's dataset.
        record: the run's record.
        name: an unused name for the view.
        view: a view of the dataset.
        description: the view's description; the run's key is appended.
    """
    dataset.save_view(name, view, description=f"{description} ({record.key})")
    record = replace(record, saved_view=_stamp(dataset._get_saved_view_doc(name)))
    save(dataset, record)
    return record


def delete_view(dataset: Any, record: RunRecord) -> None:
    """Delete the view that a run saved, unless somebody changed it.

    A view that somebody renamed, described, coloured or saved again, under any name, stays.
    """
    if record.saved_view:
        dataset._doc.reload("saved_views")  # another process may have changed them
        for document in list(dataset._doc.get_saved_views()):
            if _stamp(document) == record.saved_view:
                dataset.delete_saved_view(document.name)


def _stamp(document: Any) -> str:
    # Any change of the view changes the digest.
    parts = [document.name, document.description, document.color, list(document.view_stages)]
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=16).hexdigest()
