"""The overwrite policy: find the answers that a region lacks, so that a run keeps the others.

The dataset decides, never the view: a view may hide an attribute, and a view of patches may be
older than the captions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from ..labels.regions import NOTHING, PROMPT_ID

if TYPE_CHECKING:
    from collections.abc import Iterator

Only = Literal["all", "missing", "empty"]

MASK = frozenset({"mask", "mask_path", "bounding_box"})
"""Attributes that change together: a mask in a file replaces one in the document."""


@dataclass(frozen=True)
class AnswerGroup:
    """One answer.

    Attributes:
        signs: attributes; if any of them is filled, the answer exists.
        names: attributes that the answer is written to.
    """

    signs: tuple[str, ...]
    names: tuple[str, ...]


@dataclass(frozen=True)
class OverwritePolicy:
    """The rule that says which regions and attributes are open, that is, still need an answer.

    Attributes:
        only: "all" regions; those with an answer that is "missing" (null or absent); or those with
            one that is "empty" (missing, or only blanks).
        groups: the answers to check; a region is open if one of them is.
        new_field: a field of new detections, named as in the documents: a label is open if no
            detection there was made from it; a whole image is open if the field is empty.
        object_score: the attribute with the probability of an object: a region where the model
            saw none is not open.
    """

    only: Only = "all"
    groups: tuple[AnswerGroup, ...] = ()
    new_field: str | None = None
    object_score: str | None = None

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

        def value_of(name: str) -> Any:
            value = label[name] if label.has_field(name) else None
            if class_value is not None:
                return value.get(class_value) if isinstance(value, dict) else None
            return value

        def is_open(name: str) -> bool:
            value = value_of(name)
            blank = self.only == "empty" and isinstance(value, str) and not value.strip()
            return value is None or blank

        score = None if self.object_score is None else value_of(self.object_score)
        if isinstance(score, float) and score <= NOTHING:
            return frozenset()
        return frozenset(
            name
            for group in self.groups
            if all(is_open(sign) for sign in group.signs)
            for name in group.names
            # A mask goes with its box: a half-written pair would not fit.
            if name in MASK or is_open(name)
        )

    def stages(self, documents: str, field: str | None, list_name: str | None) -> Iterator[Any]:
        """MongoDB stages that remove filled labels from rows `{_id, labels}`.

        Args:
            documents: the name of the collection with the rows' `_id`.
            field: the label field there; None: whole images.
            list_name: the name of the field's list ("detections"); None for a single label.
        """
        # Keep the labels of the view that are open in the dataset.
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
        """MongoDB stages from stored documents to rows `{_id, labels}` of open labels.

        This is for collections that show everything as it is stored: much faster than `stages`.

        Args:
            field: the label field; None: whole images.
            list_name: the name of the field's list ("detections"); None for a single label.
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
            # prompt_id is a text, as FiftyOne's sidebar needs it; ids are not.
            made = {"$ifNull": [f"${self.new_field}.detections.{PROMPT_ID}", []]}
            return {"$not": [{"$in": [{"$toString": f"{label}._id"}, made]}]}
        unanswered = {
            "$or": [
                {"$and": [self._is_open(f"{label}.{sign}") for sign in group.signs]}
                for group in self.groups
            ]
        }
        if self.object_score is None:
            return unanswered
        # A label without the number, or with numbers by class, may show an object.
        score = f"{label}.{self.object_score}"
        nothing = {"$and": [{"$isNumber": score}, {"$lte": [score, NOTHING]}]}
        return {"$and": [unanswered, {"$not": [nothing]}]}

    def _is_open(self, value: str) -> dict[str, Any]:
        missing = {"$eq": [{"$ifNull": [value, None]}, None]}
        if self.only == "missing":
            return missing
        blank = {"$eq": [{"$trim": {"input": value}}, ""]}
        # $trim fails on everything except text.
        is_text = {"$eq": [{"$type": value}, "string"]}
        return {"$or": [missing, {"$cond": [is_text, blank, False]}]}


def label_ids(
    field: str,
    list_name: str | None,
    condition: dict[str, Any] | None = None,
    value: Any = "$$label._id",
) -> dict[str, Any]:
    """A MongoDB expression for the ids of a document's labels, or of those that meet a condition.

    Args:
        field: the label field.
        list_name: the name of the field's list ("detections"); None for a single label.
        condition: an expression of `$$label`.
        value: another expression of `$$label`, instead of its id.
    """
    if list_name:
        labels: Any = {"$ifNull": [f"${field}.{list_name}", []]}
    else:
        # It becomes a list of one, so that the later stages are the same.
        labels = {"$cond": [{"$ifNull": [f"${field}._id", False]}, [f"${field}"], []]}
    if condition is not None:
        labels = {"$filter": {"input": labels, "as": "label", "cond": condition}}
    return {"$map": {"input": labels, "as": "label", "in": value}}
