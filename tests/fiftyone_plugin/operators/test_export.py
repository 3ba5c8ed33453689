""""""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

from fiftyone_plugin.errors import PluginError
from pam_labeling.errors import InputError
from pam_labeling.formats import FORMATS
from tests.fiftyone_plugin.app import amount_in, context, form_of, messages_of, notes_of
from tests.fiftyone_plugin.conftest import documents, scene
from tests.fiftyone_plugin.operators.exported import FIELD, loaded, regions_in

# pycocotools', as FiftyOne and these tests call it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_masks_labels_and_boxes_survive_coco(export, scene_dataset, tmp_path, capsys):
    dataset = scene_dataset(0, 1)
    before = documents(dataset)
    report = export(dataset, field=FIELD, output=tmp_path / "all.coco.json")
    assert report["regions"] == dataset.count(f"{FIELD}.detections")
    assert (report["images"], report["left_out"], report["notes"]) == (2, 0, [])
    read, found, names = loaded(report)
    for seed, sample in enumerate(dataset):
        annotations = found[f"scene-{seed}.png"]
        for annotation, item, label in zip(
            annotations, scene(seed).objects, sample[FIELD].detections, strict=True
        ):
            np.testing.assert_array_equal(read.annToMask(annotation), item.mask)
            assert names[annotation["category_id"]] == label.label
    assert documents(dataset) == before


def test_fiftyone_imports_what_was_exported(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1)
    report = export(dataset, field=FIELD, output=tmp_path, to="coco")
    assert report["output"] == str(tmp_path / "regions.coco.json")
    again = fo.Dataset.from_dir(
        dataset_type=fo.types.COCODetectionDataset,
        data_path=report["root"],
        labels_path=report["output"],
        label_types="segmentations",
    )
    samples = {one.filepath: one[FIELD].detections for one in again}
    again.delete()
    for sample in dataset:
        for back, label in zip(samples[sample.filepath], sample[FIELD].detections, strict=True):
            assert back.label == label.label
            np.testing.assert_allclose(back.bounding_box, label.bounding_box, atol=1e-6)
            np.testing.assert_array_equal(back.mask, label.mask)


@pytest.fixture
def drawn(new_dataset, tmp_path):
    """A dataset of one picture of 40 x 20 pixels with the labels that are given."""
    file = tmp_path / "pics" / "drawn.png"
    file.parent.mkdir()
    Image.new("RGB", (40, 20)).save(file)

    def make(**fields):
        dataset = new_dataset()
        dataset.add_sample(fo.Sample(filepath=str(file), **fields), dynamic=True)
        return dataset

    return make


def test_a_mask_on_disk_is_exported(export, drawn, tmp_path):
    mask = np.zeros((10, 20), np.uint8)
    mask[2:5, 3:9] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    box = fo.Detection(
        label="cup", bounding_box=[0.25, 0.5, 0.5, 0.5], mask_path=str(tmp_path / "mask.png")
    )
    dataset = drawn(one=box)
    read, found, _ = loaded(export(dataset, field="one", output=tmp_path / "a.coco.json"))
    (annotation,) = found["drawn.png"]
    placed = np.zeros((20, 40), np.uint8)
    placed[12:15, 13:19] = 1
    np.testing.assert_array_equal(read.annToMask(annotation), placed)
    assert annotation["bbox"] == [10, 10, 20, 10]


def test_a_mask_that_is_gone_is_counted_with_its_reason(export, drawn, tmp_path):
    box = fo.Detection(label="cup", bounding_box=[0, 0, 1, 1], mask_path="/nowhere/mask.png")
    other = fo.Detection(label="cup", bounding_box=[0.5, 0, 1, 0.5])
    dataset = drawn(boxes=fo.Detections(detections=[box, other]))
    report = export(dataset, field="boxes", output=tmp_path / "a.voc")
    assert (report["regions"], report["left_out"]) == (1, 1)
    (note,) = report["notes"]
    assert box.id in note
    assert "/nowhere/mask.png: there is no such file" in note


def test_a_box_is_cut_at_the_images_edges(export, drawn, tmp_path):
    dataset = drawn(one=fo.Detection(label="a", bounding_box=[0.5, -0.5, 1, 0.75]))
    report = export(dataset, field="one", output=tmp_path / "a.yolo-box")
    (line,) = (Path(report["output"]) / "labels" / "drawn.txt").read_text().splitlines()
    assert [float(number) for number in line.split()] == [0, 0.75, 0.125, 0.5, 0.25]


SQUARE = [(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)]
INNER = [(0.375, 0.375), (0.625, 0.375), (0.625, 0.625), (0.375, 0.625)]


@pytest.mark.parametrize("filled", [False, True])
def test_a_closed_line_is_an_outline_with_its_points(export, drawn, tmp_path, filled):
    line = fo.Polyline(label="a", points=[SQUARE], closed=True, filled=filled)
    dataset = drawn(line=line)
    _, found, _ = loaded(export(dataset, field="line", output=tmp_path / "a.coco.json"))
    (annotation,) = found["drawn.png"]
    assert annotation["segmentation"] == [[10, 5, 30, 5, 30, 15, 10, 15]]
    assert (annotation["bbox"], annotation["area"]) == ([10, 5, 20, 10], 200)
    report = export(dataset, field="line", output=tmp_path / "a.yolo-seg")
    text = (Path(report["output"]) / "labels" / "drawn.txt").read_text()
    assert [float(number) for number in text.split()[1:]] == [n for point in SQUARE for n in point]


@pytest.mark.parametrize(
    ("shapes", "pixels"),
    [
        ([SQUARE, INNER], 200 - 50),  # a hole
        ([[(x + 0.5, y) for x, y in SQUARE]], 100),  # half of it is outside
    ],
)
def test_a_line_with_a_hole_or_outside_is_a_mask(export, drawn, tmp_path, shapes, pixels):
    dataset = drawn(line=fo.Polyline(label="a", points=shapes, closed=True, filled=True))
    read, found, _ = loaded(export(dataset, field="line", output=tmp_path / "a.coco.json"))
    (annotation,) = found["drawn.png"]
    assert read.annToMask(annotation).sum() == annotation["area"] == pixels


def test_two_parts_stay_two_outlines(export, drawn, tmp_path):
    parts = [[(x / 2, y) for x, y in SQUARE], [(x / 2 + 0.5, y) for x, y in SQUARE]]
    dataset = drawn(line=fo.Polyline(label="a", points=parts, closed=True, filled=True))
    _, found, _ = loaded(export(dataset, field="line", output=tmp_path / "a.coco.json"))
    assert len(found["drawn.png"][0]["segmentation"]) == 2


def lines_and_points():
    return {
        "lines": fo.Polylines(polylines=[fo.Polyline(label="road", points=[SQUARE[:2]])]),
        "points": fo.Keypoints(
            keypoints=[fo.Keypoint(label="nose", points=[(0.5, 0.5), (float("nan"),) * 2])]
        ),
    }


@pytest.mark.parametrize(("field", "noun"), [("lines", "open polylines"), ("points", "keypoints")])
def test_what_has_no_extent_is_counted_where_it_cannot_be(export, drawn, tmp_path, field, noun):
    dataset = drawn(**lines_and_points())
    report = export(dataset, field=field, output=tmp_path / "a.coco.json")
    assert (report["images"], report["regions"], report["left_out"]) == (1, 0, 1)
    assert report["notes"] == [f"coco leaves out 1 {noun}; json, csv, parquet, pam-data hold them"]


def test_points_and_lines_are_prompts_elsewhere(export, drawn, tmp_path):
    dataset = drawn(**lines_and_points())
    (point,) = regions_in(export(dataset, field="points", output=tmp_path / "points.json"))
    assert point["prompt"]["points"] == [[20, 10, True]]
    (line,) = regions_in(export(dataset, field="lines", output=tmp_path / "lines.json"))
    assert line["prompt"]["box"] == [10, 4.5, 30, 5.5]
    report = export(dataset, field="points", output=tmp_path / "points.pam-data")
    (file,) = Path(report["output"]).rglob("*.jsonl")
    written = json.loads(file.read_text(encoding="utf-8"))
    assert (written["points"], written["labels"], written["bbox"]) == ([[20, 10]], [1], None)


def test_each_class_of_a_segmentation_is_a_region(export, drawn, tmp_path):
    mask = np.zeros((20, 40), np.uint8)
    mask[2:6, 3:9], mask[10:12, 20:30] = 7, 9
    dataset = drawn(classes=fo.Segmentation(mask=mask, note={"7": "a road"}))
    dataset.mask_targets["classes"] = {7: "road"}
    read, found, names = loaded(export(dataset, field="classes", output=tmp_path / "a.coco.json"))
    road, other = found["drawn.png"]
    np.testing.assert_array_equal(read.annToMask(road), mask == 7)
    np.testing.assert_array_equal(read.annToMask(other), mask == 9)
    assert [names[one["category_id"]] for one in (road, other)] == ["road", "unlabelled"]
    assert road["attributes"] == {"note": "a road"}
    assert "attributes" not in other


def test_attributes_tags_and_confidence_are_kept(export, drawn, tmp_path):
    box = fo.Detection(
        label='cup, "big"',
        bounding_box=[0, 0, 1, 1],
        confidence=0.75,
        tags=["checked"],
        mood="=1+1",
        vector=np.zeros(3),
        nothing=float("nan"),
    )
    dataset = drawn(one=box)
    report = export(dataset, field="one", output=tmp_path / "a.csv")
    text = Path(report["output"]).read_text(encoding="utf-8-sig")
    (row,) = csv.DictReader(io.StringIO(text, newline=""))
    assert (row["label"], row["score"], row["mood"]) == ('cup, "big"', "0.75", "'=1+1")
    assert json.loads(row["tags"]) == ["checked"]
    (note,) = report["notes"]
    assert note.endswith("are left out: nothing, vector")


def test_the_dataset_says_the_classes_and_their_order(export, drawn, tmp_path):
    dataset = drawn(one=fo.Detection(label="cup", bounding_box=[0, 0, 1, 1]))
    dataset.classes["one"] = ["plate", "cup"]
    dataset.save()
    *_, names = loaded(export(dataset, field="one", output=tmp_path / "a.coco.json"))
    assert list(names.values()) == ["plate", "cup"]


# What cannot be done


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"output": "regions"}, "the name must end with one of .coco.json"),
        ({"output": "a.coco.json", "to": "kitti"}, "the format must be one of coco.*not 'kitti'"),
        ({"output": "a.csv", "to": "coco"}, "'a.csv' is no name for coco: end it .coco.json"),
        ({"output": "there.csv"}, "there.csv is there already: name another file, or delete it"),
        ({"output": "full.masks"}, "full.masks is not empty: name another, or empty it"),
        ({"output": "there.csv/a.voc"}, "a.voc cannot be made: .*there.csv is a file"),
        ({"output": "a.voc", "polygon": True}, 'no parameter "polygon". Did you mean "polygons"'),
        ({"output": "a.voc", "field": "boxes"}, "'boxes' is not a field with regions"),
    ],
)
def test_bad_calls_get_a_sentence_and_write_nothing(
    export, scene_dataset, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    Path("there.csv").write_text("mine", encoding="utf-8")
    Path("full.masks").mkdir()
    Path("full.masks", "mine").touch()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError, match=message):
        export(scene_dataset(0), **{"field": FIELD, **options})
    assert sorted(tmp_path.rglob("*")) == before


def test_a_place_that_cannot_be_written_is_named(export, scene_dataset):
    with pytest.raises(PluginError, match=r"/proc/regions.csv cannot be written: \w"):
        export(scene_dataset(0), field=FIELD, output="/proc/regions.csv")


def test_a_view_without_regions_is_refused(export, scene_dataset, tmp_path):
    view = scene_dataset(0).filter_labels(FIELD, F("label") == "nothing", only_matches=False)
    with pytest.raises(PluginError, match="nothing to export: no region is in 'ground_truth'"):
        export(view, field=FIELD, output=tmp_path / "a.csv")


# In the App


def test_the_form_says_how_much_goes_where(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0)
    properties, refusals = form_of(export, dataset)
    assert refusals == ["Name the file or folder to write."]
    assert set(properties["to"].type.values) == set(FORMATS)
    assert "image_prefix" not in properties
    output = tmp_path / "tasks.label-studio.json"
    chosen = {"to": "label-studio", "output": str(output)}
    properties, refusals = form_of(export, dataset, chosen)
    number = len(scene(0).objects)
    assert amount_in(properties) == f"{number} regions in 1 image, to {output}."
    assert {"polygons", "image_prefix"} <= set(properties)
    assert refusals == []
    output.write_text("mine", encoding="utf-8")
    *_, refusals = form_of(export, dataset, chosen)
    assert refusals == [f"{output} is there already: name another file, or delete it."]


def test_the_app_is_told_what_was_written(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1)
    dataset.set_values("filepath", ["/nowhere.png", dataset.last().filepath])
    params = {"field": FIELD, "to": "voc", "output": str(tmp_path / "set"), "more": False}
    messages = messages_of(export.execute(context(dataset, params)))
    assert messages[0][0].endswith("set_progress")
    ((variant, sentence),) = notes_of(messages)
    assert variant == "warning"
    number = len(scene(1).objects)
    written = f"{number} regions of 1 image written to {tmp_path / 'set'}."
    assert sentence.startswith(f"{written} Voc leaves out 1 failed image. An image that")
    assert (tmp_path / "set" / "Annotations" / "scene-1.xml").exists()


def test_a_worker_keeps_the_report(export, scene_dataset, tmp_path):
    dataset = scene_dataset(0)
    params = {"field": FIELD, "to": "masks", "output": str(tmp_path / "a.masks")}
    report = export.execute(context(dataset, params, delegated=True))
    assert json.loads(json.dumps(report))["regions"] == len(scene(0).objects)
