"""Write COCO's object detection format.

Masks are compressed run lengths, which hold every pixel; with the option `polygons` they are
outlines, which more programs read. Drawn outlines stay outlines. Texts and scores are further keys,
which COCO's readers ignore or keep.
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import IO, Any

from pam_labeling.documents import RegionEntry, score_of
from pam_labeling.formats.dataset import Dataset, Image, Options, Tally, label_of
from pam_labeling.formats.shapes import mask_of, outlines


def write_coco(data: Dataset, path: Path, tally: Tally) -> None:
    """Write a file; failed images are left out."""
    numbers = {label: number for number, label in enumerate(data.labels, start=1)}
    header = data.header
    info = {"description": f"{header['model']} by pam-labeling {header['version']}"}
    categories = [
        {"id": number, "name": label, "supercategory": ""} for label, number in numbers.items()
    ]
    # Images and annotations are two lists, so one of them waits in a file.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", dir=path.parent) as annotations,
        path.open("x", encoding="utf-8") as stream,
    ):
        stream.write(f'{{"info": {_line(info)},\n"categories": {_line(categories)},\n"images": [')
        for number, image in enumerate(data.images(), start=1):
            tally.images += 1
            width, height = image.size
            entry = {"id": number, "file_name": image.name, "width": width, "height": height}
            if image.page is not None:
                entry["page"] = image.page  # not COCO's own key
            _add(stream, entry, number)
            for region in image.regions:
                tally.regions += 1
                annotation = {"id": tally.regions, "image_id": number}
                annotation["category_id"] = numbers[label_of(region)]
                annotation |= _annotation(image, region, data.options, tally)
                _add(annotations, annotation, tally.regions)
        stream.write('\n],\n"annotations": [')
        annotations.seek(0)
        for line in annotations:
            stream.write(line)
        stream.write("\n]}\n")


def _line(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, allow_nan=False)


def _add(stream: IO[str], item: object, number: int) -> None:
    """Write an item of a list of JSON; the first has the number 1."""
    stream.write(("\n" if number == 1 else ",\n") + _line(item))


def _annotation(
    image: Image, region: RegionEntry, options: Options, tally: Tally
) -> dict[str, Any]:
    x1, y1, x2, y2 = region["box"]
    annotation: dict[str, Any] = {
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": region["area"],
        "segmentation": _segmentation(image, region, options, tally),
        "iscrowd": 0,
    }
    score = score_of(region)
    if score is not None:
        annotation["score"] = score
    # The words of the region as they are in our own JSON.
    for key in ("scores", "texts", "open_label", "attributes"):
        if region.get(key):
            annotation[key] = region[key]
    return annotation


def _segmentation(image: Image, region: RegionEntry, options: Options, tally: Tally) -> object:
    polygons = region.get("polygons")
    if polygons and (options.polygons or region["mask"] is None):
        return [[number for point in polygon for number in point] for polygon in polygons]
    if region["mask"] is None:
        return []  # a box
    if not options.polygons:
        return region["mask"]
    mask = mask_of(region, image.size)
    assert mask is not None
    found = outlines(mask)
    tally.holes += found.holes
    return [part.ravel().tolist() for part in found.along_edges]
