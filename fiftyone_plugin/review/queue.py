"""The review queue: the texts on a dataset's regions, one after the other.

The verdict is the attribute `reviewed` of each label: "accepted" (the text stands as the model
wrote it), "edited" (a person changed the text or the label) or "rejected". A rejected text is only
marked, so that nothing is lost; `F("reviewed") != "rejected"` leaves it out.

A queue reads one sample at a time, and the database counts, so a dataset may have any size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from bson import ObjectId
from fiftyone import ViewField as F

from ..errors import PluginError
from ..labels.fields import LabelField, attributes_of, label_field
from ..labels.regions import single_labels
from ..runs.bulk_write import Pending, flush, labels_at
from ..runs.journal import Journal, entries_of, equal
from ..runs.records import UNDONE, list_runs
from ..runs.summaries import classes_of
from ..runs.writer import ERROR
from .fields import REVIEWED, declare, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Verdict = Literal["accepted", "edited", "rejected"]
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
        text, name, model_label, score, verdict: the values of its attributes, or None.
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

    @property
    def disagrees(self) -> bool:
        """Whether the model calls it something else."""
        return (
            self.model_label is not None and (self.name or "").lower() != self.model_label.lower()
        )


@dataclass(frozen=True)
class ReviewTally:
    """The progress of the review, in numbers of regions."""

    accepted: int = 0
    edited: int = 0
    rejected: int = 0
    total: int = 0

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
        # Without the declaration FiftyOne refuses to count by it.
        if REVIEWED not in attributes_of(self._collection, self.subject.field):
            return ReviewTally(total=view.count(self._path))
        counts = view.count_values(f"{self._path}.{REVIEWED}")
        known = {verdict: counts.get(verdict, 0) for verdict in get_args(Verdict)}
        return ReviewTally(**known, total=sum(counts.values()))

    def after(self, place: Place | None = None) -> Item | None:
        """The next region after a place, whatever the verdict there; without a place, the first.

        The first region follows the last. None if only the region at `place` is left.
        """
        following = next(self._items(place), None)
        if following is not None or place is None:
            return following
        first = next(self._items(None), None)
        return None if first is None or first.place == place else first

    def at(self, place: Place) -> Item:
        """The region at a place, whether it passes the filters or not.

        Raises:
            PluginError: it no longer exists.
        """
        view = self._collection.select(place.sample_id)
        view = view.filter_labels(self.subject.field, F("_id") == ObjectId(place.label_id))
        for sample in view:
            for label in single_labels(sample[self.subject.field]):
                return self._item(sample, label)
        raise PluginError(
            "This region is no longer in the view: somebody deleted it, or the view changed. "
            "Go on to the next one."
        )

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
            Whether the attribute `reviewed` is new to the dataset.

        Raises:
            PluginError: an accepted text or label is blank.
        """
        self.at(item.place)  # it may have been deleted since it was shown
        changes: dict[str, str] = {}
        if verdict != "rejected":
            written = [
                ("text", self.subject.text, text, item.text),
                ("label", "label", name, item.name),
            ]
            for what, attribute, value, before in written:
                if value is None or value.strip() == (before or "").strip():
                    continue
                if not value.strip():
                    raise PluginError(
                        f"An empty {what} cannot be accepted: write one, or reject the region."
                    )
                changes[attribute] = value.strip()
            if changes:
                verdict = "edited"
        declared = declare(self._collection, self.subject.field)
        ids = asdict(item.place)
        for attribute, said in {**changes, REVIEWED: verdict}.items():
            # A patch has its own id, which its source does not know.
            copied = self._collection._is_generated
            values = {ids["label_id"]: said} if copied else [{**ids, "value": said}]
            self._collection.set_label_values(f"{self._path}.{attribute}", values)
        if changes:
            place = label_field(self._collection, self.subject.field)
            _renew_summary(place, ObjectId(item.document))
        return declared

    def _document(self, sample: Any) -> str:
        """The id of the sample or frame in the source dataset."""
        if self._collection._is_generated and sample.has_field("frame_id"):
            return str(sample.frame_id)
        is_patch = self._collection._is_generated and not self._collection._is_frames
        return str(sample.sample_id if is_patch else sample.id)

    def _items(self, place: Place | None) -> Iterator[Item]:
        """Some regions after a place, at least one if any is left; its own sample's first."""
        view = self._view.sort_by("id")
        before: set[str] = set()
        if place is not None:
            view = view.match(F("_id") >= ObjectId(place.sample_id))
            for sample in self._collection.select(place.sample_id):
                ids = [label.id for label in single_labels(sample[self.subject.field])]
                # If the label is gone, none of them counts as shown.
                before = {*ids[: ids.index(place.label_id) + 1]} if place.label_id in ids else set()
        view = view.filter_labels(self.subject.field, self._condition(by_verdict=True))
        # If the place's own sample has none left, the second certainly has one.
        for sample in view.limit(2):
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
            condition &= F(REVIEWED) == verdict
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
            verdict=_value(label, REVIEWED),
        )


def _value(label: Any, name: str | None) -> Any:
    return label[name] if name is not None and label.has_field(name) else None


def _renew_summary(place: LabelField, document: ObjectId) -> None:
    """Renew the summary lines of a sample (or frame), if they are as its last run left them.

    The change goes into that run's journal, so that undoing the run removes the lines too.

    Args:
        place: the labels that were edited.
        document: the id of the sample or frame.
    """
    for record in reversed(list_runs(place.dataset)):
        summary = record.summary
        if (
            summary is None
            or record.state in UNDONE
            or (summary.root, summary.frames) != (place.root, place.frames)
        ):
            continue
        written = [
            change.new
            for entry in entries_of([record.journal], [document])
            for change in entry.changes
            if (change.root, change.name) == ("", summary.name)
        ]
        found = place.documents.find_one({"_id": document}, [summary.name, *summary.paths]) or {}
        old = found.get(summary.name)
        if not written or old is None or not equal(written[-1], old):
            continue  # written by an older run or by a person
        lines = summary.lines(labels_at(found, place.root), classes_of(place.dataset, summary))
        pending = {document: Pending(fields={summary.name: lines})}
        flush(place, Journal(record.journal), pending, ERROR.name, keep_error=[document])
        return
