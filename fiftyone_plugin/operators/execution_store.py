"""FiftyOne's execution store: last settings of forms, progress of runs, requests to stop them.

All processes share it. FiftyOne deletes the store together with its dataset. The dataset's own
documents are not touched.
"""

from __future__ import annotations

from typing import Any

from fiftyone.operators.store import ExecutionStore

STORE = "pam_labeling"
# Chosen for one run, so not remembered.
_PASSING = ("target", "all_slices", "only", "replace_human_work")
_DAY = 24 * 60 * 60  # seconds


def recall(ctx: Any, operator: str) -> dict[str, Any]:
    """What a person last chose in an operator's form on this dataset; {} before the first time.

    FiftyOne Enterprise knows its users; elsewhere all who open the App share the settings.
    """
    return dict(_store(ctx.dataset).get(_settings(ctx, operator)) or {})


def remember(ctx: Any, operator: str, params: dict[str, Any]) -> None:
    """Keep what a person chose in an operator's form."""
    kept = {name: value for name, value in params.items() if name not in _PASSING}
    _store(ctx.dataset).set(_settings(ctx, operator), kept)


def tell_progress(dataset: Any, key: str, done: int, total: int, text: str) -> None:
    """Keep how far a run is, for the App, which may be another process."""
    told = {"done": done, "total": total, "text": text}
    _store(dataset).set(f"progress_{key}", told, ttl=_DAY)


def progress_told(dataset: Any, key: str) -> dict[str, Any]:
    """How far a run is: `done`, `total` and `text`; {} if it has not said so."""
    return dict(_store(dataset).get(f"progress_{key}") or {})


def want_stop(dataset: Any, key: str) -> None:
    """Ask a run, in any process, to stop after its current image."""
    _store(dataset).set(f"stop_{key}", True, ttl=_DAY)


def is_stop_wanted(dataset: Any, key: str) -> bool:
    """Whether somebody asked a run to stop."""
    return bool(_store(dataset).get(f"stop_{key}"))


def _settings(ctx: Any, operator: str) -> str:
    # Not "_settings": there earlier versions kept what scripts chose, too.
    return f"{operator}_form" + (f"_{ctx.user_id}" if ctx.user_id else "")


def _store(dataset: Any) -> Any:
    return ExecutionStore.create(STORE, dataset._doc.id)
