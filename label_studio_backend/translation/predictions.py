"""Regions -> Label Studio's results, in the project's own tags; and the check before they leave.

A region is written as results that share an id of 32 characters, its shape first:

* the shape, in the plan's tag, with the label where that tag has labels. A mask goes to a brush as
  it is, to a polygon by its outlines (`mask_shapes`), to a rectangle by its tight box (turned as
  the box that it was pointed at with), to an ellipse by its moments, to a keypoint by the pixel
  deepest inside;
* the label of a shape without labels (Brush + Labels): a result of the `<Labels>` tag. As Label
  Studio and its SDK want it, it repeats the geometry;
* one result for each text that is not empty, and for each choice that is likely enough.

Polygons: a mask in several parts becomes several regions, since a polygon has one outline. Each has
an id of its own and carries the label, the texts and the choices: whoever exports one of them must
find it complete.

The label: with `keep_label` the one that the annotator chose; else, or where this tag does not have
it, the model's. Without either, a region that somebody pointed at is written without a label, and
one that was only found is left out: the project's labels decide what is kept. So is one whose
predicted IoU is under `iou_threshold`, unless somebody pointed at it.

The id of a region on the task stays (so that a caption finds its region) where it has the length of
Label Studio's own and was not used before in the same prediction.

Scores: of a shape, the predicted IoU, times the label's share where the model chose it; of a label,
its share (the IoU where a person chose it); of a choice, its share; of a text, the IoU, as words
have none. A prediction's score is the mean of its shapes', and 0 without any.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from label_studio_backend.translation.mask_shapes import (
    ellipse_of,
    keypoint_of,
    polygons_of_mask,
    rectangle_of,
)
from label_studio_backend.translation.prediction_check import (
    MIN_ID_LENGTH,
    PredictionError,
    check_prediction,
)
from label_studio_backend.translation.rle import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_backend.config.labeling_config import Control
    from label_studio_backend.config.options import Options
    from label_studio_backend.config.output_mapping import AnswerPlan
    from label_studio_backend.translation.prompts import Pointed
    from pam_labeling.regions import Region

__all__ = ["Answer", "PredictionError", "check_prediction", "write_prediction", "write_results"]


@dataclass(frozen=True)
class Answer:
    """A region, and what pointed at it; None where everything was looked for."""

    region: Region
    pointed: Pointed | None


@dataclass(frozen=True)
class _Label:
    text: str
    share: float | None  # None: a person chose it


@dataclass(frozen=True)
class _Writer:
    """Writes the results of one region."""

    region: Region
    region_id: str

    def result(self, control: Control, value: dict[str, Any], score: float) -> dict[str, Any]:
        width, height = self.region.size
        return {
            "id": self.region_id,
            "from_name": control.name,
            "to_name": control.to_name,
            "type": control.type,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
            "score": _rounded(score),
        }


def write_results(
    answers: Sequence[Answer], plan: AnswerPlan, options: Options
) -> list[dict[str, Any]]:
    """The results of all regions; see the module for what is written and what is left out.

    Raises:
        MaskError: a region's mask is too large for run lengths.
    """
    results: list[dict[str, Any]] = []
    used: set[str] = set()
    for answer in answers:
        label = _label(answer, plan, options)
        if not _is_kept(answer, label, plan, options):
            continue
        for value in _shapes(answer, plan, options):
            writer = _Writer(answer.region, _new_id(answer, used))
            results += _region_results(writer, value, label, plan)
    return results


def write_prediction(
    answers: Sequence[Answer], plan: AnswerPlan, options: Options, *, model_version: str
) -> dict[str, Any]:
    """A prediction `{"result", "score", "model_version"}` of all regions.

    Raises:
        MaskError: a region's mask is too large for run lengths.
    """
    results = write_results(answers, plan, options)
    scores = [result["score"] for result in results if result["from_name"] == plan.shape.name]
    score = _rounded(sum(scores) / len(scores)) if scores else 0.0
    return {"result": results, "score": score, "model_version": model_version}


def _label(answer: Answer, plan: AnswerPlan, options: Options) -> _Label | None:
    allowed = plan.label_values
    pointed, region = answer.pointed, answer.region
    if options.keep_label and pointed is not None and pointed.label in allowed:
        return _Label(str(pointed.label), None)
    called = region.label
    if called is None:
        return None
    text = called if called in allowed else plan.project_label(called)
    return _Label(text, region.scores.label) if text in allowed and text is not None else None


def _is_kept(answer: Answer, label: _Label | None, plan: AnswerPlan, options: Options) -> bool:
    if answer.pointed is not None:
        return True
    if answer.region.scores.iou < options.iou_threshold:
        return False
    return label is not None or plan.labels is None


def _shapes(answer: Answer, plan: AnswerPlan, options: Options) -> list[dict[str, Any]]:
    """The values of the region's shape: one, or of a polygon one for each part."""
    mask = answer.region.cropped
    match plan.shape.type.removesuffix("labels"):
        case "brush":
            return [{"format": "rle", "rle": encode(mask.mask)}]
        case "polygon":
            return polygons_of_mask(mask, options.polygon_tolerance)
        case "ellipse":
            return [ellipse_of(mask)]
        case "rectangle":
            # The angle of a prompt without a box is 0.
            return [rectangle_of(mask, answer.pointed.prompt.angle if answer.pointed else 0.0)]
        case _:  # keypoint, the last of answer_plan.SHAPES
            return [keypoint_of(mask)]


def _region_results(
    writer: _Writer, shape: dict[str, Any], label: _Label | None, plan: AnswerPlan
) -> Iterator[dict[str, Any]]:
    region = writer.region
    iou = region.scores.iou
    share = label.share if label is not None and label.share is not None else 1.0
    texts = [label.text] if label is not None else []
    is_labelled = plan.shape.type.endswith("labels")
    value = shape | {plan.shape.type: texts} if is_labelled else shape
    yield writer.result(plan.shape, value, iou * share)
    if not is_labelled and plan.labels is not None and label is not None:
        score = label.share if label.share is not None else iou
        yield writer.result(plan.labels, shape | {"labels": texts}, score)
    for text in plan.texts:
        answer = region.texts.get((text.question.task, text.question.language), "")
        if answer.strip():
            yield writer.result(text.control, {"text": [answer]}, iou)
    for target in plan.choices:
        choice = region.choices.get(target.control.name)
        if choice is not None and choice.label is not None:
            path = list(target.paths[choice.label])
            is_path = target.control.type == "taxonomy"
            chosen = {"taxonomy": [path]} if is_path else {"choices": path}
            yield writer.result(target.control, chosen, choice.score)


def _new_id(answer: Answer, used: set[str]) -> str:
    known = answer.pointed.region_id if answer.pointed is not None else None
    if known is None or len(known) < MIN_ID_LENGTH or known in used:
        known = uuid.uuid4().hex
    used.add(known)
    return known


def _rounded(score: float) -> float:
    if not math.isfinite(score):
        raise PredictionError(f"A score is {score}; the model's scores must be finite numbers.")
    return round(min(max(float(score), 0.0), 1.0), 4)
