from __future__ import annotations

import csv
import json

import numpy as np
import pyarrow.parquet
import pytest

from pam_labeling import formats
from pam_labeling.documents import document_header
from pam_labeling.masks import encode_rle


def entry(file, page, side, error=None):
    mask = np.zeros((side, side), dtype=bool)
    mask[1:3, 1:4] = True
    region = {
        "prompt": None,
        "box": [1, 1, 4, 3],
        "area": 6,
        "mask": encode_rle(mask),
        "label": f"label {page}",
        "open_label": None,
        "scores": {"iou": 0.5, "object": 1.0, "label": None},
        "texts": {},
    }
    size = None if error else side
    return {
        "file": file,
        "page": page,
        "width": size,
        "height": size,
        "regions": [] if error else [region],
        "refusals": [],
        "note": None,
        "error": error,
    }


@pytest.fixture
def write(tmp_path):
    """A function that writes three pages, of which one failed, and an image."""
    pages = [entry("s/a.tif", 1, 20), entry("s/a.tif", 2, 30), entry("s/a.tif", 3, 9, "damaged")]
    header = document_header(model="fake", language="en", tasks=["label"], labels=None)

    def write(name):
        path = tmp_path / f"out{formats.FORMATS[name].ending}"
        formats.write(name, path, [*pages, entry("s/b.png", None, 40)], header)
        return path

    return write


def test_pages_stay_apart_in_files(write):
    images = json.loads(write("coco").read_text("utf-8"))["images"]
    expected = [("a.tif", 1, 20), ("a.tif", 2, 30), ("b.png", None, 40)]
    assert [(i["file_name"], i.get("page"), i["width"]) for i in images] == expected
    tasks = json.loads(write("label-studio").read_text("utf-8"))
    assert [task["data"].get("page") for task in tasks] == [1, 2, None]
    rows = list(csv.DictReader(write("csv").read_text("utf-8-sig").splitlines()))
    assert [row["page"] for row in rows] == ["1", "2", "3", ""]
    assert pyarrow.parquet.read_table(write("parquet"))["page"].to_pylist() == [1, 2, 3, None]


@pytest.mark.parametrize("name", ["yolo-seg", "yolo-box", "voc", "masks"])
def test_pages_stay_apart_in_folders(write, name):
    stems = {path.name.removesuffix(path.suffix) for path in write(name).rglob("*.*")}
    assert {"a.page-1", "a.page-2", "b"} <= stems
