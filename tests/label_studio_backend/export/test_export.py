"""`export`, against a stand-in for Label Studio: every shape, label and text."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from label_studio_backend.translation.bitmask import write_bitmask
from pam_labeling.formats import read_pam_data
from pam_labeling.masks import decode_rle
from tests.hard_shapes import SIZE, pixel, ring
from tests.label_studio_backend.export.exported import annotate, brush, document, regions, result


def box(x, y, width, height, region="r1", rotation=0):
    value = {"x": x, "y": y, "width": width, "height": height, "rotation": rotation}
    return result("box", "rectanglelabels", value | {"rectanglelabels": ["ring"]}, region)


@pytest.mark.parametrize(
    ("results", "label"),
    [
        ([brush(ring(), "ring")], "ring"),
        (
            # Brush + Labels, of which Label Studio's own export loses the mask
            [
                brush(ring(), name="plain"),
                result("label", "labels", {"labels": ["cross"]}),
            ],
            "cross",
        ),
        ([brush(ring(), name="plain"), result("class", "choices", {"choices": ["cup"]})], "cup"),
        ([brush(ring(), "ring"), result("class", "choices", {"choices": ["cup"]})], "ring"),
        (
            [
                result(
                    "bits",
                    "bitmasklabels",
                    {"imageDataURL": write_bitmask(ring()), "bitmasklabels": ["ring"]},
                )
            ],
            "ring",
        ),
    ],
)
def test_a_mask_goes_out_pixel_by_pixel_with_the_label_of_any_tag(fake, export, results, label):
    annotate(fake, *results)
    export("--to", "coco")
    coco = COCO("project-1.coco.json")
    (annotation,) = coco.loadAnns(coco.getAnnIds())
    np.testing.assert_array_equal(decode_rle(annotation["segmentation"]), ring())
    assert coco.loadCats([annotation["category_id"]])[0]["name"] == label
    (image,) = coco.loadImgs(coco.getImgIds())
    assert (image["file_name"], image["width"], image["height"]) == ("1.png", *SIZE)


def test_the_shipped_interface_comes_out_with_its_words(fake, export):
    """Masks, captions and definitions, which Label Studio's own COCO and YOLO leave out."""
    words = [
        result("caption", "textarea", {"text": ["a ring"]}),
        result("definition", "textarea", {"text": ["round"]}),
        result("remark", "textarea", {"text": ["=1+1", "two"]}),
        result("damage", "choices", {"choices": ["yes"]}),
        result("stars", "rating", {"rating": 4}),
    ]
    annotate(fake, brush(ring(), "ring", "a, b"), *words, brush(pixel(), "a, b", region="r2"))
    export("--to", "json")
    first, second = regions()
    assert first["texts"] == {"brief": "a ring", "definition": "round"}
    assert first["attributes"] == {
        "remark": "=1+1\ntwo",
        "damage": "yes",
        "stars": 4,
        "labels": ["ring", "a, b"],
    }
    assert (second["label"], second["texts"], second["scores"]) == ("a, b", {}, {})
    assert document()["labels"] == ["ring", "a, b", "cross", "三角"]
    export("--output", "out/words.csv")
    with Path("out/words.csv").open(encoding="utf-8-sig", newline="") as stream:
        row = next(csv.DictReader(stream))
    assert (row["brief"], row["remark"], row["stars"]) == ("a ring", "'=1+1\ntwo", "4")
    export("--to", "pam-data", "--output", "set")
    (image,) = read_pam_data(Path("set"))
    told = [(region["label"], region["texts"].get("brief")) for region in image["regions"]]
    assert told == [("ring", "a ring"), ("a, b", None)]


def test_boxes_and_outlines_are_exact(fake, export):
    triangle = [[10, 10], [50, 10], [30, 60.5]]
    annotate(
        fake,
        result("outline", "polygonlabels", {"points": triangle, "polygonlabels": ["三角"]}),
        box(10, 20, 25, 50, region="r2"),
        box(50, 20, 20, 20, region="r3", rotation=90),
        result(
            "oval",
            "ellipselabels",
            {"x": 50, "y": 50, "radiusX": 25, "radiusY": 20, "rotation": 0},
            region="r4",
        ),
    )
    export("--to", "json")
    outline, upright, turned, oval = regions()
    scale = np.array(SIZE) / 100
    np.testing.assert_allclose(outline["polygons"][0], np.array(triangle) * scale)
    assert outline["area"] == pytest.approx(0.5 * 16 * 0.505 * 30)
    assert (upright["box"], upright["area"]) == ([4, 6, 14, 21], 150)
    assert upright.get("polygons") is None
    # Turned about its top-left corner (20, 6): 8 wide, 6 high.
    np.testing.assert_allclose(turned["box"], [14, 6, 20, 14], atol=1e-9)
    assert len(turned["polygons"][0]) == 4
    np.testing.assert_allclose(oval["box"], [10, 9, 30, 21], atol=0.02)
    assert oval["area"] == pytest.approx(math.pi * 10 * 6, rel=2e-3)
    export("--to", "yolo-box", "--output", "set")
    lines = Path("set/labels/1.txt").read_text().splitlines()
    assert [float(number) for number in lines[1].split()[1:]] == [0.225, 0.45, 0.25, 0.5]
    assert "1 region: it holds only masks" in export("--to", "yolo-seg")


def test_keypoints_and_words_about_the_image_go_where_there_is_room(fake, export):
    point = {"x": 50, "y": 50, "width": 1, "keypointlabels": ["ring"]}
    annotate(
        fake,
        result("point", "keypointlabels", point),
        result("caption", "textarea", {"text": ["a dot"]}),
        result("about_caption", "textarea", {"text": ["the whole"]}, region="w1"),
    )
    output = export("--to", "coco")
    assert "1 keypoints left out" in output
    assert "1 answers about whole images left out" in output
    assert json.loads(Path("project-1.coco.json").read_text())["annotations"] == []
    assert "left out" not in export("--to", "pam-data")
    (image,) = read_pam_data(Path("project-1.pam-data"))
    told = {region["texts"]["brief"]: region["prompt"] for region in image["regions"]}
    assert told["a dot"]["points"] == [(20, 15, True)]
    assert told["the whole"]["box"] == [0, 0, *SIZE]
