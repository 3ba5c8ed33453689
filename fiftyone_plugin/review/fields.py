"""The fields that can be reviewed, and the attribute that holds the verdicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo

from ..errors import PluginError
from ..labels import fields
from ..labels.fields import Attribute, label_field

if TYPE_CHECKING:
    from collections.abc import Iterator

REVIEWED = "reviewed"
_VERDICT = Attribute(
    REVIEWED, "text", "A person's verdict on the text: accepted, edited or rejected"
)
LISTS = {fo.Detections: "detections", fo.Polylines: "polylines", fo.Keypoints: "keypoints"}
_SINGLE = (fo.Detection, fo.Polyline, fo.Keypoint)
_NOT_TEXTS = frozenset({"label", "mask_path", "instance", "attributes", REVIEWED})


def subjects_of(collection: Any) -> dict[str, list[list[str]]]:
    """The fields that can be reviewed: `{field: [text attributes, number attributes]}`.

    A field must hold Detections, Polylines, Keypoints, or one of them (as in a patches view), and
    have a declared text attribute besides `label`.
    """
    schema = collection.get_field_schema(flat=True)
    return {
        name: [texts, [key for key, kind in attributes.items() if isinstance(kind, fo.FloatField)]]
        for name, attributes in _label_fields(schema, *LISTS, *_SINGLE)
        if "." not in name and (texts := _texts(attributes, fo.StringField))
    }


def frame_fields_of(collection: Any) -> list[str]:
    """The fields of a video dataset's frames that a view of the frames could review."""
    if collection._is_generated or not collection._contains_videos(any_slice=True):
        return []
    found = _label_fields(collection.get_frame_field_schema(flat=True), *LISTS, *_SINGLE)
    return [name for name, attributes in found if _texts(attributes, fo.StringField)]


def class_fields_of(collection: Any) -> list[str]:
    """The fields of Segmentations that have texts, one for each class."""
    found = _label_fields(collection.get_field_schema(flat=True), fo.Segmentation)
    return [name for name, attributes in found if _texts(attributes, fo.DictField)]


def _label_fields(schema: dict[str, Any], *kinds: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields of some types in a flat schema, each with the attributes of its labels."""
    for name, field in schema.items():
        kind = getattr(field, "document_type", None)
        if kind in kinds:
            root = f"{name}.{LISTS[kind]}." if kind in LISTS else f"{name}."
            inside = {path.removeprefix(root): path for path in schema if path.startswith(root)}
            # Deeper paths are parts of attributes.
            yield name, {key: schema[path] for key, path in inside.items() if "." not in key}


def _texts(attributes: dict[str, Any], kind: type[fo.Field]) -> list[str]:
    """The names of the attributes that a run or a person may have put texts into."""
    return [
        name
        for name, found in attributes.items()
        if isinstance(found, kind) and name not in _NOT_TEXTS
    ]


def declare(collection: Any, field: str) -> bool:
    """Declare `reviewed` on a field's labels, so that the sidebar can filter by it.

    Returns:
        Whether it is new.

    Raises:
        PluginError: the labels have an attribute of that name that is not text.
    """
    place = label_field(collection, field)
    path = f"{place.schema_root}.{REVIEWED}"
    known = place.dataset.get_field(path)
    if known is not None and not isinstance(known, fo.StringField):
        raise PluginError(
            f"{path!r} must be text, because the review keeps its verdicts there, not a "
            f"{type(known).__name__}: rename it."
        )
    if known is None:
        fields.declare(place.dataset, {path: _VERDICT.declaration})
    if collection._is_generated and REVIEWED not in attributes_of(collection, field):
        # The copies have their own schema.
        copied = f"{path_of(collection, field)}.{REVIEWED}"
        fields.declare(collection._dataset, {copied: _VERDICT.declaration})
    return known is None


def path_of(collection: Any, field: str) -> str:
    """The path of a field's single labels, such as `ground_truth.detections`."""
    kind = getattr(collection.get_field(field), "document_type", None)
    if kind not in (*LISTS, *_SINGLE):
        raise PluginError(
            f"{field!r} is not a field with regions to review; choose a field of Detections, "
            "Polylines or Keypoints."
        )
    return f"{field}.{LISTS[kind]}" if kind in LISTS else field


def attributes_of(collection: Any, field: str) -> dict[str, Any]:
    """The declared attributes of a field's labels, by name."""
    labels = collection.get_field(path_of(collection, field))
    return dict(getattr(labels, "field", labels).get_field_schema())
