"""Write annotations as files: our own JSON, and COCO.

The file `schemas/annotations-2.json` of this package is the schema of our JSON.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

from pam_labeling.masks import RLE, encode_rle
from pam_labeling.regions import Annotation, Prompt, Region, Scores
from pam_labeling.validation import as_utf8
from pam_labeling.version import VERSION

FORMAT = "pam-labeling/annotations/2"
SCHEMA_FILE = Path(__file__).parent / "schemas" / "annotations-2.json"
UNLABELLED = "unlabelled"
"""The COCO category of regions without a label; in COCO each region needs a category."""


class RegionEntry(TypedDict):
    """A region in JSON. `box` is `[x1, y1, x2, y2]` in pixels, `area` a number of pixels."""

    prompt: dict[str, Any] | None
    box: list[int]
    area: int
    mask: RLE
    label: str | None
    open_label: str | None
    scores: dict[str, float | None]
    texts: dict[str, str]


class RefusalEntry(TypedDict):
    """A prompt without a region in JSON; `reason` says why the model found none."""

    prompt: dict[str, Any]
    reason: str
    scores: dict[str, float | None]


class ImageEntry(TypedDict):
    """An image in JSON; if it failed, `error` says why, and it has no size and no regions."""

    file: str
    width: int | None
    height: int | None
    regions: list[RegionEntry]
    refusals: list[RefusalEntry]
    note: str | None
    error: str | None


class Document(TypedDict):
    """The whole JSON document."""

    format: str
    version: str
    model: str
    note: str | None
    language: str
    tasks: list[str]
    labels: list[str] | None
    images: list[ImageEntry]


def image_entry(file: str, annotation: Annotation) -> ImageEntry:
    """The JSON entry of an annotated image."""
    return {
        "file": as_utf8(file),
        "width": annotation.size[0],
        "height": annotation.size[1],
        "regions": [_region_entry(region) for region in annotation.regions],
        "refusals": [
            {
                "prompt": _prompt_entry(refusal.prompt),
                "reason": refusal.reason,
                "scores": _scores_entry(refusal.scores),
            }
            for refusal in annotation.refusals
        ],
        "note": annotation.note,
        "error": None,
    }


def failed_entry(file: str, error: Exception) -> ImageEntry:
    """The JSON entry of an image that could not be annotated."""
    return {
        "file": as_utf8(file),
        "width": None,
        "height": None,
        "regions": [],
        "refusals": [],
        "note": None,
        "error": as_utf8(str(error)) or type(error).__name__,
    }


def document(
    images: Sequence[ImageEntry],
    *,
    model: str,
    language: str,
    tasks: Sequence[str],
    labels: Sequence[str] | None,
    note: str | None = None,
) -> Document:
    """The JSON document of a run.

    Args:
        images: the entries, in the order of the images.
        model: the checkpoint's name.
        language: the language of the texts.
        tasks: the names of the tasks that were asked about each region.
        labels: the list that labels were chosen from, or None for open labels.
        note: what the reader must know about the model, see `Settings.note`.
    """
    return {
        "format": FORMAT,
        "version": VERSION,
        "model": as_utf8(model),
        "note": note,
        "language": language,
        "tasks": list(tasks),
        "labels": None if labels is None else [as_utf8(label) for label in labels],
        "images": list(images),
    }


def coco_document(source: Document) -> dict[str, Any]:
    """A document in COCO's object detection format. Failed images are left out.

    The categories are the project's own labels in their order, then the other labels that regions
    have. A region without a label is `unlabelled`. Texts and scores are extra keys beside COCO's.
    """
    annotated = [image for image in source["images"] if image["error"] is None]
    owned = [
        (image_id, region)
        for image_id, image in enumerate(annotated, start=1)
        for region in image["regions"]
    ]
    # A dictionary keeps the order, and holds each name once.
    names = dict.fromkeys(source["labels"] or ())
    names.update(dict.fromkeys(region["label"] or UNLABELLED for _, region in owned))
    categories = {name: number for number, name in enumerate(names, start=1)}
    return {
        "info": {"description": f"{source['model']} by pam-labeling {source['version']}"},
        "images": [
            {
                "id": number,
                "file_name": image["file"],
                "width": image["width"],
                "height": image["height"],
            }
            for number, image in enumerate(annotated, start=1)
        ],
        "categories": [
            {"id": number, "name": name, "supercategory": ""} for name, number in categories.items()
        ],
        "annotations": [
            _coco_annotation(number, image_id, categories, region)
            for number, (image_id, region) in enumerate(owned, start=1)
        ],
    }


def write_json(path: Path, content: object) -> None:
    """Write a JSON file completely or not at all; an older file stays until the new one is done.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    partial = path.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with partial.open("x", encoding="utf-8") as stream:
            json.dump(content, stream, ensure_ascii=False, allow_nan=False, indent=1)
            stream.write("\n")
            # Flush to the disk before replacing: a power cut must not leave an empty file.
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def _region_entry(region: Region) -> RegionEntry:
    prompt = region.provenance.prompt
    return {
        "prompt": None if prompt is None else _prompt_entry(prompt),
        "box": list(region.box),
        "area": region.area,
        "mask": encode_rle(region.mask),
        "label": region.label,
        "open_label": region.open_label,
        "scores": _scores_entry(region.scores),
        # The document has only one language, so the task is enough as a key.
        "texts": {task.value: text for (task, _), text in region.texts.items()},
    }


def _scores_entry(scores: Scores) -> dict[str, float | None]:
    label = None if scores.label is None else round(scores.label, 6)
    return {"iou": round(scores.iou, 6), "object": round(scores.object, 6), "label": label}


def _prompt_entry(prompt: Prompt) -> dict[str, Any]:
    """A prompt in JSON: points `[x, y, positive]`, box, angle and mask as they were given."""
    points = zip(prompt.points.tolist(), prompt.point_labels.tolist(), strict=True)
    return {
        "points": [(x, y, positive) for (x, y), positive in points],
        "box": None if prompt.box is None else list(prompt.box),
        "angle": prompt.angle,
        "mask": None if prompt.cropped is None else encode_rle(prompt.cropped.mask),
    }


def _coco_annotation(
    number: int, image_id: object, categories: dict[str, int], region: RegionEntry
) -> dict[str, Any]:
    x1, y1, x2, y2 = region["box"]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": categories[region["label"] or UNLABELLED],
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": region["area"],
        "segmentation": region["mask"],
        "iscrowd": 0,
        # Not COCO's own keys; its readers ignore them.
        "scores": region["scores"],
        "texts": region["texts"],
    }
