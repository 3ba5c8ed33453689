"""The review queue: the texts on a dataset's regions, one after the other.

The verdict is the attribute `reviewed` of each label: "accepted" (the text stands as the model
wrote it), "edited" (a person changed the text or the label) or "rejected". A rejected text is kept
and only marked, so that nothing is lost; `F("reviewed") != "rejected"` leaves it out.

A queue asks the database for one sample at a time and counts there, whatever the dataset's size.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from bson import ObjectId
from fiftyone import ViewField as F
from pymongo import UpdateOne

from ..errors import PluginError
from ..labels.fields import LabelField, label_field
from ..labels.regions import single_labels
from ..runs.bulk_write import labels_at, write
from ..runs.journal import Change, Journal, entries_of, equal, stamp
from ..runs.records import UNDONE, list_runs, utc_now
from ..runs.summaries import classes_of
from .fields import REVIEWED, attributes_of, declare, path_of

if TYPE_CHECKING:
    from collections.abc import Iterator

Verdict = Literal["accepted", "edited", "rejected"]
Show = Literal["unreviewed", "accepted", "edited", "rejected", "all"]


@dataclass(frozen=True)
class Subject:
    """Which texts are reviewed.

    Attributes:
        field: a label field of the samples, such as `ground_truth`.
        text: the attribute with the text.
        model_label: the attribute with what the model calls the region, or None.
        score: the attribute with a number from 0 to 1, or None.
    """

    field: str
    text: str
    model_label: str | None = None
    score: str | None = None


@dataclass(frozen=True)
class Filters:
    """Which regions are shown; only regions with a text ever are.

    Attributes:
        show: by their verdict.
        below: only scores under this number; None: any, also none.
        disagreeing: only where the label is another than the model's (case does not count).
        sample_id: only this sample, or None for all.
    """

    show: Show = "unreviewed"
    below: float | None = None
    disagreeing: bool = False
    sample_id: str | None = None


@dataclass(frozen=True)
class Place:
    """Where a region is."""

    sample_id: str
    label_id: str


@dataclass(frozen=True, eq=False)
class Item:
    """One region to review.

    Attributes:
        place: where it is.
        document: the sample or frame of the source dataset that keeps it.
        filepath: of its image.
        label: the FiftyOne label.
        text, name, model_label, score, verdict: what its attributes say; None where they do not.
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
    """How far the review is: numbers of regions."""

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
        subject: which texts.
        filters: which regions.

    Raises:
        PluginError: a field or an attribute that is not there, or a filter without its attribute.
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
                    f"they have {', '.join(sorted(known))}."
                )
        if filters.below is not None and subject.score is None:
            raise PluginError("Choose the attribute with the score to see low scores only.")
        if filters.disagreeing and subject.model_label is None:
            raise PluginError("Choose the attribute with the model's label to see disagreements.")
        if filters.sample_id is not None:
            self._view = collection.select(filters.sample_id)

    def tally(self) -> ReviewTally:
        """Count, in the database, the regions that pass every filter but the one of verdicts."""
        view = self._view.filter_labels(self.subject.field, self._condition(by_verdict=False))
        # Without the declaration FiftyOne refuses to count by it.
        if REVIEWED not in attributes_of(self._collection, self.subject.field):
            return ReviewTally(total=view.count(self._path))
        counts = view.count_values(f"{self._path}.{REVIEWED}")
        known = {verdict: counts.get(verdict, 0) for verdict in get_args(Verdict)}
        return ReviewTally(**known, total=sum(counts.values()))

    def after(self, place: Place | None = None) -> Item | None:
        """The next region after a place, whatever the verdict there; without a place the first.

        After the last region comes the first. None if no region is left but the one at `place`.
        """
        following = next(self._items(place), None)
        if following is not None or place is None:
            return following
        first = next(self._items(None), None)
        return None if first is None or first.place == place else first

    def at(self, place: Place) -> Item:
        """The region at a place, whether it passes the filters or not.

        Raises:
            PluginError: it is not there any more.
        """
        view = self._collection.select(place.sample_id)
        view = view.filter_labels(self.subject.field, F("_id") == ObjectId(place.label_id))
        for sample in view:
            for label in single_labels(sample[self.subject.field]):
                return self._item(sample, label)
        raise PluginError(
            "This region is not in the view any more: somebody deleted it, or the view changed. "
            "Go on to the next one."
        )

    def decide(
        self, item: Item, verdict: Verdict, *, text: str | None = None, name: str | None = None
    ) -> bool:
        """Write a verdict, and what a person changed: an accepted change is "edited".

        Args:
            item: the region, as it was shown.
            verdict: "accepted", "rejected" or "edited".
            text: the text as it shall be; None: as it is. Ignored when rejected.
            name: the label as it shall be; None: as it is. Ignored when rejected.

        Returns:
            Whether the attribute `reviewed` is new to the dataset.

        Raises:
            PluginError: an accepted text without a letter.
        """
        self.at(item.place)  # it may be gone since it was shown
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
            # A patch has an id of its own, which its source does not know.
            copied = self._collection._is_generated
            values = {ids["label_id"]: said} if copied else [{**ids, "value": said}]
            self._collection.set_label_values(f"{self._path}.{attribute}", values)
        if changes:
            place = label_field(self._collection, self.subject.field)
            _renew_summary(place, ObjectId(item.document))
        return declared

    def _document(self, sample: Any) -> str:
        """The id, in the source dataset, of what a view of patches or frames copied."""
        if self._collection._is_generated and sample.has_field("frame_id"):
            return str(sample.frame_id)
        is_patch = self._collection._is_generated and not self._collection._is_frames
        return str(sample.sample_id if is_patch else sample.id)

    def _items(self, place: Place | None) -> Iterator[Item]:
        """Some regions from a place on, at least one if there is any; its own sample's first."""
        view = self._view.sort_by("id")
        before: set[str] = set()
        if place is not None:
            view = view.match(F("_id") >= ObjectId(place.sample_id))
            for sample in self._collection.select(place.sample_id):
                ids = [label.id for label in single_labels(sample[self.subject.field])]
                # None of them comes before a label that is gone.
                before = {*ids[: ids.index(place.label_id) + 1]} if place.label_id in ids else set()
        view = view.filter_labels(self.subject.field, self._condition(by_verdict=True))
        # The second sample has one for certain, if the place's own has none after it.
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
        if by_verdict and filters.show == "unreviewed":
            condition &= F(REVIEWED) == None  # noqa: E711 - the same
        elif by_verdict and filters.show != "all":
            condition &= F(REVIEWED) == filters.show
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
    """Make the lines of a sample (or frame) anew, if they are as the last run on it left them.

    The change goes into that run's journal, so that undoing the run removes the lines too.

    Args:
        place: the labels that were edited.
        document: the id of the sample or frame.
    """
    for record in reversed(list_runs(place.dataset)):
        summary = record.summary
        if summary is None or record.state in UNDONE:
            continue
        if (summary.root, summary.frames) != (place.root, place.frames):
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
            continue  # an older run's, or a person's own words
        lines = summary.lines(labels_at(found, place.root), classes_of(place.dataset, summary))
        journal = Journal(record.journal)
        change = Change("", None, summary.name, old, stamp(lines))
        journal.write([journal.entry(document, place.frames, [change])])
        update = {"$set": {summary.name: lines, "last_modified_at": utc_now()}}
        write(place.documents, place.frames, [UpdateOne({"_id": document}, update)], [document])
        return
