"""Compare what two runs wrote on the regions that both worked on.

The journal has what the models said, also where another run or a person wrote over it since.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from bson import ObjectId

from ..errors import PluginError
from ..labels.fields import LabelField, label_field
from ..targets.views import in_all_slices
from . import records
from .bulk_write import labels_at
from .journal import entries_of, is_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fiftyone.core.collections import SampleCollection


@dataclass(frozen=True)
class Row:
    """The values that two runs wrote onto one region.

    Attributes:
        sample_id: the sample, or the frame.
        label_id: the region; of a Segmentation's class `"{id}:{value}"`.
        first: by attribute, what the one run wrote; masks are left out.
        second: what the other wrote.
    """

    sample_id: str
    label_id: str
    first: dict[str, Any]
    second: dict[str, Any]

    @property
    def same(self) -> bool:
        """Whether both wrote the same, whatever their attributes are called."""
        return list(self.first.values()) == list(self.second.values())


@dataclass(frozen=True)
class Comparison:
    """Two runs on the same regions.

    Attributes:
        first: the one run.
        second: the other.
        rows: the first regions that both wrote to.
        regions: how many there are of them, in all.
        different: on how many of all these they differ.
        view: the samples of `rows`, of all slices of groups, with no other labels in the field than
            those.
    """

    first: records.RunRecord
    second: records.RunRecord
    rows: tuple[Row, ...]
    regions: int
    different: int
    view: Any

    def to_dict(self) -> dict[str, Any]:
        """All but the view, as JSON has it."""
        return {
            "first": self.first.to_dict(),
            "second": self.second.to_dict(),
            "rows": [{**asdict(row), "same": row.same} for row in self.rows],
            "regions": self.regions,
            "different": self.different,
        }


def compare_runs(
    collection: SampleCollection,
    first: str,
    second: str,
    *,
    limit: int = 1000,
    only_different: bool = False,
) -> Comparison:
    """Put two runs side by side.

    Args:
        collection: the dataset, or a view on it: both runs are compared wholly.
        first: the key of the one run.
        second: the key of the other.
        limit: how many rows at most.
        only_different: rows only where the runs differ.

    Raises:
        PluginError: there is no such run, they are one, or they have no region in common.
    """
    dataset = collection._root_dataset
    one, other = records.read_run(dataset, first), records.read_run(dataset, second)
    if one.key == other.key:
        raise PluginError("Choose two runs to compare, not one twice.")
    rows: list[Row] = []
    regions = different = 0
    for row in _rows(one.journal, other.journal):
        regions += 1
        different += not row.same
        if len(rows) < limit and not (only_different and row.same):
            rows.append(row)
    if not regions:
        raise PluginError(
            f"The runs {first!r} and {second!r} wrote to no region that both have: "
            f"{one.field!r} and {other.field!r} are their fields."
        )
    view = _view(dataset, label_field(dataset, one.field), rows)
    return Comparison(one, other, tuple(rows), regions, different, view)


def names_of(found: Comparison) -> dict[str, str]:
    """A comparison's regions by their ids, as people know them: "star in a.png"."""
    dataset = found.view._root_dataset
    place = label_field(dataset, found.first.field)
    targets = dataset.mask_targets.get(found.first.field) or dataset.default_mask_targets or {}
    classes = {str(value): name for value, name in targets.items()}
    query = {"_id": {"$in": list({ObjectId(row.sample_id) for row in found.rows})}}
    read = ["filepath", "frame_number", f"{place.root}._id", f"{place.root}.label"]
    images: dict[str, str] = {}
    labels: dict[str, str | None] = {}
    for document in place.documents.find(query, read):
        file = PurePath(document.get("filepath") or "").name
        images[str(document["_id"])] = file or f"frame {document.get('frame_number')}"
        labels |= {str(one["_id"]): one.get("label") for one in labels_at(document, place.root)}
    names: dict[str, str] = {}
    for row in found.rows:
        label, _, value = row.label_id.partition(":")
        name = classes.get(value, value) or labels.get(label) or "no label"
        names[row.label_id] = f"{name} in {images.get(row.sample_id, 'a deleted image')}"
    return names


def _view(dataset: Any, place: LabelField, rows: list[Row]) -> Any:
    """The samples of some rows, with no other labels than those."""
    view = in_all_slices(dataset, frames=place.frames)
    # Of frames these are not the ids of samples.
    if not place.frames:
        view = view.select(list(dict.fromkeys(row.sample_id for row in rows)))
    labels = dict.fromkeys(row.label_id.partition(":")[0] for row in rows)
    return view.select_labels(ids=list(labels), fields=place.field_path(place.name))


def _rows(first: str, second: str) -> Iterator[Row]:
    """The regions that both runs wrote to, in constant memory."""
    for document, entries in groupby(entries_of([first, second]), lambda entry: entry.document):
        written: dict[str, dict[str, dict[str, Any]]] = {
            first: defaultdict(dict),
            second: defaultdict(dict),
        }
        for entry in entries:
            for change in entry.changes:
                # Fields of samples are summaries and reasons, not answers.
                if change.label is not None:
                    for region, value in _values(str(change.label), change.new):
                        written[entry.journal][region][change.name] = value
        for region, values in written[first].items():
            if region in written[second]:
                yield Row(str(document), region, values, written[second][region])


def _values(label: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The values written onto a label, or onto each class of a Segmentation, without masks."""
    # A digest stands for a mask; any other dictionary has a text for each class.
    if not isinstance(value, dict | bytes):
        yield label, value
    elif isinstance(value, dict) and not is_digest(value):
        yield from ((f"{label}:{name}", said) for name, said in value.items())
