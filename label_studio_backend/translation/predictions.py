"""Write regions as Label Studio's results, in the project's own tags.

A region is written as results that share an id of 32 characters, its shape first:

* the shape, in the tag that `output_mapping` chose, with the label where that tag has labels. A
  brush gets the mask as it is, a polygon its outlines (`mask_shapes`), a rectangle its tight box
  (turned as the box of the prompt), an ellipse its moments, a keypoint the pixel deepest inside;
* the label of a shape without labels (Brush + Labels): a result of the `<Labels>` tag. It repeats
  the geometry, as Label Studio and its SDK require;
* one result for each text that is not empty, and for each choice that fits well enough.

Polygons: a mask in several parts becomes several regions, since a polygon has one outline. Each has
its own id, and the same label, texts and choices, so that its export is complete.

The label: with `keep_label` the one that the annotator chose; else, or where this tag does not have
it, the model's. Without either, a region that somebody pointed at is written without a label. A
region that was only found is left out without a label, or with a predicted IoU under
`iou_threshold`.

A region that is on the task already keeps its id, so that a caption finds its region. It gets a new
id if its own is shorter than Label Studio's, or occurs earlier in the same prediction.

Scores: a shape has the predicted IoU, times the label's fit where the model chose the label. A
label has its fit, or the IoU where a person chose it. A choice has its fit. A text has the IoU,
since words have no score of their own. A prediction has the mean of its shapes' scores, or 0.
"""

from __future__ import annotations

import math
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from label_studio_backend.translation.mask_shapes import (
    ellipse_of,
    keypoint_of,
    polygons_of_mask,
    rectangle_of,
)
from label_studio_backend.translation.rle import encode
from pam_labeling.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_backend.config.labeling_config import Control
    from label_studio_backend.config.options import Options
    from label_studio_backend.config.output_mapping import OutputMapping
    from label_studio_backend.translation.prompts import RegionPrompt
    from pam_labeling.regions import Region

MIN_ID_LENGTH = 10
"""Label Studio's own ids have 10 characters; shorter ones collide."""


class PredictionError(InputError):
    """A prediction that must not be sent; the message says what is wrong with it."""


Answer: TypeAlias = "tuple[Region, RegionPrompt | None]"
"""A region and its prompt; None if all regions were searched for."""


@dataclass(frozen=True)
class _Label:
    text: str
    fit: float | None  # None: a person chose it


def write_prediction(
    answers: Sequence[Answer], outputs: OutputMapping, options: Options, *, model_version: str
) -> dict[str, Any]:
    """A prediction `{"result", "score", "model_version"}` of all regions.

    The module's docstring says what is written and what is left out.

    Raises:
        MaskError: a region's mask is too large for run lengths.
        PredictionError: a score is not a finite number.
    """
    results: list[dict[str, Any]] = []
    used: set[str] = set()
    for region, prompt in answers:
        label = _label(region, prompt, outputs, options)
        # What nobody pointed at must be sure, and have a label where there is one to give.
        is_lost = label is None and outputs.labels is not None
        if prompt is None and (is_lost or region.scores.iou < options.iou_threshold):
            continue
        for shape in _shapes(region, prompt, outputs, options):
            region_id = prompt.region_id if prompt is not None else None
            if region_id is None or len(region_id) < MIN_ID_LENGTH or region_id in used:
                region_id = uuid.uuid4().hex
            used.add(region_id)
            results += _region_results(region, region_id, shape, label, outputs)
    scores = [result["score"] for result in results if result["from_name"] == outputs.shape.name]
    score = _rounded(sum(scores) / len(scores)) if scores else 0.0
    return {"result": results, "score": score, "model_version": model_version}


def _label(
    region: Region, prompt: RegionPrompt | None, outputs: OutputMapping, options: Options
) -> _Label | None:
    allowed = outputs.label_values
    if options.keep_label and prompt is not None and prompt.label in allowed:
        return _Label(prompt.label, None)
    called = region.label
    if called is None:
        return None
    text = called if called in allowed else outputs.project_label(called)
    return _Label(text, region.scores.label) if text is not None else None


def _shapes(
    region: Region, prompt: RegionPrompt | None, outputs: OutputMapping, options: Options
) -> list[dict[str, Any]]:
    """The values of the region's shape: one, or one for each part if it is a polygon."""
    mask = region.cropped
    match outputs.shape.kind:
        case "brush":
            return [{"format": "rle", "rle": encode(mask.mask)}]
        case "polygon":
            return polygons_of_mask(mask, options.polygon_tolerance)
        case "ellipse":
            return [ellipse_of(mask)]
        case "rectangle":
            # The angle of a prompt without a box is 0.
            return [rectangle_of(mask, prompt.prompt.angle if prompt else 0.0)]
        case _:  # keypoint, the last of output_mapping.SHAPES
            return [keypoint_of(mask)]


def _region_results(
    region: Region,
    region_id: str,
    shape: dict[str, Any],
    label: _Label | None,
    outputs: OutputMapping,
) -> Iterator[dict[str, Any]]:
    def result(control: Control, value: dict[str, Any], score: float) -> dict[str, Any]:
        width, height = region.size
        return {
            "id": region_id,
            "from_name": control.name,
            "to_name": control.to_name,
            "type": control.type,
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": value,
            "score": _rounded(score),
        }

    iou = region.scores.iou
    fit = label.fit if label is not None and label.fit is not None else 1.0
    texts = [label.text] if label is not None else []
    own_label = {outputs.shape.type: texts} if outputs.shape.has_labels else {}
    yield result(outputs.shape, shape | own_label, iou * fit)
    if not outputs.shape.has_labels and outputs.labels is not None and label is not None:
        score = label.fit if label.fit is not None else iou
        yield result(outputs.labels, shape | {"labels": texts}, score)
    for text in outputs.texts:
        words = region.texts.get((text.question.task, text.question.language), "")
        if words.strip():
            yield result(text.control, {"text": [words]}, iou)
    for target in outputs.choices:
        choice = region.choices.get(target.control.name)
        if choice is not None and choice.label is not None:
            path = list(target.paths[choice.label])
            kind = target.control.type  # a Taxonomy's result is a list of paths
            yield result(
                target.control, {kind: [path] if kind == "taxonomy" else path}, choice.score
            )


def _rounded(score: float) -> float:
    if not math.isfinite(score):
        raise PredictionError(f"A score is {score}; the model's scores must be finite numbers.")
    return round(min(max(float(score), 0.0), 1.0), 4)
