"""Each format, read by the programs that people use."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np
import pytest
import supervision
from label_studio_sdk.converter.imports.coco import convert_coco_to_ls
from label_studio_sdk.converter.imports.yolo import convert_yolo_to_ls
from PIL import Image
from pycocotools.coco import COCO

from label_studio_backend.config.template import build_config
from pam_labeling import formats
from pam_labeling.documents import SCHEMA_FILE
from pam_labeling.formats import FormatError, brush_rle, write
from pam_labeling.formats.shapes import fill
from pam_labeling.formats.tasks import TEXT_TAGS
from pam_labeling.masks import decode_rle, polygons_of
from pam_model import Task
from tests import hard_shapes
from tests.hard_shapes import HEADER, SIZE, drawn_box, drawn_outline, entry, masks_of, region

UNLABELLED = "unlabelled"


def good(entries):
    return [one for one in entries if one["error"] is None]


def labels_of(one):
    return [region["label"] or UNLABELLED for region in one["regions"]]


def boxes_of(one):
    return [region["box"] for region in one["regions"]]


@pytest.mark.parametrize("polygons", [False, True])
def test_coco_is_read_by_supervision_and_pycocotools(tmp_path, entries, polygons, capsys):
    path = tmp_path / "all.coco.json"
    report = write("coco", path, iter(entries), HEADER, polygons=polygons)
    read = COCO(str(path))
    images = read.loadImgs(read.getImgIds())
    assert [image["file_name"] for image in images] == [
        "a.png",
        "b c/a.png",
        "名字/a.png",
        "名字/empty.png",
    ]
    names = {category["id"]: category["name"] for category in read.loadCats(read.getCatIds())}
    for image, one in zip(images, good(entries), strict=True):
        annotations = read.loadAnns(read.getAnnIds(imgIds=[image["id"]]))
        assert [names[each["category_id"]] for each in annotations] == labels_of(one)
        for annotation, expected, mask in zip(
            annotations, one["regions"], masks_of(one), strict=True
        ):
            np.testing.assert_array_equal(decode_rle(as_text(read.annToRLE(annotation))), mask)
            assert annotation["score"] == expected["scores"]["iou"]
            assert annotation.get("texts", {}) == expected["texts"]
    data = supervision.DetectionDataset.from_coco(
        str(tmp_path / "pics"), str(path), force_masks=True
    )
    for one in good(entries):
        found = data.annotations[one["file"]]
        # supervision rounds the corners of outlines, which moves them by up to a pixel.
        for mask, expected in zip(found.mask if len(found) else [], masks_of(one), strict=True):
            assert polygons or (mask == expected).all()
            assert not (expected & ~mask).any()
        if len(found):
            np.testing.assert_array_equal(found.xyxy, boxes_of(one))
    masks = [mask for one in good(entries) for mask in masks_of(one)]
    holes = sum(map(count_holes, masks)) if polygons else 0
    assert (report.images, report.failed, report.regions, report.holes) == (4, 1, 6, holes)
    assert ("holes bridged" in " ".join(report.notes)) == polygons


def as_text(rle):
    counts = rle["counts"]
    return rle | {"counts": counts.decode() if isinstance(counts, bytes) else counts}


def count_holes(mask):
    return sum(len(part.holes) for part in polygons_of(mask))


def test_coco_outlines_are_read_by_label_studios_converter(tmp_path, entries):
    write("coco", tmp_path / "all.coco.json", iter(entries), HEADER, polygons=True)
    convert_coco_to_ls(str(tmp_path / "all.coco.json"), str(tmp_path / "tasks.json"))
    tasks = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    assert len(tasks) == 4
    drawn = [one for one in tasks[1]["annotations"][0]["result"] if one["type"] == "polygonlabels"]
    for result, mask in zip(drawn, masks_of(entries[1]), strict=True):
        points = np.array(result["value"]["points"]) * SIZE / 100
        np.testing.assert_array_equal(fill([points.tolist()], SIZE), mask)


def test_yolo_boxes_are_read_by_label_studios_converter(tmp_path, entries):
    write("yolo-box", tmp_path / "set", entries[:1], HEADER, copy_images=True)
    convert_yolo_to_ls(str(tmp_path / "set"), str(tmp_path / "tasks.json"))
    (task,) = json.loads((tmp_path / "tasks.json").read_text("utf-8"))
    for result, expected in zip(
        task["annotations"][0]["result"], entries[0]["regions"], strict=True
    ):
        value = result["value"]
        corner = np.array([value["x"], value["y"]]) * SIZE / 100
        np.testing.assert_allclose(corner, expected["box"][:2], atol=1e-4)
        assert value["rectanglelabels"] == [expected["label"] or UNLABELLED]


@pytest.mark.parametrize("name", ["yolo-seg", "yolo-box"])
def test_yolo_is_read_by_supervision(tmp_path, entries, name):
    target = tmp_path / "set"
    report = write(name, target, iter(entries), HEADER, copy_images=True)
    for folder in ("", "b c", "名字"):
        data = supervision.DetectionDataset.from_yolo(
            str(target / "images" / folder),
            str(target / "labels" / folder),
            str(target / "data.yaml"),
            force_masks=name == "yolo-seg",
        )
        assert data.classes == ["unused", "猫", 'cup, "big"', UNLABELLED, "-dash"]
        for file, found in data.annotations.items():
            (one,) = (
                one
                for one in good(entries)
                if Path(one["file"]).relative_to(tmp_path / "pics")
                == Path(file).relative_to(target / "images")
            )
            assert [data.classes[number] for number in found.class_id] == labels_of(one)
            if name == "yolo-box":
                np.testing.assert_allclose(
                    found.xyxy, np.reshape(boxes_of(one), (-1, 4)), atol=0.01
                )
                continue
            for mask, expected in zip(found.mask if len(found) else [], masks_of(one), strict=True):
                assert not (expected & ~mask).any()
                if len(one["regions"]) == 2 and labels_of(one) == ["猫", "猫"]:
                    assert (mask == expected).all()  # in one part: holes cost no pixel
    assert report.regions == 6
    rows = read_csv(target / "regions.csv")
    assert rows[0]["brief"] == "'" + entries[0]["regions"][0]["texts"]["brief"]
    assert (rows[3]["labels"], rows[3]["line"], rows[3]["score"]) == (
        "labels/b c/a.txt",
        "2",
        "0.25",
    )
    assert (target / "labels" / "名字" / "empty.txt").read_text() == ""
    assert len(list((target / "images").rglob("*.png"))) == 4


def read_csv(path):
    with path.open(encoding="utf-8-sig", newline="") as stream:
        return list(csv.DictReader(stream))


def test_voc_is_read_by_supervision(tmp_path, entries):
    target = tmp_path / "set"
    write("voc", target, iter(entries), HEADER)
    for folder in ("", "b c", "名字"):
        data = supervision.DetectionDataset.from_pascal_voc(
            str(tmp_path / "pics" / folder), str(target / "Annotations" / folder)
        )
        for one in good(entries):
            if one["file"] in data.annotations and one["regions"]:
                found = data.annotations[one["file"]]
                np.testing.assert_array_equal(found.xyxy, boxes_of(one))
                assert [data.classes[number] for number in found.class_id] == labels_of(one)
    item = ET.parse(target / "Annotations" / "a.xml").find("object")
    assert item is not None
    words = {
        attribute.findtext("name"): attribute.findtext("value")
        for attribute in item.iter("attribute")
    }
    assert words["definition"] == "一个盘子"
    assert words["score"] == "0.5"


def test_masks_lose_no_pixel_where_regions_overlap(tmp_path, entries):
    target = tmp_path / "set"
    write("masks", target, iter(entries), HEADER)
    rows = iter(read_csv(target / "regions.csv"))
    for one in good(entries):
        for mask, row in zip(masks_of(one), rows, strict=False):
            with Image.open(target / row["mask"]) as picture:
                np.testing.assert_array_equal(np.asarray(picture) == int(row["value"]), mask)
                assert picture.mode == "P"
    assert next(rows, None) is None
    assert (target / "masks-2" / "名字" / "a.png").is_file()


def test_more_than_255_regions_have_values_of_16_bits(tmp_path):
    dots = [hard_shapes.blank() for _ in range(300)]
    for number, mask in enumerate(dots):
        mask[number // 40, number % 40] = True
    one = entry(tmp_path / "a.png", [region(mask) for mask in dots])
    write("masks", tmp_path / "set", [one], HEADER)
    with Image.open(tmp_path / "set" / "masks" / "a.png") as picture:
        values = np.asarray(picture)
    assert [values[dots[number]].item() for number in (0, 254, 299)] == [1, 255, 300]


def test_parquet_has_a_row_for_each_image(tmp_path, entries):
    from pyarrow import parquet

    path = tmp_path / "all.parquet"
    write("parquet", path, iter(entries), HEADER)
    rows = parquet.read_table(path).to_pylist()
    assert [row["image"] for row in rows] == [one["file"] for one in entries]
    assert [row["error"] for row in rows] == [None] * 4 + ["damaged"]
    for row, one in zip(rows, entries, strict=True):
        assert (row["width"], row["height"]) == (one["width"], one["height"])
        for found, expected in zip(row["regions"], one["regions"], strict=True):
            assert found["mask"] == expected["mask"]
            assert found["box"] == expected["box"]
            assert found["score"] == expected["scores"]["iou"]
            texts = {key: text for key, text in found["texts"].items() if text is not None}
            assert texts == expected["texts"]


def test_parquet_is_written_in_groups_of_rows(tmp_path):
    from pyarrow import parquet

    path = tmp_path / "all.parquet"
    write("parquet", path, (entry(f"{number}.png", []) for number in range(501)), HEADER)
    assert parquet.ParquetFile(path).num_row_groups == 2


def test_parquet_without_pyarrow_is_refused_with_the_command(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(FormatError, match="pip install 'pam-labeling\\[parquet\\]'"):
        formats.check_destination("parquet", tmp_path / "a.parquet")


def test_csv_has_a_row_for_each_region_and_no_formula(tmp_path, entries):
    entries[0]["regions"][1]["label"] = "@SUM(A1)"
    write("csv", tmp_path / "all.csv", iter(entries), HEADER)
    rows = read_csv(tmp_path / "all.csv")
    assert [row["label"] for row in rows[:6]] == [
        'cup, "big"',
        "'@SUM(A1)",
        "猫",
        "猫",
        "'-dash",
        "猫",
    ]
    assert rows[0]["brief"].startswith("'=1+1")
    assert [rows[2][key] for key in ("x1", "y1", "x2", "y2", "area")] == ["31", "7", "32", "8", "1"]
    assert (rows[6]["image"], rows[6]["label"]) == (entries[3]["file"], "")
    assert (rows[7]["image"], rows[7]["error"]) == (entries[4]["file"], "damaged")


def test_a_text_that_is_called_like_a_column_has_its_own(tmp_path):
    one = region(hard_shapes.pixel(), "猫", texts={"label": "cat"})
    one["attributes"] = {"score": 5, "image": "sharp"}
    write("csv", tmp_path / "all.csv", [entry("a.png", [one])], HEADER)
    (row,) = read_csv(tmp_path / "all.csv")
    assert (row["label"], row["score"], row["image"]) == ("猫", "0.5", "a.png")
    assert (row["label (text)"], row["score (text)"], row["image (text)"]) == ("cat", "5", "sharp")


def test_the_own_document_is_whole(tmp_path, entries):
    write("json", tmp_path / "all.json", iter(entries), HEADER)
    document = json.loads((tmp_path / "all.json").read_text("utf-8"))
    assert document == {**HEADER, "images": entries}
    jsonschema.validate(document, json.loads(SCHEMA_FILE.read_text("utf-8")))


def test_regions_of_people_follow_the_schema(tmp_path):
    drawn = drawn_outline([(1, 1), (5, 1), (5, 4.5)], "a") | {"attributes": {"crowd": ["yes"]}}
    scored = drawn_box((1, 1, 2.5, 3)) | {"scores": {"score": 0.5}}
    write("json", tmp_path / "a.json", [entry("a.png", [drawn, scored])], HEADER)
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.validate(json.loads((tmp_path / "a.json").read_text("utf-8")), schema)


def test_tasks_have_the_tags_of_the_printed_config(tmp_path, entries):
    path = tmp_path / "all.label-studio.json"
    write("label-studio", path, iter(entries), HEADER, image_prefix="/data/local-files/?d=")
    tasks = json.loads(path.read_text("utf-8"))
    config = build_config(["猫"], texts=list(Task))
    assert [task["data"]["image"] for task in tasks][1] == "/data/local-files/?d=b%20c/a.png"
    for task, one in zip(tasks, good(entries), strict=True):
        (prediction,) = task["predictions"]
        results = prediction["result"]
        assert all(f'name="{result["from_name"]}"' in config for result in results)
        shapes = [result for result in results if result["type"] == "brushlabels"]
        assert len({shape["id"] for shape in shapes}) == len(one["regions"])
        for shape, mask, expected in zip(shapes, masks_of(one), one["regions"], strict=True):
            found = brush_rle.decode(shape["value"]["rle"], size=SIZE)
            np.testing.assert_array_equal(found, mask)
            assert shape["score"] == expected["scores"]["iou"]
            assert shape["value"]["brushlabels"] == [expected["label"]] * bool(expected["label"])
            texts = {
                result["from_name"]: result["value"]["text"]
                for result in results
                if result["id"] == shape["id"] and result["type"] == "textarea"
            }
            assert texts == {TEXT_TAGS[key]: [text] for key, text in expected["texts"].items()}


def test_all_text_tags_are_those_of_the_printed_config():
    config = build_config(["a"], texts=list(Task))
    for task, name in TEXT_TAGS.items():
        assert f'name="{name}" toName="image" pam="{task}"' in config


def test_a_persons_outline_stays_and_a_box_goes_where_a_box_has_room(tmp_path, capsys):
    outline = [(1.5, 1.25), (12.75, 1.25), (6.0, 9.5)]
    regions = [drawn_outline(outline, "a"), drawn_box((2.5, 3, 10, 8.5), "b")]
    one = entry(tmp_path / "a.png", regions)
    write("coco", tmp_path / "a.coco.json", [one], HEADER)
    first, second = json.loads((tmp_path / "a.coco.json").read_text())["annotations"]
    assert first["segmentation"] == [[1.5, 1.25, 12.75, 1.25, 6.0, 9.5]]
    assert (second["segmentation"], second["bbox"]) == ([], [2.5, 3, 7.5, 5.5])
    assert "score" not in first
    report = write("yolo-seg", tmp_path / "seg", [one], HEADER)
    line = (tmp_path / "seg" / "labels" / "a.txt").read_text().split()
    pairs = np.array(line[1:], float).reshape(-1, 2) * SIZE
    np.testing.assert_allclose(pairs, outline, atol=1e-4)
    assert report.left_out == 1
    assert report.notes == ("yolo-seg leaves out 1 region: it holds only masks and outlines",)
    assert write("masks", tmp_path / "masks", [one], HEADER).left_out == 1
    write("label-studio", tmp_path / "a.label-studio.json", [one], HEADER, polygons=True)
    (task,) = json.loads((tmp_path / "a.label-studio.json").read_text())
    polygon, box, label = task["predictions"][0]["result"]
    np.testing.assert_allclose(np.array(polygon["value"]["points"]) * SIZE / 100, outline)
    assert (box["type"], box["from_name"], label["value"]["labels"]) == ("rectangle", "box", ["b"])
