"""Fields that can be reviewed, and the attribute that keeps the verdicts."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from ..errors import PluginError
from ..labels import fields
from ..labels.fields import Attribute, label_field

REVIEWED = "reviewed"
DESCRIPTION = "A person's verdict on the text: accepted, edited or rejected"
LISTS = {fo.Detections: "detections", fo.Polylines: "polylines", fo.Keypoints: "keypoints"}
_SINGLE = (fo.Detection, fo.Polyline, fo.Keypoint)
_NOT_TEXTS = frozenset({"label", "mask_path", "instance", "attributes", REVIEWED})


def subjects_of(collection: Any) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
    """The fields that can be reviewed: `{field: (text attributes, number attributes)}`.

    Fields of Detections, Polylines, Keypoints, or one of them (as in a patches view) count, if
    they have a declared attribute with text besides `label`.
    """
    found = {}
    for name, field in collection.get_field_schema(ftype=fo.EmbeddedDocumentField).items():
        if field.document_type not in (*LISTS, *_SINGLE):
            continue
        attributes = attributes_of(collection, name)
        texts = tuple(
            key
            for key, kind in attributes.items()
            if isinstance(kind, fo.StringField) and key not in _NOT_TEXTS
        )
        if texts:
            numbers = (key for key, kind in attributes.items() if isinstance(kind, fo.FloatField))
            found[name] = texts, tuple(numbers)
    return found


def frame_fields_of(collection: Any) -> list[str]:
    """The fields of a video dataset's frames that a view of the frames could review."""
    if collection._is_generated or not collection._contains_videos(any_slice=True):
        return []
    schema = collection.get_frame_field_schema(flat=True)
    fields = (name for name, field in schema.items() if _type(field) in (*LISTS, *_SINGLE))
    return [name for name in fields if _has_text(schema, name, fo.StringField)]


def class_fields_of(collection: Any) -> list[str]:
    """The fields of Segmentations that have texts, one for each class."""
    schema = collection.get_field_schema(flat=True)
    fields = (name for name, field in schema.items() if _type(field) is fo.Segmentation)
    return [name for name in fields if _has_text(schema, name, fo.DictField)]


def _type(field: Any) -> Any:
    return getattr(field, "document_type", None)


def _has_text(schema: dict[str, Any], field: str, kind: type[Any]) -> bool:
    """Whether a flat schema has a text on the labels of a field."""
    root = f"{field}.{LISTS[_type(schema[field])]}" if _type(schema[field]) in LISTS else field
    names = (
        path.removeprefix(f"{root}.")
        for path, found in schema.items()
        if path.startswith(f"{root}.") and type(found) is kind
    )
    return any("." not in name and name not in _NOT_TEXTS for name in names)


def declare(collection: Any, field: str) -> bool:
    """Declare `reviewed` on a field's labels, so that the sidebar can filter by it.

    Returns:
        Whether it was not there before.

    Raises:
        PluginError: the labels have an attribute of that name that is not text.
    """
    place = label_field(collection, field)
    path = f"{place.schema_root}.{REVIEWED}"
    known = place.dataset.get_field(path)
    if known is not None and not isinstance(known, fo.StringField):
        raise PluginError(
            f"{path!r} is a {type(known).__name__}, but the review keeps its verdicts there, as "
            "text: rename it."
        )
    if known is None:
        fields.declare(place.dataset, {path: Attribute(REVIEWED, "text", DESCRIPTION)})
    if collection._is_generated and REVIEWED not in attributes_of(collection, field):
        own = f"{path_of(collection, field)}.{REVIEWED}"
        collection._dataset.add_sample_field(own, fo.StringField, description=DESCRIPTION)
    return known is None


def path_of(collection: Any, field: str) -> str:
    """The path of a field's single labels, such as `ground_truth.detections`."""
    kind = getattr(collection.get_field(field), "document_type", None)
    if kind in LISTS:
        return f"{field}.{LISTS[kind]}"
    if kind in _SINGLE:
        return field
    raise PluginError(
        f"{field!r} is not a field with regions to review; choose one of Detections, Polylines "
        "or Keypoints."
    )


def attributes_of(collection: Any, field: str) -> dict[str, Any]:
    """The declared attributes of a field's labels, by name."""
    labels = collection.get_field(path_of(collection, field))
    single = labels.field if isinstance(labels, fo.ListField) else labels
    return dict(single.get_field_schema())
