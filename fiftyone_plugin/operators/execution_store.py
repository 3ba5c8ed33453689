"""FiftyOne's execution store: the last settings of each operator, and requests to stop a run.

FiftyOne deletes the store together with its dataset. The dataset's own documents are not touched.
"""

from __future__ import annotations

from typing import Any

from fiftyone.operators.store import ExecutionStore

STORE = "pam_labeling"
# Chosen for one run, so not remembered.
_PASSING = ("target", "all_slices", "only", "replace_human_work")


def recall(dataset: Any, operator: str) -> dict[str, Any]:
    """The parameters of an operator's last run on a dataset; {} before the first run."""
    return dict(_store(dataset).get(f"{operator}_settings") or {})


def remember(dataset: Any, operator: str, params: dict[str, Any]) -> None:
    """Keep an operator's parameters as the last ones."""
    kept = {name: value for name, value in params.items() if name not in _PASSING}
    _store(dataset).set(f"{operator}_settings", kept)


def want_stop(dataset: Any, key: str) -> None:
    """Ask a run, in any process, to stop after its current image."""
    _store(dataset).set(f"stop_{key}", True, ttl=24 * 60 * 60)  # seconds


def is_stop_wanted(dataset: Any, key: str) -> bool:
    """Whether somebody asked a run to stop."""
    return bool(_store(dataset).get(f"stop_{key}"))


def _store(dataset: Any) -> Any:
    return ExecutionStore.create(STORE, dataset._doc.id)
