"""Two runs side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone.operators as foo
from fiftyone.operators import types

from ..errors import PluginError
from ..runs.compare import Comparison, Row, compare_runs
from .run_forms import needed_key, refusal, run_choice, table

if TYPE_CHECKING:
    from ..runs.records import RunRecord

_SHOWN = 200


class CompareRuns(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """Shows what two runs wrote onto the same regions, such as two models' captions."""

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name="compare_runs",
            label="PAM: Compare two runs",
            description="Two models' captions of the same regions, side by side",
            dynamic=True,
            view_target=False,
        )

    def __call__(
        self, collection: Any, first: str, second: str, *, limit: int = 1000
    ) -> dict[str, Any]:
        """What two runs wrote onto the regions that both worked on.

        Args:
            collection: the dataset, or a view on it: both runs are compared wholly.
            first: the key of the one run, as `list_runs` has it.
            second: the key of the other.
            limit: how many rows at most.

        Returns:
            `first` and `second` (the records), `rows` (`sample_id`, `label_id`, and what each wrote
            by attribute), `regions` and `different` (how many in all), and `view`, the regions.

        Raises:
            PluginError: there is no such run, they are one, or they have no region in common.
        """
        found = compare_runs(collection, first, second, limit=limit)
        return {**found.to_dict(), "view": found.view}

    def resolve_input(self, ctx: Any) -> Any:
        """Two of the runs."""
        inputs = types.Object()
        try:
            run_choice(inputs, ctx, "first", "First run", _is_comparable, first=1)
            run_choice(inputs, ctx, "second", "Second run", _is_comparable)
        except PluginError as error:
            refusal(inputs, error)
        inputs.bool("only_different", default=True, label="Only where they differ")
        view = types.PromptView(label="Compare two runs", submit_button_label="Compare")
        return types.Property(inputs, view=view)

    def execute(self, ctx: Any) -> dict[str, Any]:
        """Show the regions in the App, and the texts as rows."""
        found = compare_runs(
            ctx.dataset,
            needed_key(ctx.params, "first"),
            needed_key(ctx.params, "second"),
            limit=_SHOWN,
            only_different=bool(ctx.params.get("only_different", True)),
        )
        if found.rows:
            ctx.ops.set_view(found.view)
        return {"rows": [_row(row) for row in found.rows], "summary": summary_of(found)}

    def resolve_output(self, ctx: Any) -> Any:
        """A table."""
        outputs = types.Object()
        outputs.view("note", types.Notice(label=ctx.results.get("summary", "")))
        columns = {
            "first": str(ctx.params.get("first")),
            "second": str(ctx.params.get("second")),
            "label_id": "Label",
        }
        outputs.list("rows", types.Object(), label="Texts", view=table(columns))
        return types.Property(outputs, view=types.View(label="Two runs"))


def summary_of(comparison: Comparison) -> str:
    """How far two runs agree, in a sentence."""
    return (
        f"{comparison.regions:,} regions have both; "
        f"{comparison.different:,} of them differ; {len(comparison.rows):,} are shown."
    )


def _is_comparable(record: RunRecord) -> bool:
    return record.counts.regions > 0


def _row(row: Row) -> dict[str, str]:
    return {
        "first": _words(row.first),
        "second": _words(row.second),
        "label_id": row.label_id,
        "sample_id": row.sample_id,
    }


def _words(values: dict[str, Any]) -> str:
    if len(values) == 1:
        return str(next(iter(values.values())))
    return "; ".join(f"{name}: {value}" for name, value in values.items())
