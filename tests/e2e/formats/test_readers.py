"""What the writers write, read by programs that need an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from label_studio_backend.config.template import build_config
from pam_labeling.formats import write
from pam_labeling.formats.shapes import fill
from tests.hard_shapes import (
    HEADER,
    SIZE,
    draw,
    drawn_outline,
    entry,
    hard_entries,
    masks_of,
    parts,
    region,
    ring,
)

ROOT = Path(__file__).parents[3]
READER = Path(__file__).with_name("reader.py")
UNLABELLED = "unlabelled"


@pytest.fixture(scope="session")
def python():
    environment = Path(os.environ.get("FORMATS_VENV", ROOT / ".venv-formats"))
    program = environment.absolute() / "bin" / "python"
    if not program.exists():
        pytest.fail(
            f"there are no readers in {environment}. `make e2e` installs them; "
            "scripts/set_up_formats does only that"
        )
    return program


@pytest.fixture
def read(python, tmp_path):
    """What a reader of the other environment found."""

    def run(reader, *arguments):
        answer = tmp_path / "answer.json"
        command = [python, READER, reader, answer, *arguments]
        home = {"YOLO_CONFIG_DIR": str(tmp_path), "YOLO_AUTOINSTALL": "false"}
        # In another folder: what is relative to data.yaml must not be to the current one.
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **home},
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return json.loads(answer.read_text(encoding="utf-8"))

    return run


@pytest.fixture
def entries(tmp_path):
    return [one for one in hard_entries(tmp_path / "pics") if one["error"] is None]


@pytest.fixture
def flat_entries(tmp_path):
    """In one folder, with different names: datumaro looks no deeper for YOLO's files."""
    found = [
        entry(tmp_path / "flat" / "a b.png", [region(ring(), 'cup, "big"'), region(parts())]),
        entry(tmp_path / "flat" / "名字.png", [region(parts(), "猫")]),
    ]
    for one in found:
        draw(one["file"])
    return found


def names(tmp_path, entries):
    return [str(Path(one["file"]).relative_to(tmp_path / "pics")) for one in entries]


def labels_of(one):
    return [each["label"] or UNLABELLED for each in one["regions"]]


def boxes_of(one):
    return [each["box"] for each in one["regions"]]


def rows_of(mask):
    """A mask as the reader's answer has it."""
    return ["".join(str(int(pixel)) for pixel in row) for row in mask]


def shares(boxes):
    """Boxes as YOLO's files have them, in pixels."""
    return pytest.approx(np.array(boxes, dtype=float).reshape(-1, 4), abs=1e-3)


def test_ultralytics_reads_boxes(tmp_path, entries, read):
    folder = tmp_path / "a.yolo-box"
    write("yolo-box", folder, entries, HEADER, copy_images=True)
    found = read("ultralytics", folder, "detect")
    assert sorted(found) == sorted(names(tmp_path, entries))
    for name, one in zip(names(tmp_path, entries), entries, strict=True):
        assert found[name]["labels"] == labels_of(one)
        assert np.array(found[name]["boxes"]).reshape(-1, 4) == shares(boxes_of(one))


def test_ultralytics_reads_segments(tmp_path, entries, read):
    outline = [(3.25, 4.5), (30.75, 4.5), (20, 25.125)]
    drawn = entry(tmp_path / "pics" / "drawn.png", [drawn_outline(outline, "猫")])
    draw(drawn["file"])
    folder = tmp_path / "a.yolo-seg"
    write("yolo-seg", folder, [*entries, drawn], HEADER, copy_images=True)
    found = read("ultralytics", folder, "segment")
    assert sorted(found) == sorted([*names(tmp_path, entries), "drawn.png"])
    assert np.array(found["drawn.png"]["outlines"][0]) == pytest.approx(np.array(outline), abs=1e-3)
    for name, one in zip(names(tmp_path, entries), entries, strict=True):
        assert found[name]["labels"] == labels_of(one)
        for read_outline, mask in zip(found[name]["outlines"], masks_of(one), strict=True):
            ys, xs = np.nonzero(mask)
            centres = np.stack([xs, ys], axis=1)
            # Each point is in a pixel at the edge; bridges lead from one to another.
            for point in read_outline:
                assert np.abs(centres + 0.5 - point).max(axis=1).min() <= 1


def test_datumaro_reads_yolo(tmp_path, flat_entries, read):
    folder = tmp_path / "a.yolo-box"
    write("yolo-box", folder, flat_entries, HEADER, copy_images=True)
    found = read("datumaro", folder, "yolo")
    for one in flat_entries:
        annotations = found[Path(one["file"]).stem]
        assert [each["label"] for each in annotations] == labels_of(one)
        assert np.array([each["box"] for each in annotations]) == shares(boxes_of(one))


def test_datumaro_reads_coco(tmp_path, entries, read):
    path = tmp_path / "set" / "annotations" / "instances_all.json"
    path.parent.mkdir(parents=True)
    (tmp_path / "set" / "images").symlink_to(tmp_path / "pics")
    write("coco", path, entries, HEADER)
    found = read("datumaro", tmp_path / "set", "coco_instances")
    for name, one in zip(names(tmp_path, entries), entries, strict=True):
        # It gives the box of each mask besides, and another order.
        annotations = [
            (each["label"], each["mask"])
            for each in found[Path(name).with_suffix("").as_posix()]
            if each["type"] == "mask"
        ]
        expected = zip(labels_of(one), map(rows_of, masks_of(one)), strict=True)
        assert sorted(annotations) == sorted(expected)


def test_datumaro_reads_voc(tmp_path, entries, read):
    folder = tmp_path / "a.voc"
    write("voc", folder, entries, HEADER)
    found = read("datumaro", folder, "voc_detection")
    for name, one in zip(names(tmp_path, entries), entries, strict=True):
        annotations = found[Path(name).with_suffix("").as_posix()]
        assert [each["label"] for each in annotations] == labels_of(one)
        assert [each["box"] for each in annotations] == boxes_of(one)
        texts = [each["attributes"].get("definition") for each in annotations]
        assert texts == [each["texts"].get("definition") for each in one["regions"]]


def accepted(path, config_path, labels):
    """The tasks with each prediction as an annotation, as in an export; and the config."""
    tasks = json.loads(path.read_text(encoding="utf-8"))
    for number, task in enumerate(tasks, start=1):
        (prediction,) = task.pop("predictions")
        task |= {"id": number, "annotations": [{"id": number, "result": prediction["result"]}]}
    path.write_text(json.dumps(tasks), encoding="utf-8")
    is_brush = config_path.stem == "brush"
    geometry = "brush" if is_brush else "polygon"
    config_path.write_text(build_config(labels, geometry=geometry), encoding="utf-8")
    assert ET.parse(config_path).getroot().tag == "View"


def test_label_studios_converter_reads_brushes(tmp_path, entries, read):
    path, config = tmp_path / "a.label-studio.json", tmp_path / "brush.xml"
    write("label-studio", path, entries, HEADER)
    accepted(path, config, ['cup, "big"', "猫", "-dash"])
    found = read("label-studio", config, path)["brushes"]
    for name, one in zip(names(tmp_path, entries), entries, strict=True):
        assert [rows for _, rows in found[name]] == [rows_of(mask) for mask in masks_of(one)]


def test_label_studios_converter_makes_coco_of_outlines(tmp_path, entries, read):
    path, config = tmp_path / "a.label-studio.json", tmp_path / "polygon.xml"
    labelled = [
        one | {"regions": [each for each in one["regions"] if each["label"]]} for one in entries
    ]
    write("label-studio", path, labelled, HEADER, polygons=True)
    accepted(path, config, ['cup, "big"', "猫", "-dash"])
    coco = read("label-studio", config, path)["coco"]
    categories = {one["id"]: one["name"] for one in coco["categories"]}
    for image, one in zip(coco["images"], labelled, strict=True):
        for label in dict.fromkeys(labels_of(one)):
            outlines = [
                np.array(each["segmentation"][0]).reshape(-1, 2).tolist()
                for each in coco["annotations"]
                if each["image_id"] == image["id"] and categories[each["category_id"]] == label
            ]
            regions = zip(labels_of(one), masks_of(one), strict=True)
            wanted = [mask for said, mask in regions if said == label]
            # Several outlines may be one region.
            np.testing.assert_array_equal(fill(outlines, SIZE), np.any(wanted, axis=0))
