"""Overwrite policy: which answers a region lacks, so that a run leaves alone what is there.

The dataset decides, never the view: a view may hide an attribute, and a view of patches may be
older than the captions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..labels.regions import PROMPT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

Only = Literal["all", "missing", "empty"]

_MASK = frozenset({"mask", "mask_path", "bounding_box"})
"""Changed together: a mask in a file takes the place of one in the document."""


@dataclass(frozen=True)
class AnswerGroup:
    """One answer.

    Attributes:
        signs: attributes of which any that is filled says that the answer is there.
        names: attributes that it is written to.
    """

    signs: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class OverwritePolicy:
    """Which regions are open, and which of their attributes.

    Attributes:
        only: "all" regions, whatever they have; those where an answer is "missing" (null or not
            there); or those where one is "empty" (missing, or nothing but blanks).
        groups: the answers that are looked at; one that is open is enough.
        new_field: a field of new detections, as the documents have it: open is a label that no
            detection there was made from, or where whole images are looked at, an image that has
            nothing in the field.
    """

    only: Only = "all"
    groups: tuple[AnswerGroup, ...] = ()
    new_field: str | None = None

    def __bool__(self) -> bool:
        return self.only != "all" and bool(self.groups or self.new_field)

    def names(self, label: Any, class_value: str | None) -> frozenset[str] | None:
        """The attributes of a label that may be written; None: all.

        Args:
            label: as the dataset holds it.
            class_value: the class of a Segmentation, whose attributes are dictionaries; else None.
        """
        if not self or not self.groups:
            return None

        def is_open(name: str) -> bool:
            value = label[name] if label.has_field(name) else None
            if class_value is not None:
                value = value.get(class_value) if isinstance(value, dict) else None
            blank = self.only == "empty" and isinstance(value, str) and not value.strip()
            return value is None or blank

        return frozenset(
            name
            for group in self.groups
            if all(is_open(sign) for sign in group.signs)
            for name in group.names
            # A mask goes with its box: a half-written pair would not fit.
            if name in _MASK or is_open(name)
        )

    def stages(self, documents: str, field: str | None, list_name: str | None) -> Iterator[Any]:
        """MongoDB stages that take what is filled out of rows `{_id, labels}`.

        Args:
            documents: the name of the collection that the rows' `_id` are of.
            field: the label field there; None: whole images.
            list_name: where the field's list is ("detections"), or None of a single label.
        """
        # Of the labels that the view shows those that are open in the dataset.
        found = {"$ifNull": [{"$first": "$stored.labels"}, []]}
        among = {"$in": ["$$id", found]}
        left = {"$filter": {"input": "$labels", "as": "id", "cond": among}}
        yield {
            "$lookup": {
                "from": documents,
                "localField": "_id",
                "foreignField": "_id",
                "pipeline": self.stored_stages(field, list_name),
                "as": "stored",
            }
        }
        yield {"$match": {"stored.0": {"$exists": True}}}
        yield {"$project": {"labels": left}}
        if field is not None:
            yield {"$match": {"labels.0": {"$exists": True}}}

    def stored_stages(self, field: str | None, list_name: str | None) -> list[dict[str, Any]]:
        """MongoDB stages from stored documents to the rows `{_id, labels}` of what is open.

        For collections that show everything as it is stored: much faster than `stages`.

        Args:
            field: the label field; None: whole images.
            list_name: where the field's list is ("detections"), or None of a single label.
        """
        if field is None:
            return [{"$match": {str(self.new_field): None}}, {"$project": {"labels": []}}]
        open_ids = label_ids(field, list_name, self._open("$$label"))
        return [
            {"$project": {"labels": open_ids}},
            {"$match": {"labels.0": {"$exists": True}}},
        ]

    def _open(self, label: str) -> dict[str, Any]:
        if self.new_field is not None:
            # prompt_id is a text, for FiftyOne's sidebar; ids are not.
            made = {"$ifNull": [f"${self.new_field}.detections.{PROMPT_ID}", []]}
            return {"$not": [{"$in": [{"$toString": f"{label}._id"}, made]}]}
        return {
            "$or": [
                {"$and": [self._is_open(f"{label}.{sign}") for sign in group.signs]}
                for group in self.groups
            ]
        }

    def _is_open(self, value: str) -> dict[str, Any]:
        missing = {"$eq": [{"$ifNull": [value, None]}, None]}
        if self.only == "missing":
            return missing
        blank = {"$eq": [{"$trim": {"input": value}}, ""]}
        # $trim fails on anything but a text.
        is_text = {"$eq": [{"$type": value}, "string"]}
        return {"$or": [missing, {"$cond": [is_text, blank, False]}]}


def label_ids(
    field: str, list_name: str | None, condition: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A MongoDB expression for the ids of a document's labels; of those that meet a condition.

    Args:
        field: the label field.
        list_name: where the field's list is ("detections"), or None of a single label.
        condition: an expression of `$$label`.
    """
    labels: Any
    if list_name:
        labels = {"$ifNull": [f"${field}.{list_name}", []]}
    else:
        # As a list of one, so that the stages after it are the same.
        labels = {"$cond": [{"$ifNull": [f"${field}._id", False]}, [f"${field}"], []]}
    if condition is not None:
        labels = {"$filter": {"input": labels, "as": "label", "cond": condition}}
    return {"$map": {"input": labels, "as": "label", "in": "$$label._id"}}
