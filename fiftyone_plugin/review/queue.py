"""The review queue: the texts on a dataset's regions, one after the other.

The verdict on a text is the attribute beside it that `marks.mark_of` names, such as
`caption_reviewed`: "accepted" (the text stands as the model wrote it), "edited" (a person changed
it) or "rejected". A rejected text is only marked, so that nothing is lost;
`F("caption_reviewed") != "rejected"` leaves it out. Who accepts a text accepts the label too, which
has a mark of its own.

A queue reads a few samples at a time, and the database counts, so a dataset may have any size.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal, get_args

from bson import ObjectId
from fiftyone import ViewField as F

from ..errors import PluginError
from ..labels.fields import attributes_of, label_field
from ..labels.marks import KEEPS, OLD_MARK, Verdict, mark_of, text_of_old_mark, texts_of
from ..labels.regions import single_labels
from ..targets.missing import label_ids
from .fields import declare, path_of
from .summary import renew_summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Show = Literal["unreviewed", "accepted", "edited", "rejected", "all"]


@dataclass(frozen=True)
class Subject:
    """The texts to review.

    Attributes:
        field: a label field of the samples, such as `ground_truth`.
        text: the attribute with the text.
        model_label: the attribute with the model's label of the region, or None.
        score: the attribute with a number from 0 to 1, or None.
    """

    field: str
    text: str
    model_label: str | None = None
    score: str | None = None


@dataclass(frozen=True)
class Filters:
    """The regions to show, among those with a text.

    Attributes:
        show: the verdict to show.
        below: only scores under this number; None: any score or none.
        disagreeing: only regions whose label differs from the model's, ignoring case.
        sample_id: only this sample, or None for all.
    """

    show: Show = "unreviewed"
    below: float | None = None
    disagreeing: bool = False
    sample_id: str | None = None


@dataclass(frozen=True)
class Place:
    """The sample and the label of a region."""

    sample_id: str
    label_id: str


@dataclass(frozen=True, eq=False)
class Item:
    """One region to review.

    Attributes:
        place: where it is.
        document: the id of the sample or frame in the source dataset that holds it.
        filepath: the path of its image.
        label: the FiftyOne label.
        text, name, model_label, score: the values of its attributes, or None.
        verdict, label_verdict: those on the text and on the label, or None.
    """

    place: Place
    document: str
    filepath: str
    label: Any
    text: str | None
    name: str | None
    model_label: str | None
    score: float | None
    verdict: str | None
    label_verdict: str | None = None

    @property
    def disagrees(self) -> bool:
        """Whether the model calls it something else."""
        return (
            self.model_label is not None and (self.name or "").lower() != self.model_label.lower()
        )


class ChangedError(PluginError):
    """Somebody changed a region since it was shown; `item` is the region as it is now."""

    def __init__(self, item: Item) -> None:
        super().__init__("Somebody changed this text or label since it was shown: look again.")
        self.item = item


@dataclass(frozen=True)
class ReviewTally:
    """The progress of the review, in numbers of regions."""

    accepted: int = 0
    edited: int = 0
    rejected: int = 0
    total: int = 0

    def after(self, before: str | None, verdict: str) -> ReviewTally:
        """The tally after one region of it, with the verdict `before` or none, got a verdict."""
        counts = Counter(asdict(self))
        counts.update([verdict])
        if before is not None:
            counts.subtract([before])
        return replace(self, **counts)

    @property
    def reviewed(self) -> int:
        return self.accepted + self.edited + self.rejected

    def __str__(self) -> str:
        return f"{self.reviewed:,} of {self.total:,} reviewed"


class ReviewQueue:
    """The regions of a dataset or view that a person wants to see, in the order of sample ids.

    Args:
        collection: a dataset or view.
        subject: the texts to review.
        filters: the regions to show.

    Raises:
        PluginError: a field or an attribute does not exist, or a filter has no attribute.
    """

    def __init__(self, collection: Any, subject: Subject, filters: Filters | None = None) -> None:
        self.subject = subject
        self.filters = filters = filters or Filters()
        self._collection = self._view = collection
        self._path = path_of(collection, subject.field)
        known = attributes_of(collection, subject.field)
        for attribute in (subject.text, subject.model_label, subject.score):
            if attribute is not None and attribute not in known:
                raise PluginError(
                    f"The labels in {subject.field} have no attribute {attribute!r}; "
                    f"use one of {', '.join(sorted(known))}."
                )
        if filters.below is not None and subject.score is None:
            raise PluginError("To see only low scores, choose the attribute with the score.")
        if filters.disagreeing and subject.model_label is None:
            raise PluginError("To see disagreements, choose the attribute with the model's label.")
        if filters.sample_id is not None:
            self._view = collection.select(filters.sample_id)

    def tally(self) -> ReviewTally:
        """Count, in the database, the regions that pass every filter except that of verdicts."""
        view = self._view.filter_labels(self.subject.field, self._condition(by_verdict=False))
        list_name = self._path.removeprefix(self.subject.field).removeprefix(".") or None
        marks = {"$ifNull": [*(f"$$label.{mark}" for mark in self._marks), ""]}
        rows = view._aggregate(
            post_pipeline=[
                {"$project": {"mark": label_ids(self.subject.field, list_name, value=marks)}},
                {"$unwind": "$mark"},
                {"$group": {"_id": "$mark", "regions": {"$sum": 1}}},
            ]
        )
        counts = {row["_id"]: row["regions"] for row in rows}
        known = {verdict: counts.get(verdict, 0) for verdict in get_args(Verdict)}
        return ReviewTally(**known, total=sum(counts.values()))

    def after(self, place: Place | None = None) -> Item | None:
        """The next region after a place, whatever the verdict there; without a place, the first.

        The first region follows the last. None if only the region at `place` is left.
        """
        following = next(iter(self.ahead(place, 1)), None)
        if following is not None or place is None:
            return following
        first = next(iter(self.ahead(None, 1)), None)
        return None if first is None or first.place == place else first

    def ahead(self, place: Place | None, number: int) -> list[Item]:
        """Some regions after a place, fewer than `number` only if no more follow."""
        return list(islice(self._items(place, number), number))

    def at(self, place: Place) -> Item:
        """The region at a place, whether it passes the filters or not.

        Raises:
            PluginError: it no longer exists, or it is not the only one with its id.
        """
        view = self._collection.select(place.sample_id)
        view = view.filter_labels(self.subject.field, F("_id") == ObjectId(place.label_id))
        found = [
            self._item(sample, label)
            for sample in view
            for label in single_labels(sample[self.subject.field])
        ]
        if not found:
            raise PluginError(
                "This region is no longer in the view: somebody deleted it, or the view changed. "
                "Go on to the next one."
            )
        if len(found) > 1:
            raise PluginError(
                f"{len(found)} labels of this sample have the id {place.label_id}, so none of them "
                "can be reviewed alone: give each of them an id of its own."
            )
        return found[0]

    def decide(
        self, item: Item, verdict: Verdict, *, text: str | None = None, name: str | None = None
    ) -> bool:
        """Write a verdict and a person's changes: accepted changes become "edited".

        Args:
            item: the region, as it was shown.
            verdict: "accepted", "rejected" or "edited".
            text: the new text; None: no change. Ignored when rejected.
            name: the new label; None: no change. Ignored when rejected.

        Returns:
            Whether an attribute is new to the dataset.

        Raises:
            PluginError: an accepted text or label is blank.
            ChangedError: somebody changed the text or the label since it was shown.
        """
        now = self.at(item.place)  # it may have been deleted or changed since it was shown
        if (now.text, now.name) != (item.text, item.name):
            raise ChangedError(now)
        changes: dict[str, str] = {}
        marks = {self.subject.text: verdict}
        if verdict != "rejected":
            written = [
                ("text", self.subject.text, text, item.text),
                ("label", "label", name, item.name),
            ]
            for what, attribute, value, before in written:
                if value is None or not is_changed(before, value):
                    continue
                if not value.strip():
                    raise PluginError(
                        f"An empty {what} cannot be accepted: write one, or reject the region."
                    )
                changes[attribute] = value.strip()
                marks[attribute] = "edited"
            if (changes.get("label") or item.name) and item.label_verdict not in KEEPS:
                marks.setdefault("label", "accepted")
        declared = [declare(self._collection, self.subject.field, text) for text in marks]
        for attribute, said in {
            **changes,
            **{mark_of(text): mark for text, mark in marks.items()},
        }.items():
            self._set(attribute, [item.place], said)
        if changes:
            place = label_field(self._collection, self.subject.field)
            renew_summary(place, ObjectId(item.document))
        return any(declared)

    def shown(self) -> list[Place]:
        """The regions that the filters show and that nobody has accepted or edited."""
        condition = self._condition(by_verdict=True)
        if self.filters.show != "unreviewed":
            condition &= ~self._verdict.is_in(list(KEEPS))
        view = self._view.filter_labels(self.subject.field, condition)
        ids = view.values(["id", f"{self._path}.id"])
        return [
            Place(sample, label)
            for sample, labels in zip(*ids, strict=True)
            for label in (labels if isinstance(labels, list) else [labels])
        ]

    def accept_all(self, places: Sequence[Place]) -> bool:
        """Accept the texts of regions as they are; the labels' own marks stay.

        Returns:
            Whether an attribute is new to the dataset.
        """
        declared = declare(self._collection, self.subject.field, self.subject.text)
        self._set(mark_of(self.subject.text), places, "accepted")
        return declared

    def _set(self, attribute: str, places: Sequence[Place], value: str) -> None:
        values: Any = [{**asdict(place), "value": value} for place in places]
        if self._collection._is_generated:  # a patch has its own id, which its source does not know
            values = {place.label_id: value for place in places}
        self._collection.set_label_values(f"{self._path}.{attribute}", values)

    @property
    def _marks(self) -> list[str]:
        """The attributes with the verdict on the text: the first that has one counts."""
        texts = texts_of(self._collection, self.subject.field)
        old = [OLD_MARK] if text_of_old_mark(texts) == self.subject.text else []
        return [mark_of(self.subject.text), *old]

    @property
    def _verdict(self) -> Any:
        mark, *old = map(F, self._marks)
        return mark.exists().if_else(mark, old[0]) if old else mark

    def _document(self, sample: Any) -> str:
        """The id of the sample or frame in the source dataset."""
        if self._collection._is_generated and sample.has_field("frame_id"):
            return str(sample.frame_id)
        is_patch = self._collection._is_generated and not self._collection._is_frames
        return str(sample.sample_id if is_patch else sample.id)

    def _items(self, place: Place | None, number: int) -> Iterator[Item]:
        """Regions after a place, `number` of them if so many are left; its own sample's first."""
        view = self._view.sort_by("id")
        before: set[str] = set()
        if place is not None:
            view = view.match(F("_id") >= ObjectId(place.sample_id))
            for sample in self._collection.select(place.sample_id):
                ids = [label.id for label in single_labels(sample[self.subject.field])]
                # If the label is gone, none of them counts as shown.
                before = {*ids[: ids.index(place.label_id) + 1]} if place.label_id in ids else set()
        view = view.filter_labels(self.subject.field, self._condition(by_verdict=True))
        # The place's own sample may have none left; each of the others certainly has one.
        for sample in view.limit(number + 1):
            for label in single_labels(sample[self.subject.field]):
                if label.id not in before:
                    yield self._item(sample, label)

    def _condition(self, *, by_verdict: bool) -> Any:
        subject, filters = self.subject, self.filters
        condition = (F(subject.text) != None) & (F(subject.text) != "")  # noqa: E711 - an expression for the database
        if filters.below is not None:
            score = F(subject.score)
            condition &= (score != None) & (score < filters.below)  # noqa: E711 - the same
        if filters.disagreeing:
            model, name = F(subject.model_label), F("label")
            condition &= (model != None) & (model.lower() != name.lower())  # noqa: E711 - the same
        if by_verdict and filters.show != "all":
            verdict = None if filters.show == "unreviewed" else filters.show
            condition &= self._verdict == verdict
        return condition

    def _item(self, sample: Any, label: Any) -> Item:
        subject = self.subject
        return Item(
            place=Place(sample.id, label.id),
            document=self._document(sample),
            filepath=sample.filepath,
            label=label,
            text=_value(label, subject.text),
            name=_value(label, "label"),
            model_label=_value(label, subject.model_label),
            score=_value(label, subject.score),
            verdict=next(filter(None, (_value(label, mark) for mark in self._marks)), None),
            label_verdict=_value(label, mark_of("label")),
        )


def _value(label: Any, name: str | None) -> Any:
    return label[name] if name is not None and label.has_field(name) else None


def is_changed(before: str | None, value: str | None) -> bool:
    """Whether a person typed another text; None is no change."""
    return value is not None and value.strip() != (before or "").strip()
