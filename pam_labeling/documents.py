"""Annotations as JSON: the document, its entries, and entries as lines of a file.

The file `schemas/annotations-2.json` of this package is the schema of the document.
`pam_labeling.formats` writes the entries in other formats.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from pam_labeling.errors import InputError
from pam_labeling.files import whole_file
from pam_labeling.masks import RLE, encode_rle
from pam_labeling.regions import Annotation, Prompt, Region, Scores
from pam_labeling.validation import as_utf8
from pam_labeling.version import VERSION

FORMAT = "pam-labeling/annotations/2"
SCHEMA_FILE = Path(__file__).parent / "schemas" / "annotations-2.json"
UNLABELLED = "unlabelled"
"""The COCO category of regions without a label; in COCO each region needs a category."""


class _Drawn(TypedDict, total=False):
    """What a region has only if a person made it.

    Attributes:
        polygons: its outlines `[[x, y], ...]` in pixels, exactly as they were drawn.
        attributes: what was said about it besides label and texts, by the name of the question.
    """

    polygons: list[list[list[float]]]
    attributes: dict[str, Any]


class RegionEntry(_Drawn):
    """A region in JSON. `box` is `[x1, y1, x2, y2]` in pixels, `area` a number of pixels.

    A person's region may have no mask, since it has `polygons`, or is only a box; and no scores.
    `scores` has `iou`, `object` and `label`, or only `score`, if it came with one number.
    """

    prompt: dict[str, Any] | None
    box: list[float]
    area: float
    mask: RLE | None
    label: str | None
    open_label: str | None
    scores: dict[str, float | None]
    texts: dict[str, str]


class RefusalEntry(TypedDict):
    """A prompt without a region in JSON; `reason` says why the model found none."""

    prompt: dict[str, Any]
    reason: str
    scores: dict[str, float | None]


class _Origin(TypedDict, total=False):
    """What an image has only if it is not a file of its own.

    Attributes:
        page: the number of its page, from 1, in a file of several pages; else None.
        source: the address that it comes from.
    """

    page: int | None
    source: str


class ImageEntry(_Origin):
    """An image in JSON; if it failed, `error` says why, and it has no size and no regions."""

    file: str
    width: int | None
    height: int | None
    regions: list[RegionEntry]
    refusals: list[RefusalEntry]
    note: str | None
    error: str | None


class Header(TypedDict):
    """What the JSON document says about all images."""

    format: str
    version: str
    model: str
    note: str | None
    language: str
    tasks: list[str]
    labels: list[str] | None


class Document(Header):
    """The whole JSON document."""

    images: list[ImageEntry]


@dataclass(frozen=True)
class EntryFile:
    """A file of entries, an image a line, which can be read again and again.

    A last line without its end is not read: the program was killed while it wrote that line.
    """

    path: Path

    def __iter__(self) -> Iterator[ImageEntry]:
        return (entry for _, entry in self.placed())

    def placed(self) -> Iterator[tuple[int, ImageEntry]]:
        """Each entry, and the offset of its line in bytes.

        Raises:
            InputError: a line is damaged; the message names file and line.
        """
        place = 0
        with self.path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n"):
                    return
                try:
                    entry: ImageEntry = json.loads(line)
                except ValueError as error:
                    raise InputError(f"{self.path}, line {number}, is damaged: {error}") from error
                yield place, entry
                place += len(line)


def entry_line(entry: ImageEntry) -> str:
    """An entry as a line of an `EntryFile`, with its end."""
    return json.dumps(entry, ensure_ascii=False, allow_nan=False) + "\n"


def image_entry(file: str, annotation: Annotation) -> ImageEntry:
    """The JSON entry of an annotated image."""
    return {
        "file": as_utf8(file),
        "width": annotation.size[0],
        "height": annotation.size[1],
        "regions": [_region_entry(region) for region in annotation.regions],
        "refusals": [
            {
                "prompt": prompt_entry(refusal.prompt),
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


def document_header(
    *,
    model: str,
    language: str,
    tasks: Sequence[str],
    labels: Sequence[str] | None,
    note: str | None = None,
) -> Header:
    """The JSON document of a run, without its images.

    Args:
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
    """The JSON document of a run: see `document_header`; `images` are in their order."""
    header = document_header(model=model, language=language, tasks=tasks, labels=labels, note=note)
    return {**header, "images": list(images)}


def score_of(region: RegionEntry) -> float | None:
    """The one score of a region: its IoU, times the fit of a label that was chosen from a list.

    It is that of the shape in Label Studio. None: a person's region has no score.
    """
    scores = region["scores"]
    iou, fit = scores.get("iou"), scores.get("label")
    if iou is None:
        return scores.get("score")
    return round(iou * (fit if fit is not None and region["label"] is not None else 1.0), 6)


def write_json(path: Path, content: object) -> None:
    """Write a JSON file completely or not at all; an older file stays until the new one is done.

    Raises:
        OSError: the folder cannot be written to, or the disk is full.
    """
    with whole_file(path) as partial, partial.open("x", encoding="utf-8") as stream:
        json.dump(content, stream, ensure_ascii=False, allow_nan=False, indent=1)
        stream.write("\n")


def _region_entry(region: Region) -> RegionEntry:
    prompt = region.provenance.prompt
    return {
        "prompt": None if prompt is None else prompt_entry(prompt),
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


def prompt_entry(prompt: Prompt) -> dict[str, Any]:
    """A prompt in JSON: points `[x, y, positive]`, box, angle and mask as they were given."""
    points = zip(prompt.points.tolist(), prompt.point_labels.tolist(), strict=True)
    return {
        "points": [(x, y, positive) for (x, y), positive in points],
        "box": None if prompt.box is None else list(prompt.box),
        "angle": prompt.angle,
        "mask": None if prompt.cropped is None else encode_rle(prompt.cropped.mask),
    }
