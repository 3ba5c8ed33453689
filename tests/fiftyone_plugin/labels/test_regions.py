"""FiftyOne's labels as prompts, and regions as FiftyOne's labels."""

from __future__ import annotations

import math

import cv2
import fiftyone as fo
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.regions import (
    MAX_CLASSES,
    LabelRegion,
    UnusableLabel,
    class_of,
    detection_of,
    mask_update,
    regions_of,
)
from pam_labeling.regions import Provenance, Region, Scores

SIZE = (100, 80)
NAN = float("nan")


def region_of(mask, label=None):
    return Region.from_mask(mask, Scores(0.9, 0.9), Provenance("nano", "0"), label=label)


def disc(size=SIZE, centre=(40, 30), radius=12):
    mask = np.zeros((size[1], size[0]), np.uint8)
    return cv2.circle(mask, centre, radius, 1, -1).astype(bool)


def only(label, size=SIZE, **options):
    (result,) = regions_of(label, size, **options)
    return result


def reason(label, size=SIZE, **options):
    result = only(label, size, **options)
    assert isinstance(result, UnusableLabel)
    assert result.label_id == label.id
    return result.reason


def test_a_detection_points_with_its_box_in_pixels():
    detection = fo.Detection(label="cat", bounding_box=[0.1, 0.25, 0.5, 0.5])
    result = only(detection)
    assert isinstance(result, LabelRegion)
    assert result.prompt.box == pytest.approx((10, 20, 60, 60))
    assert (result.label_id, result.label, result.document) == (detection.id, "cat", detection)


def test_detections_keep_their_order_and_only_those_asked_for_are_read():
    boxes = [[0.1 * n, 0.1, 0.1, 0.1] for n in range(5)]
    detections = fo.Detections(detections=[fo.Detection(bounding_box=box) for box in boxes])
    ids = [detection.id for detection in detections.detections]
    assert [result.label_id for result in regions_of(detections, SIZE)] == ids
    some = regions_of(detections, SIZE, label_ids=[ids[3], ids[1]])
    assert [result.label_id for result in some] == [ids[1], ids[3]]


@pytest.mark.parametrize("empty", [fo.Detections(), fo.Detections(detections=[]), fo.Polylines()])
def test_an_empty_list_has_no_regions(empty):
    assert regions_of(empty, SIZE) == []


def test_a_box_partly_outside_is_cut_at_the_images_edges():
    result = only(fo.Detection(bounding_box=[-0.2, 0.5, 0.5, 0.9]))
    assert result.prompt.box == pytest.approx((0, 40, 30, 80))


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([1.2, 0.1, 0.2, 0.2], "outside the image of 100 x 80"),
        ([-0.5, 0.1, 0.2, 0.2], "outside the image"),
        ([0.1, 0.1, 0, 0.2], "is empty"),
        ([0.1, 0.1, 0.2, NAN], "not finite"),
        (None, "no bounding box"),
        ([], "no bounding box"),
    ],
)
def test_a_box_that_points_at_nothing_gets_a_sentence(box, said):
    assert said in reason(fo.Detection(bounding_box=box))


def test_a_bad_label_leaves_the_others_of_its_image_alone():
    good, bad = [0.1, 0.1, 0.2, 0.2], [2, 2, 1, 1]
    found = regions_of(
        fo.Detections(detections=[fo.Detection(bounding_box=box) for box in (good, bad, good)]),
        SIZE,
    )
    assert [type(result) for result in found] == [LabelRegion, UnusableLabel, LabelRegion]


@pytest.mark.parametrize("dtype", [bool, np.uint8])
@pytest.mark.parametrize("scale", [1, 3])
def test_an_instance_mask_points_at_its_pixels(dtype, scale):
    truth = disc()
    detection = fo.Detection.from_mask(truth)
    fine = detection.mask.repeat(scale, axis=0).repeat(scale, axis=1)
    detection.mask = fine.astype(dtype) * (255 if dtype is np.uint8 else 1)
    assert np.array_equal(only(detection).prompt.mask, truth)


def test_a_mask_file_points_at_its_pixels(tmp_path):
    truth = disc()
    detection = fo.Detection.from_mask(truth)
    detection.export_mask(str(tmp_path / "mask.png"), update=True)
    assert detection.mask is None
    assert np.array_equal(only(detection).prompt.mask, truth)


def test_a_missing_mask_file_is_named():
    detection = fo.Detection(bounding_box=[0, 0, 1, 1], mask_path="/nowhere/mask.png")
    assert "/nowhere/mask.png: there is no such file" in reason(detection)


def test_the_box_points_where_masks_are_not_to_be_used():
    detection = fo.Detection(bounding_box=[0.1, 0.1, 0.5, 0.5], mask=np.zeros((4, 4), bool))
    assert "mask is empty" in reason(detection)
    assert only(detection, use_masks=False).prompt.mask is None


def test_a_mask_smaller_than_a_pixel_gets_a_sentence():
    detection = fo.Detection(bounding_box=[0.101, 0.101, 0.001, 0.001], mask=np.ones((4, 4), bool))
    assert "mask is empty" in reason(detection)


def test_a_filled_polyline_points_at_its_inside():
    square = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.5)]
    mask = only(fo.Polyline(points=[square], filled=True, closed=True)).prompt.mask
    assert mask[8:40, 10:50].all()
    assert mask.sum() == pytest.approx(32 * 40, rel=0.1)


def test_the_shapes_of_a_filled_polyline_are_one_object_with_holes():
    outer = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.5)]
    hole = [(0.2, 0.2), (0.4, 0.2), (0.4, 0.4), (0.2, 0.4)]
    apart = [(0.7, 0.7), (0.9, 0.7), (0.9, 0.9), (0.7, 0.9)]
    mask = only(fo.Polyline(points=[outer, hole, apart], filled=True, closed=True)).prompt.mask
    assert not mask[24, 30]
    assert mask[12, 15]
    assert mask[64, 80]


def test_a_polyline_comes_back_from_a_mask_nearly():
    truth = disc(radius=20)
    mask = only(fo.Polyline.from_mask(truth, tolerance=0.5)).prompt.mask
    assert (mask & truth).sum() / (mask | truth).sum() > 0.9


def test_an_open_polyline_points_with_the_box_around_all_its_shapes():
    shapes = [[(0.1, 0.2), (0.3, 0.4)], [(0.5, 0.1), (0.6, 0.3)]]
    prompt = only(fo.Polyline(points=shapes)).prompt
    assert prompt.box == pytest.approx((10, 8, 60, 32))


def test_a_line_along_an_axis_has_the_width_of_a_pixel():
    prompt = only(fo.Polyline(points=[[(0.1, 0.5), (0.9, 0.5)]])).prompt
    assert prompt.box == pytest.approx((10, 39.5, 90, 40.5))


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 135, -30, 180])
def test_a_closed_rectangle_points_with_a_turned_box(degrees):
    polyline = fo.Polyline.from_rotated_box(50, 40, 40, 16, math.radians(degrees), frame_size=SIZE)
    prompt = only(polyline).prompt
    corners = np.asarray(polyline.points[0]) * SIZE
    distances = np.linalg.norm(corners[:, None] - prompt.box_corners[None], axis=2)
    assert distances.min(axis=1).max() < 0.01
    assert -45 <= prompt.angle <= 45


def test_a_rectangle_that_ends_where_it_starts_is_a_box():
    corners = [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.5), (0.1, 0.1)]
    prompt = only(fo.Polyline(points=[corners], closed=True)).prompt
    assert prompt.box == pytest.approx((10, 8, 50, 40))


@pytest.mark.parametrize(
    "corners",
    [
        [(0.1, 0.1), (0.5, 0.1), (0.3, 0.5)],
        [(0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.3)],
        [(0.1, 0.1), (0.5, 0.1), (0.7, 0.5), (0.3, 0.5)],
        [(0.1, 0.1), (0.5, 0.1), (0.5, 0.1), (0.1, 0.1)],
    ],
)
def test_a_closed_outline_that_is_no_rectangle_points_with_its_box(corners):
    prompt = only(fo.Polyline(points=[corners], closed=True)).prompt
    assert prompt.angle == 0
    low, high = np.min(corners, axis=0) * SIZE, np.max(corners, axis=0) * SIZE
    assert prompt.box == pytest.approx((*low, *high), abs=0.51)


@pytest.mark.parametrize(
    ("points", "filled", "said"),
    [
        ([], False, "no points"),
        ([[]], True, "no points"),
        ([[(0.1, 0.1), (0.2, 0.2)]], True, "three points"),
        ([[(0.1, NAN), (0.2, 0.2)]], False, "not a pair of finite numbers"),
        ([[(2, 2), (3, 2), (3, 3)]], True, "outside the image"),
        ([[(2, 2), (3, 3)]], False, "outside the image"),
    ],
)
def test_a_polyline_that_points_at_nothing_gets_a_sentence(points, filled, said):
    assert said in reason(fo.Polyline(points=points, filled=filled, closed=filled))


def test_keypoints_that_are_there_are_positive_points():
    keypoint = fo.Keypoint(points=[(0.1, 0.1), (NAN, NAN), (0.5, 0.5), (1.5, 0.5)])
    prompt = only(keypoint).prompt
    assert prompt.points.tolist() == pytest.approx(np.array([[10, 8], [50, 40]]))
    assert prompt.point_labels.all()


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([], "no points"),
        ([(NAN, NAN)], "all its points are missing"),
        ([(1.5, 0.5), (NAN, NAN)], "outside the image"),
    ],
)
def test_a_keypoint_that_points_at_nothing_gets_a_sentence(points, said):
    assert said in reason(fo.Keypoint(points=points))


def test_lists_of_polylines_and_keypoints_are_read_one_by_one():
    line, point = fo.Polyline(points=[[(0.1, 0.1), (0.2, 0.2)]]), fo.Keypoint(points=[(0.1, 0.1)])
    assert only(fo.Polylines(polylines=[line])).label_id == line.id
    assert only(fo.Keypoints(keypoints=[point])).label_id == point.id


def class_map(dtype=np.uint8, size=SIZE):
    values = np.zeros((size[1], size[0]), dtype)
    values[10:20, 10:30] = 7
    values[40:60, 50:90] = 200
    return values


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64])
def test_each_class_of_a_segmentation_is_a_region(dtype):
    values = class_map(dtype)
    segmentation = fo.Segmentation(mask=values)
    found = regions_of(segmentation, SIZE, mask_targets={7: "road"})
    assert [result.label_id for result in found] == [
        f"{segmentation.id}:7",
        f"{segmentation.id}:200",
    ]
    assert [result.label for result in found] == ["road", None]
    assert [class_of(result.label_id) for result in found] == ["7", "200"]
    for result, value in zip(found, (7, 200), strict=True):
        assert np.array_equal(result.prompt.mask, values == value)


def test_a_segmentation_of_another_resolution_is_stretched_over_the_image():
    found = regions_of(fo.Segmentation(mask=class_map()), (200, 160))
    fine = class_map().repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(found[0].prompt.mask, fine == 7)


def test_a_segmentation_with_one_channel_is_read():
    found = regions_of(fo.Segmentation(mask=class_map()[:, :, None]), SIZE)
    assert [class_of(result.label_id) for result in found] == ["7", "200"]


def test_a_segmentation_file_is_read(tmp_path):
    segmentation = fo.Segmentation(mask=class_map())
    segmentation.export_mask(str(tmp_path / "classes.png"), update=True)
    assert [class_of(result.label_id) for result in regions_of(segmentation, SIZE)] == ["7", "200"]


@pytest.mark.parametrize("from_file", [False, True])
def test_the_colours_of_a_segmentation_are_its_classes(tmp_path, from_file):
    values = np.zeros((80, 100, 3), np.uint8)
    values[10:20, 10:30] = (255, 0, 16)
    if from_file:
        Image.fromarray(values).save(tmp_path / "colours.png")
        segmentation = fo.Segmentation(mask_path=str(tmp_path / "colours.png"))
    else:
        segmentation = fo.Segmentation(mask=values)
    result = only(segmentation, mask_targets={"#ff0010": "car"})
    assert (result.label_id, result.label) == (f"{segmentation.id}:#ff0010", "car")
    assert result.prompt.mask.sum() == 10 * 20


def test_only_the_segmentation_or_the_class_asked_for_is_read():
    segmentation = fo.Segmentation(mask=class_map())
    assert regions_of(segmentation, SIZE, label_ids=["another"]) == []
    assert len(regions_of(segmentation, SIZE, label_ids=[segmentation.id])) == 2
    one = only(segmentation, label_ids=[f"{segmentation.id}:200"])
    assert class_of(one.label_id) == "200"


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        (fo.Segmentation(), "no mask"),
        (fo.Segmentation(mask_path="/nowhere/mask.png"), "/nowhere/mask.png"),
        (fo.Segmentation(mask=np.zeros((2, 2, 2))), "shape"),
        (
            fo.Segmentation(mask=np.arange(MAX_CLASSES + 2, dtype=np.int64).reshape(1, -1)),
            "a class map has at most",
        ),
    ],
)
def test_a_segmentation_that_cannot_be_read_gets_a_sentence(segmentation, said):
    assert said in reason(segmentation, (MAX_CLASSES + 2, 1))


@pytest.mark.parametrize("label", [fo.Classification(label="cat"), None, fo.Heatmap()])
def test_a_label_without_regions_is_refused(label):
    with pytest.raises(PluginError, match="has no regions; choose a field of Detections"):
        regions_of(label, SIZE)


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))).filter(np.any))
def test_a_region_comes_back_from_its_detection_exactly(mask):
    size = (mask.shape[1], mask.shape[0])
    detection = detection_of(region_of(mask))
    assert np.array_equal(only(detection, size).prompt.mask, mask)


def test_a_detection_says_in_fiftyone_what_the_region_is():
    mask = disc()
    detection = detection_of(region_of(mask, label="disc"))
    assert detection.label == "disc"
    assert np.array_equal(detection.to_segmentation(frame_size=SIZE).mask > 0, mask)


def test_a_new_detection_takes_what_its_source_has_but_not_its_id():
    source = fo.Polyline(
        label="kite", points=[[(0.1, 0.1), (0.2, 0.2)]], tags=["checked"], index=4, weight=2.5
    )
    detection = detection_of(region_of(disc(), label="disc"), source=source, caption="A disc.")
    assert (detection.label, detection.tags, detection.index) == ("kite", ["checked"], 4)
    assert (detection.weight, detection.caption) == (2.5, "A disc.")
    assert detection.id != source.id
    detection.tags.append("new")
    assert source.tags == ["checked"]


def test_a_new_detection_takes_no_list_of_confidences():
    source = fo.Keypoint(points=[(0.1, 0.1)], confidence=[0.5])
    assert detection_of(region_of(disc()), source=source).confidence is None
    source = fo.Detection(confidence=0.25)
    assert detection_of(region_of(disc()), source=source).confidence == 0.25


def test_a_mask_update_makes_the_box_tight():
    region = region_of(disc())
    update = mask_update(region)
    assert set(update) == {"mask", "mask_path", "bounding_box"}
    assert update["mask_path"] is None
    assert np.array_equal(only(fo.Detection(**update)).prompt.mask, region.mask)


def test_a_mask_update_keeps_the_box_and_cuts_the_mask_at_it():
    region, box = region_of(disc()), [0.3, 0.3, 0.2, 0.2]
    update = mask_update(region, keep_box=box)
    assert set(update) == {"mask", "mask_path"}
    found = only(fo.Detection(bounding_box=box, **update)).prompt.mask
    inside = np.zeros_like(found)
    inside[24:40, 30:50] = region.mask[24:40, 30:50]
    assert np.array_equal(found, inside)


def test_a_mask_update_in_a_file_clears_the_mask_in_the_document(tmp_path):
    region = region_of(disc())
    update = mask_update(region, file=tmp_path / "a.png")
    assert update["mask"] is None
    assert update["mask_path"] == str(tmp_path / "a.png")
    assert np.array_equal(only(fo.Detection(**update)).prompt.mask, region.mask)


def test_a_mask_update_shares_no_memory_with_the_region():
    region = region_of(disc())
    update = mask_update(region)
    update["mask"][:] = False
    assert region.area == disc().sum()
