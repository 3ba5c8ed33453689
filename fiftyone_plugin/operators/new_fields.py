"""New fields of runs: may a run make the field, or go on with one that another run began?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import PluginError
from ..runs.records import UNDONE, RunRecord, list_runs
from ..targets.missing import Only, OverwritePolicy

if TYPE_CHECKING:
    from ..targets.target import Target


def policy_of(only: Only, new_field: str) -> OverwritePolicy:
    """Which regions (or images) are open where the answers go to a new field."""
    return OverwritePolicy(only, new_field=new_field.removeprefix("frames."))


def path_of(target: Target, new_field: str) -> str:
    """The name of a new field in the root dataset: beside the labels, so also of frames."""
    inside = new_field.removeprefix("frames.")
    return f"frames.{inside}" if target.frames else inside


def check_new_field(operator: str, target: Target, new_field: str, only: Only) -> None:
    """Refuse a field that is there, unless a run of the same kind made it and is to go on.

    Args:
        operator: which is going to write there.
        target: what it works on.
        new_field: as the person named it.
        only: "all" needs a field that is not there.

    Raises:
        PluginError: the field is somebody else's, or a run is writing there now.
    """
    dataset, path = target.dataset, path_of(target, new_field)
    if dataset.get_field(path) is None:
        return
    begun = [
        record
        for record in list_runs(dataset)
        if (record.operator, record.field) == (operator, path)
        and record.state not in UNDONE
        and (target.field is None or _source(record) == target.field)
    ]
    there = f"{dataset.name} has a field {path!r} already"
    if not begun:
        raise PluginError(f"{there}: choose another name.")
    last = begun[-1]
    if last.state == "running":
        raise PluginError(f"{there}, and the run {last.key!r} is writing there: wait, or stop it.")
    if only == "all":
        raise PluginError(
            f"{there}, made by the run {last.key!r}: choose another name, undo that run, or go on "
            'with it (only="missing").'
        )


def _source(record: RunRecord) -> str:
    """The field that a run read its regions from, as the root dataset has it."""
    name = str(record.parameters.get("field")).removeprefix("frames.")
    return f"frames.{name}" if record.field.startswith("frames.") else name
