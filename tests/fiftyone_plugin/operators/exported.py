"""What was exported, read again."""

from __future__ import annotations

import json
from pathlib import Path

from pycocotools.coco import COCO

FIELD = "ground_truth"


def loaded(report):
    """The images by name, their annotations, and the names of the categories."""
    read = COCO(report["output"])
    names = {one["id"]: one["name"] for one in read.loadCats(read.getCatIds())}
    images = {one["file_name"]: one for one in read.loadImgs(read.getImgIds())}
    found = {
        name: read.loadAnns(read.getAnnIds(imgIds=[one["id"]])) for name, one in images.items()
    }
    return read, found, names


def regions_in(report):
    document = json.loads(Path(report["output"]).read_text(encoding="utf-8"))
    return [region for image in document["images"] for region in image["regions"]]
