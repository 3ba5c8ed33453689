"""Write Label Studio's tasks with predictions, to be imported into a project.

The tags are those of the config that `pam-labeling label-config` prints: `mask` (brush) or, with
the option `polygons`, `polygon`; `box` and `label` for regions that are only boxes; a text tag for
each task. What no tag holds is in the region's details.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pam_labeling.documents import RegionEntry, score_of
from pam_labeling.formats.brush_rle import encode
from pam_labeling.formats.dataset import Dataset, Image, Options, Tally
from pam_labeling.formats.shapes import mask_of, outlines
from pam_model.tasks import Task

TEXT_TAGS = {
    Task.LABEL.value: "open_label",
    Task.DEFINITION.value: "definition",
    Task.BRIEF.value: "caption",
    Task.DETAILED.value: "detailed_caption",
}
"""The text tag for each task in the config that `label-config` prints."""


def write_tasks(data: Dataset, path: Path, tally: Tally) -> None:
    """Write a list of tasks, one for each image that did not fail."""
    with path.open("x", encoding="utf-8") as stream:
        separator = "[\n"
        for image in data.images():
            tally.images += 1
            task = _task(data.header["model"], image, data.options, tally)
            stream.write(separator + json.dumps(task, ensure_ascii=False, allow_nan=False))
            separator = ",\n"
        stream.write("\n]\n" if tally.images else "[]\n")


def _task(model: str, image: Image, options: Options, tally: Tally) -> dict[str, Any]:
    results: list[dict[str, Any]] = []
    for number, region in enumerate(image.regions, start=1):
        tally.regions += 1
        for part, (kind, name, value) in enumerate(_shapes(image, region, options, tally)):
            # Label Studio's own ids have 10 characters, too.
            key = f"{image.name} {number} {part}".encode()
            region_id = hashlib.sha256(key).hexdigest()[:10]
            results += _region(image, region, region_id, (kind, name, value))
    scores = [result["score"] for result in results if "score" in result]
    prediction: dict[str, Any] = {"model_version": model, "result": results}
    if scores:
        prediction["score"] = round(sum(scores) / len(scores), 4)
    address = image.source  # an image that comes from a task keeps its own
    if address is None:
        prefix = options.image_prefix
        address = prefix + quote(image.name) if prefix else image.name
    return {"data": {"image": address}, "predictions": [prediction]}


_Shape = tuple[str, str, dict[str, Any]]  # type, name of the tag, value without labels


def _shapes(image: Image, region: RegionEntry, options: Options, tally: Tally) -> list[_Shape]:
    """The shape of a region; several if it has several outlines."""
    width, height = image.size
    mask = mask_of(region, image.size)
    if mask is None:
        x1, y1, x2, y2 = region["box"]
        box = {"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1}
        sides = {"x": width, "y": height, "width": width, "height": height}
        value = {name: 100 * number / sides[name] for name, number in box.items()}
        return [("rectangle", "box", value | {"rotation": 0})]
    if not options.polygons:
        return [("brushlabels", "mask", {"format": "rle", "rle": encode(mask)})]
    polygons = region.get("polygons")
    if polygons is None:
        found = outlines(mask)
        tally.holes += found.holes
        polygons = [part.tolist() for part in found.along_edges]
    points = [[[100 * x / width, 100 * y / height] for x, y in part] for part in polygons]
    return [("polygonlabels", "polygon", {"points": part, "closed": True}) for part in points]


def _region(
    image: Image, region: RegionEntry, region_id: str, shape: _Shape
) -> list[dict[str, Any]]:
    """The results of a region, its shape first."""
    kind, name, value = shape
    labels = [] if region["label"] is None else [region["label"]]
    parts = [(name, kind, value if kind == "rectangle" else value | {kind: labels})]
    if kind == "rectangle" and labels:
        parts.append(("label", "labels", value | {"labels": labels}))
    parts += [
        (TEXT_TAGS[task], "textarea", {"text": [text]}) for task, text in region["texts"].items()
    ]
    score = score_of(region)
    results = [
        {
            "id": region_id,
            "from_name": tag,
            "to_name": "image",
            "type": result_type,
            "original_width": image.size[0],
            "original_height": image.size[1],
            "image_rotation": 0,
            "value": content,
        }
        | ({} if score is None else {"score": round(score, 4)})
        for tag, result_type, content in parts
    ]
    others = region.get("attributes", {})
    details = [f"{key}: {_text(word)}" for key, word in others.items()]
    if region["open_label"] is not None:
        details.append(f"PAM: {region['open_label']}")
    if details:
        results[0]["meta"] = {"text": details}
    return results


def _text(word: object) -> str:
    return word if isinstance(word, str) else json.dumps(word, ensure_ascii=False)
