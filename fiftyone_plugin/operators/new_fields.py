"""Fields that runs make: free names for them, and the runs that can go on in one."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any

from ..errors import PluginError
from ..runs.records import UNDONE, RunRecord, list_runs

if TYPE_CHECKING:
    from collections.abc import Container

    from ..targets.missing import Only
    from ..targets.target import Target

_NUMBER = re.compile(r"([_ ])\d+$")


def next_free(name: str, taken: Container[str], separator: str = "_") -> str:
    """The name itself, or the first free one of `name_2`, `name_3`, ..."""
    if name not in taken:
        return name
    stem = _NUMBER.sub("", name)
    return next(one for n in itertools.count(2) if (one := f"{stem}{separator}{n}") not in taken)


def path_of(target: Target, field: str) -> str:
    """A field's path in the root dataset, in the documents that hold the target's labels."""
    inside = field.removeprefix("frames.")
    return f"frames.{inside}" if target.frames else inside


def made_by(record: RunRecord) -> bool:
    """Whether a run made its field, and did not find it there."""
    return f"{record.field}.detections" in record.paths


def begun_in(dataset: Any, operator: str, field: str) -> list[RunRecord]:
    """The runs of an operator in a field that is still there, oldest first; not those undone.

    Args:
        dataset: their dataset.
        operator: the operator that made the field.
        field: the field's path in the dataset.
    """
    if dataset.get_field(field) is None:
        return []
    return [
        record
        for record in list_runs(dataset)
        if (record.operator, record.field) == (operator, field) and record.state not in UNDONE
    ]


def stopped_field(dataset: Any, operator: str) -> str | None:
    """The field of an operator's last run, if the run did not end by itself and the field is there.

    Runs on the labels of a field that was there before do not count.
    """
    runs = [one for one in list_runs(dataset) if one.operator == operator and made_by(one)]
    if not runs or runs[-1].state != "interrupted":
        return None
    return runs[-1].field if begun_in(dataset, operator, runs[-1].field) else None


def check_new_field(operator: str, target: Target, new_field: str, only: Only) -> None:
    """Refuse a field that exists, unless a run of the same operator made it and is continued.

    Args:
        operator: the operator that will write there.
        target: the images or labels that it works on.
        new_field: the field's name.
        only: "all" requires that the field does not exist.

    Raises:
        PluginError: something else made the field, or a run is writing there now.
    """
    dataset, path = target.dataset, path_of(target, new_field)
    if dataset.get_field(path) is None:
        return
    begun = [
        record
        for record in begun_in(dataset, operator, path)
        if target.field in (None, path_of(target, str(record.parameters.get("field"))))
    ]
    there = f"{dataset.name} already has a field {path!r}"
    if not begun:
        raise PluginError(f"{there}: choose another name.")
    last = begun[-1]
    if last.state == "running":
        raise PluginError(f"{there}, and the run {last.key!r} is writing there: wait, or stop it.")
    if only == "all":
        raise PluginError(
            f"{there}, made by the run {last.key!r}: choose another name, undo that run, or "
            'continue it (only="missing").'
        )
