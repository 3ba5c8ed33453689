"""Write regions as Label Studio's results, in the project's own tags.

A region is written as results that share an id, its shape first. (Where the image itself is the
region, each text and choice has an id of its own.)

* the shape, in the tag that `output_mapping` chose, with the label where that tag has labels. A
  brush or bitmask gets the mask as it is, a polygon its outlines (`mask_shapes`), a rectangle its
  tight box (turned as the box of the prompt), an ellipse its moments, a keypoint the pixel deepest
  inside;
* the label of a shape without labels (Brush + Labels): a result of the `<Labels>` tag. It repeats
  the geometry, as Label Studio and its SDK require;
* one result for each text that is not empty, and for each choice that fits well enough, if the
  editor shows their tag for this region (`visibility`).

Polygons: a mask in several parts becomes several regions, since a polygon has one outline. Each has
its own id, and the same label, texts and choices, so that its export is complete.

The label: with `keep_label` those that the annotator chose; else, or where this tag has none of
them, the model's. Without either, a region that somebody pointed at is written without a label. A
region that was only found is left out without a label, or with a predicted IoU under
`iou_threshold`.

The region's details (`meta`, which the editor shows beside it) hold what the label does not say: a
label of the annotator's that this tag does not have, and the model's own name for the region, where
that is another one. The first region's details also hold the annotation's note, if it has one.

A region that is on the task already keeps its id, so that a caption finds its region. It gets a new
id if its own is shorter than Label Studio's, or occurs earlier in the same prediction.

Scores: a shape has the predicted IoU, times the label's fit where the model chose the label. A
label has its fit, or the IoU where a person chose it. A choice has its fit. A text has the IoU,
since words have no score of their own. A prediction has the mean of the scores of its shapes, or of
its choices about the whole image; or 0.
"""

from __future__ import annotations

import math
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from label_studio_backend.config.output_mapping import folded
from label_studio_backend.config.visibility import Shown
from label_studio_backend.translation.bitmask import write_bitmask
from label_studio_backend.translation.mask_shapes import (
    ellipse_of,
    keypoint_of,
    polygons_of_mask,
    rectangle_of,
)
from pam_labeling.errors import InputError
from pam_labeling.formats.brush_rle import encode

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_backend.config.controls import Control
    from label_studio_backend.config.options import Options
    from label_studio_backend.config.output_mapping import OutputMapping
    from label_studio_backend.translation.prompts import RegionPrompt
    from pam_labeling.regions import Region

ID_LENGTH = 10
"""The length of new ids, as of Label Studio's own; shorter ones collide."""


class PredictionError(InputError):
    """A prediction that must not be sent; the message says what is wrong with it."""


Answer: TypeAlias = "tuple[Region, RegionPrompt | None]"
"""A region and its prompt; None if all regions were searched for."""

_Part: TypeAlias = "tuple[Control, dict[str, Any], float]"  # of an answer: a value, and its score


@dataclass(frozen=True)
class _Label:
    texts: tuple[str, ...]  # one, or those that a person chose; () if none fits
    fit: float | None = None  # None: a person chose it, or there is none
    details: tuple[str, ...] = ()


def write_prediction(
    answers: Sequence[Answer],
    outputs: OutputMapping,
    options: Options,
    *,
    model_version: str,
    note: str | None = None,
) -> dict[str, Any]:
    """A prediction `{"result", "score", "model_version"}` of all regions.

    The module's docstring says what is written and what is left out.

    Raises:
        MaskError: a region's mask is too large for run lengths.
        PredictionError: a score is not a finite number.
    """
    results: list[dict[str, Any]] = []
    used: set[str] = set()
    notes = () if note is None else (note,)  # said once, with the first region
    for region, prompt in answers:
        label = _label(region, prompt, outputs, options)
        # What nobody pointed at must be sure, and have a label where there is one to give.
        is_lost = not label.texts and bool(outputs.label_values)
        if prompt is None and (is_lost or region.scores.iou < options.iou_threshold):
            continue
        if outputs.shape is None:
            results += [
                _result(region, _new_id(), *part) for part in _words(region, label, outputs)
            ]
            continue
        for value in _shapes(region, prompt, outputs.shape, options):
            region_id = prompt.region_id if prompt is not None else None
            if region_id is None or len(region_id) < ID_LENGTH or region_id in used:
                region_id = _new_id()
            used.add(region_id)
            shape, *others = _shape_and_label(region, value, label, outputs.shape, outputs.labels)
            details = [*label.details, *notes]
            notes = ()
            meta = {"meta": {"text": details}} if details else {}
            results.append(_result(region, region_id, *shape) | meta)
            others += _words(region, label, outputs)
            results += [_result(region, region_id, *part) for part in others]
    scored = [target.control.name for target in outputs.choices]
    if outputs.shape is not None:
        scored = [outputs.shape.name]
    scores = [result["score"] for result in results if result["from_name"] in scored]
    score = _rounded(sum(scores) / len(scores)) if scores else 0.0
    return {"result": results, "score": score, "model_version": model_version}


def _new_id() -> str:
    return secrets.token_urlsafe(ID_LENGTH)[:ID_LENGTH]


def _label(
    region: Region, prompt: RegionPrompt | None, outputs: OutputMapping, options: Options
) -> _Label:
    if outputs.labels is None:
        return _Label(())
    chosen = prompt.labels if options.keep_label and prompt is not None else ()
    kept = outputs.kept(chosen)
    details = tuple(f"chosen: {label}" for label in chosen if label not in kept)
    if kept:
        return _Label(kept, None, details)
    called = region.label
    # In the open mode, the label is the model's own name.
    own = region.open_label if outputs.vocabulary is not None else called
    text = called
    if called is not None and called not in outputs.label_values:
        text = outputs.project_label(called)
    if own is not None and (text is None or folded(own) != folded(text)):
        details += (f"PAM: {own}",)
    if text is None:
        return _Label((), None, details)
    return _Label((text,), region.scores.label, details)


def _shapes(
    region: Region, prompt: RegionPrompt | None, shape: Control, options: Options
) -> list[dict[str, Any]]:
    """The values of the region's shape: one, or one for each part if it is a polygon."""
    mask = region.cropped
    match shape.kind:
        case "brush":
            return [{"format": "rle", "rle": encode(mask.mask)}]
        case "bitmask":
            return [{"imageDataURL": write_bitmask(mask.mask)}]
        case "polygon":
            return polygons_of_mask(mask, options.polygon_tolerance)
        case "ellipse":
            return [ellipse_of(mask)]
        case "rectangle":
            # The angle of a prompt without a box is 0.
            return [rectangle_of(mask, prompt.prompt.angle if prompt else 0.0)]
        case _:  # keypoint, the last of output_mapping.SHAPES
            return [keypoint_of(mask)]


def _shape_and_label(
    region: Region, value: dict[str, Any], label: _Label, shape: Control, labels: Control | None
) -> Iterator[_Part]:
    iou = region.scores.iou
    texts = list(label.texts)
    own_label = {shape.type: texts} if shape.has_labels else {}
    yield shape, value | own_label, iou * (1.0 if label.fit is None else label.fit)
    if not shape.has_labels and labels is not None and texts:
        yield labels, value | {"labels": texts}, iou if label.fit is None else label.fit


def _words(region: Region, label: _Label, outputs: OutputMapping) -> list[_Part]:
    """The texts and choices of tags that the editor shows for the region."""
    tag = outputs.labels.name if outputs.labels is not None and label.texts else None
    shown = Shown(tag, label.texts, is_region=outputs.shape is not None)
    choices: list[_Part] = []
    for target in outputs.choices:
        control, choice = target.control, region.choices.get(target.control.name)
        if choice is not None and choice.label is not None and control.is_shown(shown):
            path = list(target.paths[choice.label])
            shown.choices[control.name] = target.spellings(choice.label)
            value = {"taxonomy": [path]} if control.type == "taxonomy" else {"choices": path}
            choices.append((control, value, choice.score))
    texts: list[_Part] = []
    for text in outputs.texts:
        words = region.texts.get((text.question.task, text.question.language), "")
        if words.strip() and text.control.is_shown(shown):
            texts.append((text.control, {"text": [words]}, region.scores.iou))
    return texts + choices


def _result(
    region: Region, region_id: str, control: Control, value: dict[str, Any], score: float
) -> dict[str, Any]:
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


def _rounded(score: float) -> float:
    if not math.isfinite(score):
        raise PredictionError(f"A score is {score}; the model's scores must be finite numbers.")
    return round(min(max(float(score), 0.0), 1.0), 4)
