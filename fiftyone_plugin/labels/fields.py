"""Fields of labels: where they are kept, and what may be written there.

FiftyOne shows an attribute in its sidebar, filters and tooltips only once the dataset's schema
knows it, and takes any name and any type for one that it does not know. So names and types are
checked here, in sentences, before a run writes its first value.
"""

from __future__ import annotations

from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal

import fiftyone as fo
from fiftyone.core.labels import _HasLabelList
from fiftyone.core.odm import DatasetSampleDocument

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fiftyone.core.collections import SampleCollection

Kind = Literal["text", "number", "count", "flag", "texts", "record"]

_TYPES: dict[Kind, type[fo.Field]] = {
    "text": fo.StringField,
    "number": fo.FloatField,
    "count": fo.IntField,
    "flag": fo.BooleanField,
    "texts": fo.ListField,
    "record": fo.DictField,
}
_BSON = {  # what MongoDB calls a value of each kind
    "text": ["string"],
    "number": ["double"],
    "count": ["int", "long"],
    "flag": ["bool"],
    "texts": ["array"],
    "record": ["object"],
}
_WORDS: dict[Kind, str] = {
    "text": "text",
    "number": "a number",
    "count": "a whole number",
    "flag": "yes or no",
    "texts": "a list of texts",
    "record": "a dictionary",
}
OWN = frozenset({"label", "confidence", "mask", "mask_path", "bounding_box"})
"""What labels have by themselves and a run may write; it needs no declaration."""
_OWN_VALUES = ("label", "confidence")  # written as they are; masks and boxes have their own forms

_SAMPLE_FIELDS = frozenset(DatasetSampleDocument._fields) | {
    "frames",
    "group",
    "sample_id",  # this and the next two: fields of patches and frames
    "frame_id",
    "frame_number",
}


@dataclass(frozen=True)
class Attribute:
    """What a run writes, onto each label or each sample.

    Attributes:
        name: the attribute, such as `"caption"`, without the path of its label.
        kind: what its values are: text (str), number (float), count (int), flag (bool), texts (list
            of str), record (dict).
        description: shown by FiftyOne beside the field.
    """

    name: str
    kind: Kind = "text"
    description: str = ""


@dataclass(frozen=True)
class Labels:
    """A field of labels that a run makes.

    Attributes:
        name: the field.
        label_class: its class, such as `fo.Detections`.
        description: shown by FiftyOne beside the field.
    """

    name: str
    label_class: type[fo.Label]
    description: str = ""


@dataclass(frozen=True)
class LabelField:
    """A field of labels in the dataset that keeps them, wherever the view on it came from.

    Attributes:
        dataset: the source dataset, never one that FiftyOne made for a view.
        name: the field there, `"frames."` taken off.
        frames: whether it is a field of a video's frames: ids of documents are then frames' ids.
        holder_class: the class of the field, such as `fo.Detections`.
        label_class: the class of one label, such as `fo.Detection`.
        root: the path of the labels inside the document, such as `"ground_truth.detections"`.
        in_list: whether `root` is a list.
    """

    dataset: Any
    name: str
    frames: bool
    holder_class: type[fo.Label]
    label_class: type[fo.Label]
    root: str
    in_list: bool

    @property
    def schema_root(self) -> str:
        """The path of the labels as the dataset's schema has it."""
        return self.field_path(self.root)

    @property
    def list_name(self) -> str:
        """The list's name inside the field, such as `"detections"`."""
        return self.root.removeprefix(f"{self.name}.")

    @property
    def documents(self) -> Any:
        """The collection of MongoDB whose documents hold the labels."""
        return self.dataset._frame_collection if self.frames else self.dataset._sample_collection

    def field_path(self, name: str) -> str:
        """The path in the schema of another field of the same documents."""
        return f"frames.{name}" if self.frames else name


def label_field(
    collection: SampleCollection, name: str, create: type[fo.Label] | None = None
) -> LabelField:
    """Find where the labels of a field are kept.

    Args:
        collection: a dataset or any view, also of patches or frames.
        name: the field as the collection calls it, such as `"ground_truth"` or `"frames.boxes"`.
        create: the class of the field, such as `fo.Detections`, where it may be missing still.

    Raises:
        PluginError: the collection has no such field, or it holds no labels, or others.
    """
    dataset = collection._root_dataset
    frames = name.startswith("frames.") or bool(
        collection._is_frames or getattr(collection._dataset, "_is_frames", False)
    )
    name = name.removeprefix("frames.")
    field = dataset.get_field(f"frames.{name}" if frames else name)
    if field is None:
        if create is None:
            known = ", ".join(map(repr, dataset.get_field_schema(embedded_doc_type=fo.Label)))
            raise PluginError(
                f"{dataset.name} has no field {name!r}; it has {known or 'no field of labels'}."
            )
        _check_name(name, "a field")
        _check_sample_name(name)
        return _label_field(dataset, name, frames, create)
    found = getattr(field, "document_type", None)
    if found is None or not issubclass(found, fo.Label):
        raise PluginError(f"The field {name!r} of {dataset.name} holds no labels, but {field}.")
    if create is not None and not issubclass(found, create):
        raise PluginError(
            f"The field {name!r} of {dataset.name} holds {found.__name__}, not {create.__name__}; "
            "choose another field."
        )
    return _label_field(dataset, name, frames, found)


def _label_field(dataset: Any, name: str, frames: bool, found: Any) -> LabelField:
    if not issubclass(found, _HasLabelList):
        return LabelField(dataset, name, frames, found, found, name, in_list=False)
    list_name = found._LABEL_LIST_FIELD
    element = found._fields[list_name].field.document_type
    return LabelField(dataset, name, frames, found, element, f"{name}.{list_name}", in_list=True)


def undeclared(place: LabelField, attributes: Iterable[Attribute]) -> dict[str, Attribute]:
    """What `declare` would declare on the labels of a field, by its path in the schema.

    Raises:
        PluginError: a name is none, is FiftyOne's own, is read-only, or is in use for values of
            another kind.
    """
    missing = {}
    for attribute in attributes:
        _check_name(attribute.name)
        path = f"{place.schema_root}.{attribute.name}"
        _check_writable(place.dataset, path)
        if _is_own(place, attribute):
            continue
        if not _check_kind(place.dataset, path, attribute):
            _check_values(place, attribute)
            missing[path] = attribute
    return missing


def undeclared_on_samples(
    place: LabelField, attributes: Iterable[Attribute]
) -> dict[str, Attribute]:
    """What `declare` would declare on the samples (or frames) themselves, by path in the schema.

    Raises:
        PluginError: as of `undeclared`.
    """
    missing = {}
    for attribute in attributes:
        _check_name(attribute.name, "a field")
        _check_sample_name(attribute.name)
        path = place.field_path(attribute.name)
        _check_writable(place.dataset, path)
        if not _check_kind(place.dataset, path, attribute):
            missing[path] = attribute
    return missing


def undeclared_labels(
    place: LabelField, create: type[fo.Label], description: str = ""
) -> dict[str, Labels]:
    """What `declare` would declare for a field of labels that may be missing."""
    path = place.field_path(place.name)
    return {} if place.dataset.get_field(path) else {path: Labels(path, create, description)}


def declare(dataset: Any, missing: Mapping[str, Attribute | Labels]) -> None:
    """Add fields and attributes, by their paths in the schema, with their descriptions."""
    for path, declared in missing.items():
        kwargs: dict[str, Any] = {"description": declared.description or None}
        if isinstance(declared, Labels):
            kwargs["embedded_doc_type"] = declared.label_class
            kind: type[fo.Field] = fo.EmbeddedDocumentField
        else:
            kind = _TYPES[declared.kind]
            if declared.kind == "texts":
                kwargs["subfield"] = fo.StringField
        if path.startswith("frames."):
            dataset.add_frame_field(path.removeprefix("frames."), kind, **kwargs)
        else:
            dataset.add_sample_field(path, kind, **kwargs)


def short_text(text: str, limit: int = 40) -> str:
    """`text` on one line of at most `limit` characters, cut between words where there are any."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    at_word = cut[: cut.rfind(" ")] if " " in cut[limit // 2 :] else cut
    return at_word.rstrip(" ,;:") + "…"


def _check_name(name: str, what: str = "an attribute") -> None:
    if not name.isidentifier() or name.startswith("_"):
        raise PluginError(
            f"{name!r} cannot name {what}: use letters, digits and underscores, and no digit or "
            "underscore in front."
        )
    if iskeyword(name) or name == "self":  # of "self" FiftyOne could not even be read again
        raise PluginError(f"{name!r} means something else to Python; choose another name.")


def _check_sample_name(name: str) -> None:
    if hasattr(fo.Sample, name) or name in _SAMPLE_FIELDS:
        raise PluginError(f"{name!r} means something else to FiftyOne; choose another name.")


def _is_own(place: LabelField, attribute: Attribute) -> bool:
    """Whether the label has the attribute by itself; only those of `OWN` may be written."""
    kind, name = place.label_class, attribute.name
    if name in OWN:
        if name not in kind._fields:
            raise PluginError(f"A {kind.__name__} has no {name!r}, which FiftyOne keeps for it.")
        if name in _OWN_VALUES and not isinstance(kind._fields[name], _TYPES[attribute.kind]):
            raise PluginError(
                f"The {name!r} of a {kind.__name__} is not {_WORDS[attribute.kind]}, as would be "
                "written; choose another name."
            )
        return True
    if hasattr(kind, name) or name in kind._fields:
        raise PluginError(
            f"{name!r} means something else to FiftyOne's {kind.__name__}; choose another name."
        )
    return False


def _check_writable(dataset: Any, path: str) -> None:
    """Refuse a path that is read-only, or inside a field that is."""
    start = len("frames.") if path.startswith("frames.") else 0
    ends = [end for end, sign in enumerate(path) if sign == "." and end > start]
    for part in (*(path[:end] for end in ends), path):
        field = dataset.get_field(part)
        if field is not None and field.read_only:
            name = f"{part!r} is" if part == path else f"{part!r}, which {path!r} is in, is"
            raise PluginError(
                f"{name} read-only: write to another name, or make it writable "
                "(field.read_only = False; field.save())."
            )


def _check_kind(dataset: Any, path: str, attribute: Attribute) -> bool:
    """Whether the schema has the path already, with values of this kind."""
    field = dataset.get_field(path)
    if field is None:
        return False
    if not isinstance(field, _TYPES[attribute.kind]):
        raise PluginError(
            f"{path!r} exists and is a {type(field).__name__}, but {_WORDS[attribute.kind]} "
            "would be written; choose another name."
        )
    return True


def _check_values(place: LabelField, attribute: Attribute) -> None:
    """Refuse values of another kind that were written without a declaration."""
    fits = [{"$type": kind} for kind in [*_BSON[attribute.kind], "null"]]
    condition = {attribute.name: {"$exists": True}, "$nor": [{attribute.name: fit} for fit in fits]}
    # In a list both conditions have to hold of one label, hence $elemMatch.
    query = (
        {place.root: {"$elemMatch": condition}}
        if place.in_list
        else {
            f"{place.root}.{attribute.name}": {"$exists": True},
            "$nor": [{f"{place.root}.{attribute.name}": fit} for fit in fits],
        }
    )
    if place.documents.find_one(query, {"_id": True}) is not None:
        raise PluginError(
            f"Some labels of {place.name!r} have a {attribute.name!r} already that the dataset's "
            f"schema does not list and that is not {_WORDS[attribute.kind]}; choose another name."
        )
