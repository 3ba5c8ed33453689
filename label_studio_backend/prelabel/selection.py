"""Turn a selection of tasks on the command line into queries of Label Studio's Data Manager."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import Api, RefusedError
from pam_labeling.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


Item = dict[str, Any]
"""One filter of the Data Manager: filter, operator, type, value, and optionally child_filter."""

_OPERATORS = {
    "!=": "not_equal",
    ">=": "greater_or_equal",
    "<=": "less_or_equal",
    "!~": "not_contains",
    "=": "equal",
    ">": "greater",
    "<": "less",
    "~": "contains",
}
_FILTER = re.compile(r"\s*(?P<column>[^=<>!~]+?)\s*(?P<operator>[!<>]=|!~|[=<>~])\s*(?P<value>.*)")
_IDS = 200  # in one URL
_ORDERED = frozenset({"greater", "less", "greater_or_equal", "less_or_equal"})


class SelectionError(InputError):
    """A selection of tasks that is malformed or impossible; the message says why."""


@dataclass(frozen=True)
class Selection:
    """A part of a project's tasks.

    Attributes:
        items: filters of the Data Manager.
        conjunction: "and"; or "or", as in some views.
        included: only these task ids; None for all.
        excluded: not these; the query of `after` still finds them.
    """

    items: tuple[Item, ...] = ()
    conjunction: str = "and"
    included: tuple[int, ...] | None = None
    excluded: tuple[int, ...] = ()

    def narrowed(self, item: Item) -> Selection:
        """The tasks of this selection that also match a filter."""
        if self.conjunction == "and" or not self.items:
            return replace(self, items=(*self.items, item), conjunction="and")
        if any(other.get("child_filter") for other in self.items):
            raise SelectionError(
                "the view joins its filters by 'or', so no further filter can be added: use a view "
                "that joins its filters by 'and'"
            )
        # (a or b) and c, in the only form that the server accepts: (a and c) or (b and c).
        return replace(self, items=tuple({**other, "child_filter": item} for other in self.items))

    def after(self, task_id: int) -> dict[str, object]:
        """The query for the tasks after this id, in the order of their ids.

        It pages by id, not by page number: annotators and this program write meanwhile, which
        changes the tasks that match a filter and would shift the pages.
        """
        narrowed = self.narrowed(number_filter("id", "greater", task_id))
        query: dict[str, object] = {
            "filters": {"conjunction": narrowed.conjunction, "items": list(narrowed.items)},
            "ordering": ["tasks:id"],
        }
        if self.included is not None:
            query["selectedItems"] = {"all": False, "included": list(self.included)}
        return query

    def parts(self) -> list[Selection]:
        """Split it into parts small enough for their ids to fit into a URL."""
        if self.included is None:
            return [self]
        ids = tuple(sorted(self.included))
        return [
            replace(self, included=ids[begin : begin + _IDS]) for begin in range(0, len(ids), _IDS)
        ]


def number_filter(column: str, operator: str, value: float) -> Item:
    """A filter of the Data Manager that compares a number."""
    return _filter(column, operator, "Number", value)


def _filter(column: str, operator: str, kind: str, value: object) -> Item:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": operator,
        "type": kind,
        "value": value,
    }


UNLABELED = number_filter("total_annotations", "equal", 0)
"""Tasks without an annotation (skipped tasks have none)."""


def read_selection(
    api: Api,
    project: int,
    *,
    view: int | None = None,
    tasks: tuple[int, ...] = (),
    filters: Sequence[str] = (),
    only_unlabeled: bool = False,
) -> Selection:
    """The tasks that the options of a command choose.

    Raises:
        SelectionError: options exclude each other, or cannot be used.
        ApiFailure: the server cannot be asked.
    """
    if view is not None and tasks:
        raise SelectionError("--view and --task exclude each other")
    chosen = Selection(included=tasks or None) if view is None else read_view(api, project, view)
    only = [UNLABELED] if only_unlabeled else []
    for item in read_filters(api, project, filters) + only:
        chosen = chosen.narrowed(item)
    chosen.after(0)  # a view that cannot be paged through is better found now
    return chosen


def read_view(api: Api, project: int, view: int) -> Selection:
    """Read the selection of a tab of the Data Manager.

    Raises:
        SelectionError: the project has no such view.
        ApiFailure: the server cannot be asked.
    """
    try:
        answer = api.get(f"api/dm/views/{view}/")
    except RefusedError as error:
        raise SelectionError(f"there is no view {view}: {error}") from error
    if answer.get("project") != project:
        raise SelectionError(f"view {view} belongs to project {answer.get('project')}")
    filters = (answer.get("data") or {}).get("filters") or {}
    items = tuple(item for item in filters.get("items") or () if item.get("value") is not None)
    chosen = answer.get("selected_items") or {}
    return Selection(
        items=items,
        conjunction=filters.get("conjunction") or "and",
        included=tuple(chosen["included"]) if chosen.get("included") else None,
        excluded=tuple(chosen.get("excluded") or ()),
    )


def read_filters(api: Api, project: int, texts: Sequence[str]) -> list[Item]:
    """Read filters as people write them: `data.split=train`, `id>100`, `file_upload~park`.

    Raises:
        SelectionError: a text is not a filter, or names a column that the project does not have.
        ApiFailure: the server cannot be asked.
    """
    parsed = [_parse(text) for text in texts]
    if not parsed:
        return []
    columns = {  # and their types: "Number", "String", ...
        ".".join(filter(None, (column.get("parent"), column["id"]))): str(
            column.get("type", "Unknown")
        )
        for column in api.get("api/dm/columns/", project=project)["columns"]
    }
    return [_item(name, operator, value, columns) for name, operator, value in parsed]


def _parse(text: str) -> tuple[str, str, str]:
    match = _FILTER.fullmatch(text)
    if match is None:
        raise SelectionError(
            f"{text!r} is not a filter: write a column, one of {' '.join(_OPERATORS)} and a value, "
            "as in 'data.split=train' or 'id>100'"
        )
    return match["column"], _OPERATORS[match["operator"]], match["value"].strip()


def _item(column: str, operator: str, value: str, columns: Mapping[str, str]) -> Item:
    if column not in columns:
        raise SelectionError(
            f"the project's tasks have no column {column!r} to filter by; use one of "
            + ", ".join(sorted(columns))
        )
    kind = columns[column]
    try:
        if kind == "Datetime":
            moment = datetime.fromisoformat(value)
            # A time without a zone is read as UTC.
            utc = moment.replace(tzinfo=moment.tzinfo or timezone.utc).astimezone(timezone.utc)
            return _filter(column, operator, kind, utc.strftime("%Y-%m-%dT%H:%M:%S.%fZ"))
        if kind in {"Number", "Time"} or operator in _ORDERED:
            return number_filter(column, operator, float(value))
    except ValueError:
        time = "a time such as 2026-01-31 or 2026-01-31T12:00"
        raise SelectionError(
            f"the value for {column} must be {time if kind == 'Datetime' else 'a number'}, "
            f"not {value!r}"
        ) from None
    if column == "predictions_model_versions":
        return _filter(column, operator, kind, [value])  # any of them
    return _filter(column, operator, "Boolean" if kind == "Boolean" else "String", value)
