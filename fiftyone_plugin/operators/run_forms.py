"""What the operators on runs share: how a form lists them, and how an output shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone.operators import types

from ..errors import PluginError
from ..runs.records import list_runs

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..runs.records import RunRecord


def run_choice(
    inputs: types.Object,
    ctx: Any,
    name: str,
    label: str,
    wanted: Callable[[RunRecord], bool],
    *,
    first: int = 0,
) -> None:
    """Offer the runs of the dataset that are wanted, the newest first.

    Args:
        inputs: the form.
        ctx: FiftyOne's execution context.
        name: of the parameter.
        label: of the choice.
        wanted: which runs to offer.
        first: which of them is chosen at first.

    Raises:
        PluginError: there are not enough.
    """
    records = [record for record in reversed(list_runs(ctx.dataset)) if wanted(record)]
    if len(records) <= first:
        raise PluginError("The dataset has no run for this yet.")
    choices = types.DropdownView()
    for record in records:
        choices.add_choice(record.key, label=record.key, description=line_of(record))
    inputs.enum(
        name, choices.values(), default=records[first].key, required=True, label=label, view=choices
    )


def needed_key(params: Any, name: str) -> str:
    """A run's key from an operator's parameters.

    Raises:
        PluginError: there is none.
    """
    key = params.get(name)
    if not isinstance(key, str) or not key:
        raise PluginError(
            f"The parameter {name} is missing: give a run's key, as list_runs has it."
        )
    return key


def refusal(inputs: types.Object, error: PluginError) -> None:
    """A sentence that keeps a form from being executed."""
    sentence = str(error)
    inputs.view("refusal", types.Error(label=sentence), invalid=True, error_message=sentence)


def line_of(record: RunRecord) -> str:
    """A run in a line."""
    counts = record.counts
    done = f"{counts.added:,} added" if counts.added else f"{counts.regions:,} regions"
    failed = f", {counts.failed:,} failed" if counts.failed else ""
    return f"{record.state}: {done}{failed} in {record.field!r} by {record.model}"


def table(columns: dict[str, str]) -> types.TableView:
    """A table view of these columns, titles by key."""
    view = types.TableView()
    for key, label in columns.items():
        view.add_column(key, label=label)
    return view
