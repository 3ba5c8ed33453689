"""Shows the runs of a dataset."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from ..runs.records import RunRecord, list_runs
from .run_forms import table

_COLUMNS = {
    "key": "Run",
    "state": "State",
    "field": "Field",
    "model": "Model",
    "started": "Started (UTC)",
    "regions": "Regions",
    "added": "Added",
    "failed": "Failed",
    "reason": "Reason, or first failure",
}


class ListRuns(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """Shows what was run on a dataset, with what, and what became of it."""

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name="list_runs",
            label="PAM: List runs",
            description="What was run on the dataset, with which model, and what became of it",
            view_target=False,
        )

    def __call__(self, collection: Any) -> list[dict[str, Any]]:
        """The records of a dataset's runs, oldest first.

        Args:
            collection: the dataset, or a view on it.
        """
        return [record.to_dict() for record in list_runs(collection)]

    def execute(self, ctx: Any) -> dict[str, Any]:
        """The runs, the newest first, as rows."""
        return {"runs": [_row(record) for record in reversed(list_runs(ctx.dataset))]}

    def resolve_output(self, ctx: Any) -> Any:
        """A table."""
        outputs = types.Object()
        if ctx.results.get("runs"):
            outputs.list("runs", types.Object(), label="Runs", view=table(_COLUMNS))
        else:
            outputs.view("none", types.Notice(label="Nothing was run on this dataset yet."))
        return types.Property(outputs, view=types.View(label="Runs"))


def _row(record: RunRecord) -> dict[str, Any]:
    counts = record.counts
    return {
        "key": record.key,
        "state": record.state,
        "field": record.field,
        "model": record.model,
        "started": record.started[:19].replace("T", " "),
        "regions": counts.regions,
        "added": counts.added,
        "failed": counts.failed,
        "reason": record.reason or (record.failures[0].reason if record.failures else ""),
        "parameters": record.parameters,
    }
