"""The fields that can be reviewed, and the attributes that hold the verdicts."""

from __future__ import annotations

from typing import Any

import fiftyone as fo

from ..errors import PluginError
from ..labels import fields
from ..labels.fields import Attribute, attributes_of, label_field, labels_path
from ..labels.marks import mark_of, texts_of
from ..labels.regions import LABEL_TYPES
from ..targets.views import label_fields, label_type


def subjects_of(collection: Any) -> dict[str, list[list[str]]]:
    """The fields that can be reviewed: `{field: [text attributes, number attributes]}`.

    A field must hold Detections, Polylines, Keypoints, or one of them (as in a patches view), and
    have a declared text attribute besides `label`.
    """
    return {
        name: [texts, _numbers(collection, name)]
        for name, texts in _text_fields(collection).items()
    }


def frame_fields_of(collection: Any) -> list[str]:
    """The fields of a video dataset's frames that a view of the frames could review."""
    return [] if collection._is_generated else list(_text_fields(collection, "frames."))


def class_fields_of(collection: Any) -> list[str]:
    """The fields of Segmentations that have texts, one for each class."""
    return list(_text_fields(collection, of_classes=True))


def _text_fields(
    collection: Any, prefix: str = "", *, of_classes: bool = False
) -> dict[str, list[str]]:
    """The attributes that a run or a person may have put texts into, by field."""
    text = fo.DictField if of_classes else fo.StringField
    return {
        name.removeprefix(prefix): texts
        for name, kind in label_fields(collection).items()
        if name.startswith("frames.") == bool(prefix)
        and (kind is fo.Segmentation) == of_classes
        and (texts := texts_of(collection, name, text))
    }


def _numbers(collection: Any, field: str) -> list[str]:
    """The attributes of a field's labels that are numbers."""
    attributes = attributes_of(collection, field)
    return [name for name, found in attributes.items() if isinstance(found, fo.FloatField)]


def declare(collection: Any, field: str, text: str) -> bool:
    """Declare the mark of a text on a field's labels, so that the sidebar can filter by it.

    Returns:
        Whether it is new.

    Raises:
        PluginError: the labels have an attribute of that name that is not text.
    """
    mark = mark_of(text)
    meaning = f"A person's verdict on {text!r}: accepted, edited or rejected"
    declaration = Attribute(mark, "text", meaning).declaration
    place = label_field(collection, field)
    path = f"{place.schema_root}.{mark}"
    known = place.dataset.get_field(path)
    if known is not None and not isinstance(known, fo.StringField):
        raise PluginError(
            f"{path!r} must be text, because the review keeps its verdicts there, not a "
            f"{type(known).__name__}: rename it."
        )
    if known is None:
        fields.declare(place.dataset, {path: declaration})
    if collection._is_generated and mark not in attributes_of(collection, field):
        # The copies have their own schema.
        fields.declare(collection._dataset, {f"{path_of(collection, field)}.{mark}": declaration})
    return known is None


def path_of(collection: Any, field: str) -> str:
    """The path of a field's single labels, such as `ground_truth.detections`."""
    kind = label_type(collection, field)
    if kind not in LABEL_TYPES or kind is fo.Segmentation:
        raise PluginError(
            f"{field!r} is not a field with regions to review; choose a field of Detections, "
            "Polylines or Keypoints."
        )
    return labels_path(field, kind)
