"""Tell a person's values from those of runs, so that a run leaves a person's as they are.

A value is a person's if a person accepted or edited it in the review, or if it is not what the last
run on it wrote: somebody changed it since, or no run wrote it. FiftyOne's own `label`, `confidence`
and `bounding_box`, which labels have before any run, are written only by a run that is told to; so
they are a person's only if they were reviewed, or changed since a run wrote them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from ..labels.fields import LabelField, label_field
from ..labels.marks import OLD_MARK, is_mark, keeps, mark_of
from ..targets.missing import MASK, AnswerGroup
from .bulk_write import labels_at
from .journal import MISSING, Change, entries_of, equal, label_stamp
from .records import UNDONE, list_runs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bson import ObjectId

    from ..targets.target import Target
    from .attribute_mapping import AttributeMapping

    Changes = dict[str, list[Change]]  # of a label, by attribute, in the order of writing

_PRESENT_BEFORE = frozenset({"label", "confidence", "bounding_box"})
_PAGE = 500  # documents


class Held(NamedTuple):
    """What is a person's of a region.

    Attributes:
        names: the attributes that may not be written.
        free: those that may.
        answers: how many answers stay.
    """

    names: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()
    answers: int = 0


NOTHING_HELD = Held()


@dataclass(frozen=True)
class PersonsWork:
    """What a run would leave as it is, because it is a person's.

    Attributes:
        answers: texts, classes and masks of regions.
        lists: samples' lists of lines, one for each region.
    """

    answers: int = 0
    lists: int = 0

    def __bool__(self) -> bool:
        return bool(self.answers or self.lists)

    def __str__(self) -> str:
        parts = [
            f"{number:,} {one if number == 1 else many}"
            for number, one, many in (
                (self.answers, "answer", "answers"),
                (self.lists, "list of captions", "lists of captions"),
            )
            if number
        ]
        stay = "stays" if self.answers + self.lists == 1 else "stay"
        return f"{' and '.join(parts)} by a person {stay}: written, accepted or edited, not by PAM."


class Authorship:
    """Knows what runs wrote onto the labels of a field.

    Args:
        place: the field of the labels.
        groups: the answers that would be written.
        summary: the field of the samples that would be written, or None.
    """

    def __init__(
        self, place: LabelField, groups: Sequence[AnswerGroup], summary: str | None = None
    ) -> None:
        self._place = place
        self._groups = groups
        self._summary = summary
        self._names = frozenset(name for group in groups for name in group.names)
        self._journals = [
            run.journal for run in list_runs(place.dataset) if run.state not in UNDONE
        ]

    def held(self, documents: Iterable[ObjectId]) -> dict[ObjectId, dict[str, Held]]:
        """What is a person's in some documents.

        Args:
            documents: ids of samples or frames.

        Returns:
            By document, then by region (of a Segmentation's class `"{id}:{value}"`); the document's
            own list of lines stands under "".
        """
        root, marks = self._place.root, [OLD_MARK, *map(mark_of, self._names)]
        paths = [f"{root}.{name}" for name in ("_id", *self._names, *marks)]
        paths += [] if self._summary is None else [self._summary]
        found = {
            document["_id"]: document
            for document in self._find(documents, paths)
            if self._has_values(document)
        }
        # The usual first run ends here.
        if not found:
            return {}
        changes: dict[Any, Changes] = defaultdict(lambda: defaultdict(list))
        made: dict[ObjectId, str] = {}
        for entry in entries_of(self._journals, list(found)):
            for change in entry.changes:
                changes[entry.document, change.root, change.label][change.name].append(change)
            for added in entry.added:
                made |= added.labels if added.root == root else {}
        if made:
            found |= {document["_id"]: document for document in self._find(found, [])}
        held: dict[ObjectId, dict[str, Held]] = defaultdict(dict)
        for key, document in found.items():
            for label in labels_at(document, root):
                chains = changes[key, root, label["_id"]]
                for region, value in _regions(label, self._names):
                    if here := self._held(label, value, chains, made.get(label["_id"])):
                        held[key][region] = here
            lines = document.get(str(self._summary))
            chain = changes[key, "", None][str(self._summary)]
            if _is_there(lines) and not _by_a_run(chain, lines, None):
                held[key][""] = Held()
        return held

    def _find(self, documents: Iterable[ObjectId], paths: Sequence[str]) -> Any:
        query = {"_id": {"$in": list(documents)}}
        return self._place.documents.find(query, list(paths) or None)

    def _has_values(self, document: Mapping[str, Any]) -> bool:
        labels = labels_at(document, self._place.root)
        return _is_there(document.get(str(self._summary))) or any(
            _is_there(label.get(name)) for label in labels for name in self._names
        )

    def _held(
        self, label: Mapping[str, Any], class_value: str | None, chains: Changes, made: str | None
    ) -> Held | None:
        """What is a person's of a region, or None."""
        persons = {
            name for name in self._names if _is_persons(label, name, class_value, chains, made)
        }
        if not persons:
            return None
        # An answer is one: of a class and its score, or of a mask and its box, neither goes alone.
        closed = [
            group for group in self._groups if persons & {*group.signs, *(MASK & {*group.names})}
        ]
        free = {name for group in self._groups if group not in closed for name in group.names}
        return Held(self._names - (free - persons), frozenset(free - persons), len(closed))


def authorship_of(target: Target, answers: AttributeMapping) -> Authorship:
    """The authorship of the values that a run on a target's own labels would write."""
    place = label_field(target.dataset, str(target.field))
    return Authorship(place, answers.groups, answers.summary)


def persons_work(target: Target, answers: AttributeMapping) -> PersonsWork:
    """Count what a run on a target's own labels would leave, because it is a person's."""
    authorship = authorship_of(target, answers)
    answered, lists = 0, set()
    listed = target.listed()
    while page := list(itertools.islice(listed, _PAGE)):
        held = authorship.held([entry.document_id for entry in page])
        for entry in page:
            regions = held.get(entry.document_id, {})
            chosen = {str(label) for label in entry.label_ids}
            found = sum(
                here.answers for region, here in regions.items() if region.split(":")[0] in chosen
            )
            # Only what would be replaced counts.
            answered += found if target.policy.only == "all" else 0
            # Patches of one sample are several entries.
            lists |= {entry.document_id} if "" in regions else set()
    return PersonsWork(answered, len(lists))


def _regions(label: Mapping[str, Any], names: Iterable[str]) -> list[tuple[str, str | None]]:
    """The regions of a label as `(id, class)`: itself, or a Segmentation's classes with values."""
    found = str(label["_id"])
    values = [value for name in names if isinstance(value := label.get(name), Mapping)]
    classes = dict.fromkeys(key for value in values for key in value)
    return [(f"{found}:{key}", key) for key in classes] or [(found, None)]


def _is_persons(
    label: Mapping[str, Any],
    name: str,
    class_value: str | None,
    chains: Changes,
    made: str | None,
) -> bool:
    value = _of_class(label.get(name, MISSING), class_value)
    if not _is_there(value):
        return False
    if keeps(label, name):
        return True
    by_a_run = _by_a_run(chains.get(name, []), value, class_value)
    if by_a_run is not None:
        return not by_a_run
    if made is not None:
        return not _is_as_made(label, chains, made)
    return name not in _PRESENT_BEFORE


def _is_as_made(label: Mapping[str, Any], chains: Changes, stamp: str) -> bool:
    """Whether nobody changed a label since a run added it, apart from later runs and the review."""
    plain = {name: value for name, value in label.items() if not is_mark(name, label)}
    for name, chain in chains.items():
        value = plain.get(name, MISSING)
        for change in reversed(chain):
            value = change.old if equal(change.new, value) else value
        plain[name] = value
    return label_stamp(plain) == stamp


def _by_a_run(chain: Sequence[Change], value: Any, class_value: str | None) -> bool | None:
    """Whether a run wrote a value, or somebody else after a run; None if no run changed it."""
    for change in reversed(chain):
        if equal(_of_class(change.new, class_value), value):
            return True
        # A run that is killed may leave a change that was only announced.
        if not equal(_of_class(change.old, class_value), value):
            return False
    return None


def _of_class(value: Any, class_value: str | None) -> Any:
    """The value of a Segmentation's class; without a class, the value itself."""
    if class_value is None:
        return value
    return value.get(class_value, MISSING) if isinstance(value, Mapping) else MISSING


def _is_there(value: Any) -> bool:
    """Whether somebody would miss a value."""
    if isinstance(value, str):
        return bool(value.strip())
    return value is not MISSING and value is not None and value not in ([], {})
