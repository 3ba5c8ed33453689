"""Find and declare the fields and attributes that a run reads and writes.

FiftyOne shows an attribute in its sidebar, filters and tooltips only if the dataset's schema
declares it, but it accepts any name and type that the schema does not declare. Therefore names and
types are checked here, before a run writes its first value.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import fiftyone as fo
from fiftyone.core.odm import DatasetSampleDocument

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from fiftyone.core.collections import SampleCollection

Kind = Literal["text", "number", "count", "flag", "texts", "record", "vector"]
Declaration: TypeAlias = "Mapping[str, Any]"
"""The arguments of `add_sample_field` and `add_frame_field`, without the name."""

_TYPES: dict[Kind, type[fo.Field]] = {
    "text": fo.StringField,
    "number": fo.FloatField,
    "count": fo.IntField,
    "flag": fo.BooleanField,
    "texts": fo.ListField,
    "record": fo.DictField,
    "vector": fo.VectorField,
}
_BSON = {  # what MongoDB calls a value of each kind
    "text": ["string"],
    "number": ["double"],
    "count": ["int", "long"],
    "flag": ["bool"],
    "texts": ["array"],
    "record": ["object"],
    "vector": ["binData"],
}
_WORDS: dict[Kind, str] = {
    "text": "text",
    "number": "a number",
    "count": "a whole number",
    "flag": "yes or no",
    "texts": "a list of texts",
    "record": "a dictionary",
    "vector": "a vector",
}
OWN = frozenset({"label", "confidence", "mask", "mask_path", "bounding_box"})
"""Attributes that FiftyOne's labels already have and that a run may write."""

_SAMPLE_FIELDS = frozenset(DatasetSampleDocument._fields) | {
    "frames",
    "group",
    "sample_id",  # this and the next two: fields of patches and frames
    "frame_id",
    "frame_number",
}


@dataclass(frozen=True)
class Attribute:
    """An attribute that a run writes on each label or each sample.

    Attributes:
        name: the attribute, such as `"caption"`, without the path of its label.
        kind: what its values are: text (str), number (float), count (int), flag (bool), texts (list
            of str), record (dict), vector (one-dimensional array).
        description: FiftyOne shows it beside the field.
    """

    name: str
    kind: Kind = "text"
    description: str = ""

    @property
    def declaration(self) -> Declaration:
        """The arguments that declare it in a schema."""
        return {
            "ftype": _TYPES[self.kind],
            "subfield": fo.StringField if self.kind == "texts" else None,
            "description": self.description or None,
        }


@dataclass(frozen=True)
class LabelField:
    """A field of labels in the dataset that stores them.

    Attributes:
        dataset: the source dataset, never one that FiftyOne made for a view.
        name: the field there, without `"frames."`.
        frames: whether it is a field of a video's frames; then documents have frames' ids.
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
        """The path of the labels in the dataset's schema."""
        return self.field_path(self.root)

    @property
    def list_name(self) -> str:
        """The list's name inside the field, such as `"detections"`."""
        return self.root.removeprefix(f"{self.name}.")

    @property
    def documents(self) -> Any:
        """The MongoDB collection whose documents hold the labels."""
        return self.dataset._frame_collection if self.frames else self.dataset._sample_collection

    def field_path(self, name: str) -> str:
        """The path in the schema of another field of the same documents."""
        return f"frames.{name}" if self.frames else name


def label_field(
    collection: SampleCollection, name: str, create: type[fo.Label] | None = None
) -> LabelField:
    """Find the field that stores the labels that a collection shows.

    Args:
        collection: a dataset or any view, also of patches or frames.
        name: the field as the collection calls it, such as `"ground_truth"` or `"frames.boxes"`.
        create: the class of the field, such as `fo.Detections`, if it need not exist yet.

    Raises:
        PluginError: the collection has no such field, or the field holds no labels, or labels of
            another class.
    """
    dataset = collection._root_dataset
    # In a view of frames, the frames are the samples.
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
        _check_name(name, "a new field")
    found: Any = create if field is None else getattr(field, "document_type", None)
    if found is None or not issubclass(found, fo.Label):
        raise PluginError(f"The field {name!r} of {dataset.name} holds no labels, but {field}.")
    if create is not None and not issubclass(found, create):
        raise PluginError(
            f"The field {name!r} of {dataset.name} holds {found.__name__}, not {create.__name__}; "
            "choose another field."
        )
    root = labels_path(name, found)
    return LabelField(dataset, name, frames, found, label_class(found), root, root != name)


def labels_path(field: str, holder_class: Any) -> str:
    """The path of a field's single labels, such as `ground_truth.detections`."""
    name = getattr(holder_class, "_LABEL_LIST_FIELD", None)
    return field if name is None else f"{field}.{name}"


def attributes_of(collection: SampleCollection, field: str) -> dict[str, fo.Field]:
    """The declared attributes of a field's labels, by name."""
    holder_class = collection.get_field(field).document_type
    labels = collection.get_field(labels_path(field, holder_class))
    return dict(getattr(labels, "field", labels).get_field_schema())


def label_class(holder_class: Any) -> Any:
    """The class of one label of a field, such as `fo.Detection` of `fo.Detections`."""
    name = getattr(holder_class, "_LABEL_LIST_FIELD", None)
    return holder_class if name is None else holder_class._fields[name].field.document_type


def undeclared(
    place: LabelField, attributes: Iterable[Attribute], *, on_samples: bool = False
) -> dict[str, Declaration]:
    """The attributes of a field that the schema lacks, by path, as `declare` takes them.

    Args:
        place: where the labels are.
        attributes: the attributes to be written.
        on_samples: whether they go on the samples (or frames), not on their labels.

    Raises:
        PluginError: a name is invalid, FiftyOne's own, read-only, or in use for values of another
            kind.
    """
    missing = {}
    for attribute in attributes:
        _check_name(attribute.name, "a field" if on_samples else "an attribute")
        path = place.field_path(attribute.name if on_samples else f"{place.root}.{attribute.name}")
        _check_writable(place.dataset, path)
        if not on_samples and _is_own(place, attribute):
            continue
        field = place.dataset.get_field(path)
        if field is None:
            missing[path] = attribute.declaration
            if not on_samples:
                _check_values(place, attribute)
        elif not isinstance(field, _TYPES[attribute.kind]):
            advice = "choose another name"
            if on_samples:  # these names are made from the name of the labels' field
                advice = "rename it, or do without the lines (summary=False)"
            raise PluginError(
                f"{path!r} exists and is a {type(field).__name__}, but {_WORDS[attribute.kind]} "
                f"would be written; {advice}."
            )
    return missing


def undeclared_labels(
    place: LabelField, create: type[fo.Label] | None, description: str = ""
) -> dict[str, Declaration]:
    """The declaration of a field of labels if it is missing, as `declare` takes it."""
    path = place.field_path(place.name)
    declaration = {
        "ftype": fo.EmbeddedDocumentField,
        "embedded_doc_type": create,
        "description": description or None,
    }
    missing = create is not None and place.dataset.get_field(path) is None
    return {path: declaration} if missing else {}


def declare(dataset: Any, missing: Mapping[str, Declaration]) -> None:
    """Add fields and attributes, by their paths in the schema, with their descriptions."""
    for path, declaration in missing.items():
        if path.startswith("frames."):
            dataset.add_frame_field(path.removeprefix("frames."), **declaration)
        else:
            dataset.add_sample_field(path, **declaration)


def short_text(text: str, limit: int = 120) -> str:
    """Cut `text` to one line of at most `limit` characters, between words if possible."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[: limit - 1]
    at_word = cut[: cut.rfind(" ")] if " " in cut[limit // 2 :] else cut
    return at_word.rstrip(" ,;:") + "…"


def _check_name(name: str, what: Literal["an attribute", "a field", "a new field"]) -> None:
    # Fields of model zoos have names like "yolo-preds".
    plain = name if what == "an attribute" else name.replace("-", "_")
    # A field that exists has a name that FiftyOne allows, and so has what is named after it.
    legal = plain.isidentifier() if what != "a field" else bool(name) and not set(name) & set(".$")
    if not legal or name.startswith("_"):
        raise PluginError(
            f"{name!r} cannot name {what.replace('new ', '')}: use letters, digits and "
            "underscores, and begin with a letter."
        )
    if iskeyword(name) or name == "self":  # FiftyOne cannot load a document with a field "self"
        raise PluginError(f"{name!r} means something else to Python; choose another name.")
    # A field of this name would hide an attribute that every sample has.
    if what != "an attribute" and (hasattr(fo.Sample, name) or name in _SAMPLE_FIELDS):
        raise PluginError(f"{name!r} means something else to FiftyOne; choose another name.")


def _is_own(place: LabelField, attribute: Attribute) -> bool:
    """Whether the attribute is FiftyOne's own; refuses those that are not in `OWN`."""
    kind, name = place.label_class, attribute.name
    # Masks and boxes have forms of their own; texts and numbers are written as they are.
    if name in OWN:
        if name not in kind._fields:
            raise PluginError(
                f"A {kind.__name__} has no {name!r}, but FiftyOne reserves the name; use another."
            )
        if name in ("label", "confidence") and not isinstance(
            kind._fields[name], _TYPES[attribute.kind]
        ):
            raise PluginError(
                f"The {name!r} of a {kind.__name__} cannot be {_WORDS[attribute.kind]}; choose "
                "another name."
            )
        return True
    # An attribute of this name would hide a method of the label.
    if hasattr(kind, name) or name in kind._fields:
        raise PluginError(
            f"{name!r} means something else to FiftyOne's {kind.__name__}; choose another name."
        )
    return False


def _check_writable(dataset: Any, path: str) -> None:
    """Refuse a path that is read-only, or inside a field that is."""
    for part in accumulate(path.split("."), "{}.{}".format):
        # "frames" itself is not a field that can be looked up.
        field = None if part == "frames" else dataset.get_field(part)
        if field is not None and field.read_only:
            name = f"{part!r} is" if part == path else f"{part!r}, which {path!r} is in, is"
            raise PluginError(
                f"{name} read-only: write to another name, or make it writable "
                "(field.read_only = False; field.save())."
            )


def _check_values(place: LabelField, attribute: Attribute) -> None:
    """Refuse values of another kind that were written without a declaration."""
    path = attribute.name if place.in_list else f"{place.root}.{attribute.name}"
    # Null fits every kind: FiftyOne writes it for a declared attribute without a value.
    fits = [{path: {"$type": kind}} for kind in [*_BSON[attribute.kind], "null"]]
    condition = {path: {"$exists": True}, "$nor": fits}
    # In a list both conditions must hold for the same label, hence $elemMatch.
    query = {place.root: {"$elemMatch": condition}} if place.in_list else condition
    if place.documents.find_one(query, {"_id": True}) is not None:
        raise PluginError(
            f"Some labels of {place.name!r} already have a {attribute.name!r} that the dataset's "
            f"schema does not list and that is not {_WORDS[attribute.kind]}; choose another name."
        )
