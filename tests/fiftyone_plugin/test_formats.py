"""What `pam_labeling.formats` writes, read by FiftyOne's own importers."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import numpy as np
import pytest

from pam_labeling.formats import write
from tests.hard_shapes import HEADER, SIZE, hard_entries, masks_of

# pycocotools', as FiftyOne calls it.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def entries(tmp_path):
    return hard_entries(tmp_path / "pics")


def read(dataset_type, **places):
    dataset = fo.Dataset.from_dir(dataset_type=dataset_type, **places)
    samples = {sample.filepath: sample for sample in dataset}
    dataset.delete()
    return samples


def full_mask(detection):
    """The mask of the whole image, bool `(height, width)`."""
    x, y = round(detection.bounding_box[0] * SIZE[0]), round(detection.bounding_box[1] * SIZE[1])
    mask = np.zeros(SIZE[::-1], bool)
    height, width = detection.mask.shape
    mask[y : y + height, x : x + width] = detection.mask
    return mask


@pytest.mark.parametrize("polygons", [False, True])
def test_coco(tmp_path, entries, polygons):
    path = tmp_path / "all.coco.json"
    write("coco", path, iter(entries), HEADER, polygons=polygons)
    samples = read(
        fo.types.COCODetectionDataset,
        data_path=str(tmp_path / "pics"),
        labels_path=str(path),
        label_types="segmentations",
        extra_attrs=True,
    )
    for one in entries[:3]:
        found = samples[one["file"]].ground_truth.detections
        for detection, region, mask in zip(found, one["regions"], masks_of(one), strict=True):
            assert detection.label == (region["label"] or "unlabelled")
            assert detection.confidence == region["scores"]["iou"]
            assert detection["texts"] == region["texts"] if region["texts"] else True
            np.testing.assert_array_equal(full_mask(detection), mask)
    assert entries[3]["file"] in samples


def test_yolo_boxes(tmp_path, entries):
    target = tmp_path / "set"
    write("yolo-box", target, iter(entries), HEADER, copy_images=True)
    samples = read(
        fo.types.YOLOv5Dataset, dataset_dir=str(target), yaml_path="data.yaml", split="train"
    )
    for one in entries[:3]:
        name = Path(one["file"]).relative_to(tmp_path / "pics")
        found = samples[str(target / "images" / name)].ground_truth.detections
        for detection, region in zip(found, one["regions"], strict=True):
            assert detection.label == (region["label"] or "unlabelled")
            x, y, width, height = np.array(detection.bounding_box) * [*SIZE, *SIZE]
            np.testing.assert_allclose([x, y, x + width, y + height], region["box"], atol=1e-3)


def test_yolo_segments(tmp_path, entries):
    target = tmp_path / "set"
    write("yolo-seg", target, iter(entries), HEADER, copy_images=True)
    samples = read(
        fo.types.YOLOv5Dataset,
        dataset_dir=str(target),
        yaml_path="data.yaml",
        split="train",
        label_type="polylines",
    )
    name = Path(entries[1]["file"]).relative_to(tmp_path / "pics")
    found = samples[str(target / "images" / name)].ground_truth.polylines
    for polyline, mask in zip(found, masks_of(entries[1]), strict=True):
        detection = polyline.to_detection(frame_size=SIZE, mask_size=SIZE)
        assert polyline.label == "猫"
        assert detection is not None
        (points,) = polyline.points
        pixels = np.floor(np.array(points) * SIZE).astype(int)
        assert mask[pixels[:, 1], pixels[:, 0]].all()


def test_voc(tmp_path, entries):
    target = tmp_path / "set"
    write("voc", target, iter(entries), HEADER)
    samples = read(
        fo.types.VOCDetectionDataset,
        data_path=str(tmp_path / "pics"),
        labels_path=str(target / "Annotations"),
    )
    for one in entries[:3]:
        found = samples[one["file"]].ground_truth.detections
        for detection, region in zip(found, one["regions"], strict=True):
            x, y, width, height = np.array(detection.bounding_box) * [*SIZE, *SIZE]
            # FiftyOne takes VOC's pixels as they are, though they count from 1.
            x1, y1, *far = region["box"]
            expected = [x1 + 1, y1 + 1, *far]
            np.testing.assert_allclose([x, y, x + width, y + height], expected, atol=1e-3)
            assert detection.label == (region["label"] or "unlabelled")
