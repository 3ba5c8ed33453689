"""Check predictions against the rules that a correct one follows.

Label Studio saves nearly everything it is sent, so its own checks are not enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from label_studio_backend.config.tag_attributes import SHAPES, is_nested
from label_studio_backend.translation.bitmask import read_bitmask
from label_studio_backend.translation.predictions import ID_LENGTH, PredictionError
from pam_labeling.errors import MaskError
from pam_labeling.formats.brush_rle import decode

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from label_studio_backend.config.controls import Control
    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.translation.geometry import Size

_PERCENTS = {
    "rectangle": ("x", "y", "width", "height"),
    "ellipse": ("x", "y", "radiusX", "radiusY"),
    "keypoint": ("x", "y", "width"),
}
_SIDES = ("width", "height", "radiusX", "radiusY")
_MOST_ERRORS = 5


def check_prediction(prediction: Mapping[str, Any], config: LabelingConfig, size: Size) -> None:
    """Refuse whatever label_studio_sdk refuses, and what it lets pass.

    That is: run lengths that are not a mask of the image or empty, geometry that is not finite or
    outside 0 to 100, another original size, ids that are short or shared by two regions, parts of a
    region without its shape, background and unknown labels, choices and paths, empty texts, and
    scores that are no numbers from 0 to 1.

    Args:
        prediction: `{"result", "score", "model_version"}`.
        config: the project's config, completed for the task.
        size: `(width, height)` of the upright image in pixels.

    Raises:
        PredictionError: something is wrong.
    """
    try:
        _check(prediction, config, size)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"The prediction has not the form of one: {type(error).__name__} {error}."
        raise PredictionError(message) from error
    errors = config.errors_of(prediction)
    if errors:
        found = "; ".join(error[:300] for error in errors[:_MOST_ERRORS])
        raise PredictionError(f"label_studio_sdk refuses the prediction: {found}")


def _check(prediction: Mapping[str, Any], config: LabelingConfig, size: Size) -> None:
    version = prediction["model_version"]
    _require(isinstance(version, str) and bool(version), "The prediction has no model_version.")
    _check_score("The prediction", prediction["score"])
    regions: dict[str, list[str]] = {}
    for result in prediction["result"]:
        control = config.control(result["from_name"], result["to_name"])
        if control is None:
            raise PredictionError(f'The config has no tag "{result["from_name"]}" on an image.')
        _check_frame(result, control, size)
        _check_score(str(control), result["score"])
        _check_value(result["value"], control, size)
        regions.setdefault(result["id"], []).append(control.name)
    for region_id, names in regions.items():
        _check_region(region_id, names, config)


def _check_frame(result: Mapping[str, Any], control: Control, size: Size) -> None:
    name = str(control)
    region_id = result["id"]
    _require(
        isinstance(region_id, str) and len(region_id) >= ID_LENGTH,
        f"{name}: the id {region_id!r} is not a text of {ID_LENGTH} characters or more.",
    )
    _require(result["to_name"] == control.to_name, f"{name} is not on {result['to_name']!r}.")
    _require(result["type"] == control.type, f"{name} has no results of type {result['type']!r}.")
    original = result["original_width"], result["original_height"]
    _require(original == size, f"{name}: the original size is {original}, the image's {size}.")
    _require(result["image_rotation"] == 0, f"{name}: the image is not turned.")


def _check_region(region_id: str, names: Sequence[str], config: LabelingConfig) -> None:
    _require(
        len(set(names)) == len(names), f"The id {region_id!r} is shared by more than one region."
    )
    types = [control.type for control in map(config.control, names) if control is not None]
    shapes = sum(kind.removesuffix("labels") in SHAPES for kind in types)
    _require(shapes == 1, f"The region {region_id!r} has {shapes} shapes; it must have one.")


def _check_value(value: Mapping[str, Any], control: Control, size: Size) -> None:
    name = str(control)
    kind = control.type.removesuffix("labels")
    if control.type.endswith("labels") and control.task_key is None:
        allowed = {label.value for label in control.labels if not label.background}
        _require_known(name, value[control.type], allowed)
    if control.type == "choices":
        known = {label.value for label in control.labels}
        _require_known(name, value["choices"], known, at_least=1)
        _require(not is_nested(control), f"{name} is nested, which label_studio_sdk cannot check.")
    elif control.type == "taxonomy":
        paths = [tuple(path) for path in value["taxonomy"]]
        _require_known(name, paths, set(control.nodes), at_least=1)
    elif control.type == "textarea":
        texts = value["text"]
        filled = all(isinstance(text, str) and text.strip() for text in texts)
        _require(isinstance(texts, list) and bool(texts) and filled, f"{name}: no text.")
    elif control.type == "labels":
        _require(len(value["labels"]) > 0, f"{name}: no label.")
    elif kind == "brush":
        _check_mask(name, value["rle"], size)
    elif kind == "bitmask":
        _require(bool(read_bitmask(value["imageDataURL"], size).any()), f"{name}: empty.")
    elif kind == "polygon":
        _check_polygon(name, value["points"])
    elif kind in _PERCENTS:
        _check_percents(name, value, _PERCENTS[kind])
    else:
        raise PredictionError(f"{name} is not a tag that is answered in.")


def _check_mask(name: str, rle: object, size: Size) -> None:
    try:
        mask = decode(rle, size=size)
    except MaskError as error:
        raise PredictionError(f"{name}: {error}") from error
    _require(bool(mask.any()), f"{name}: the mask is empty.")


def _check_polygon(name: str, points: Sequence[Sequence[float]]) -> None:
    _require(len(points) >= 3, f"{name}: a polygon has 3 points or more, not {len(points)}.")
    for x, y in points:
        _require(
            0 <= x <= 100 and 0 <= y <= 100, f"{name}: the point ({x}, {y}) is outside 0 to 100."
        )


def _check_percents(name: str, value: Mapping[str, Any], keys: Sequence[str]) -> None:
    for key in keys:
        _require(0 <= value[key] <= 100, f"{name}: {key} is {value[key]}, outside 0 to 100.")
        _require(key not in _SIDES or value[key] > 0, f"{name}: {key} is 0.")
    rotation = value.get("rotation", 0)
    _require(0 <= rotation <= 360, f"{name}: rotation is {rotation}, outside 0 to 360.")
    if "height" in keys and rotation == 0:
        ends = value["x"] + value["width"], value["y"] + value["height"]
        _require(max(ends) <= 100 + 1e-6, f"{name}: the rectangle ends outside the image.")


def _check_score(name: str, score: Any) -> None:
    is_number = isinstance(score, int | float) and not isinstance(score, bool)
    _require(
        is_number and 0 <= score <= 1, f"{name}: the score is {score!r}, no number from 0 to 1."
    )


def _require_known(name: str, given: Sequence[Any], known: set[Any], *, at_least: int = 0) -> None:
    unknown = [one for one in given if one not in known]
    _require(not unknown, f"{name} has no {unknown[:3]!r}.")
    _require(len(given) >= at_least, f"{name}: nothing is chosen.")


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise PredictionError(message)
