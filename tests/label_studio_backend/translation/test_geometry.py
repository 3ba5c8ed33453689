"""Label Studio's percents, turned shapes and masks, there and back."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.utils import convert_annotation_to_yolo_obb

from label_studio_backend.translation.geometry import (
    GeometryError,
    box_from_pixels,
    fit_mask,
    number,
    read_ellipse,
    read_point,
    read_polygon,
    read_rectangle,
    stroke_points,
)
from label_studio_backend.translation.mask_shapes import (
    MAX_HOLES,
    MAX_PARTS,
    ellipse_of,
    keypoint_of,
    polygons_of_mask,
    rectangle_of,
)
from pam_labeling.errors import MaskError
from pam_model.cropped_mask import CroppedMask
from pam_model.prompts import Prompt

SIZE = (640, 480)
MASKS = arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 24))).filter(np.any)


def drawn(size, *shapes):
    mask = np.zeros((size[1], size[0]), np.uint8)
    for shape in shapes:
        shape(mask)
    return mask.astype(bool)


def iou(one, other):
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def filled(value, size):
    return Prompt.from_polygon(read_polygon(value, size).tolist(), size).mask


# --- coming in


def test_percents_are_of_width_and_height():
    assert read_point({"x": 25, "y": 75}, SIZE) == (160.0, 360.0)


def test_a_rectangle_becomes_its_box():
    prompt = read_rectangle({"x": 10, "y": 20, "width": 30, "height": 40}, SIZE)
    assert prompt.box == pytest.approx((64, 96, 256, 288))
    assert prompt.angle == 0


@pytest.mark.parametrize("rotation", [0, 30, 90, 200, 359.5, -20])
def test_a_turned_rectangle_has_the_corners_that_label_studio_gives_it(rotation):
    value = {"x": 40, "y": 40, "width": 20, "height": 10, "rotation": rotation}
    corners = read_rectangle(value, SIZE).box_corners
    sizes = {"original_width": SIZE[0], "original_height": SIZE[1]}
    expected = convert_annotation_to_yolo_obb({**value, **sizes}, normalize=False)
    assert corners == pytest.approx(np.array(expected), abs=1e-2)


def test_a_box_is_cut_at_the_images_edges():
    prompt = read_rectangle({"x": -10, "y": 90, "width": 30, "height": 40}, SIZE)
    assert prompt.box == pytest.approx((0, 432, 128, 480))


def test_an_ellipse_becomes_the_box_around_it():
    value = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "rotation": 30}
    prompt = read_ellipse(value, SIZE)
    assert prompt.box == pytest.approx((256, 144, 384, 336))
    assert prompt.angle == 30


def test_null_is_no_rotation():
    value = {"x": 10, "y": 20, "width": 30, "height": 40, "rotation": None}
    assert read_rectangle(value, SIZE).angle == 0


def test_a_point_a_little_outside_is_moved_to_the_edge():
    assert read_point({"x": 100.4, "y": -0.4}, SIZE) == (640.0, 0.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"x": 120, "y": 5}, "outside the image"),
        ({"x": 5}, 'no "y"'),
        ({"x": 5, "y": None}, 'no "y"'),
        ({"x": "5", "y": 5}, "must be a number"),
        ({"x": True, "y": 5}, "must be a number"),
        ({"x": math.nan, "y": 5}, "far outside"),
        ({"x": 10**400, "y": 5}, "a huge number"),
        ({"x": ["long"] * 40, "y": 5}, "must be a number"),
    ],
)
def test_a_point_that_is_none_is_refused(value, message):
    with pytest.raises(GeometryError, match=message):
        read_point(value, SIZE)


@pytest.mark.parametrize(
    "value",
    [
        {"x": 10, "y": 10, "width": 0, "height": 5},
        {"x": 10, "y": 10, "width": 5, "height": -5},
        {"x": 110, "y": 10, "width": 5, "height": 5},
        {"x": 10, "y": 10, "width": 5, "height": math.inf},
        {"x": 150, "y": 150, "width": 5, "height": 5, "rotation": 45},
    ],
)
def test_a_rectangle_without_an_inside_is_refused(value):
    with pytest.raises(GeometryError):
        read_rectangle(value, SIZE)


@pytest.mark.parametrize(
    "points",
    [
        None,
        "no",
        [],
        [[1, 1], [2, 2]],
        [[1, 1], [2, 2], [3]],
        [[1, 1], [2, 2], 3],
        [[1, 1]] * 200000,
    ],
)
def test_a_polygon_that_is_none_is_refused(points):
    with pytest.raises(GeometryError, match="olygon|points"):
        read_polygon({"points": points}, SIZE)


@pytest.mark.parametrize("box", [[1, 2, 3], [1, 2, 3, "4"], [5, 5, 5, 9], [900, 0, 990, 9]])
def test_a_box_in_pixels_that_is_none_is_refused(box):
    with pytest.raises(GeometryError):
        box_from_pixels(box, SIZE)


def test_a_default_stands_for_what_is_missing():
    assert number({}, "rotation", 0.0) == 0.0


def test_a_mask_of_another_size_is_resized():
    small = np.zeros((24, 32), np.bool_)
    small[6:12, 8:16] = True
    assert CroppedMask.from_mask(fit_mask(small, (64, 48))).box == (16, 12, 32, 24)


def test_a_stroke_becomes_points_on_it():
    path = np.array([(50, 50), (300, 80), (400, 300)])
    mask = drawn(SIZE, lambda m: cv2.polylines(m, [path], False, 1, thickness=12))
    points = stroke_points(CroppedMask.from_mask(mask))
    assert len(points) == 5
    assert all(mask[int(y), int(x)] for x, y in points)
    assert np.ptp(points[:, 0]) > 250


def test_a_painted_object_is_no_stroke():
    mask = drawn(SIZE, lambda m: cv2.ellipse(m, (300, 200), (150, 60), 20, 0, 360, 1, -1))
    assert stroke_points(CroppedMask.from_mask(mask)) is None


# --- going out


@settings(deadline=None)
@given(MASKS)
def test_the_rectangle_of_a_mask_is_its_box(mask):
    size = mask.shape[1], mask.shape[0]
    assert read_rectangle(rectangle_of(CroppedMask.from_mask(mask)), size).box == pytest.approx(
        CroppedMask.from_mask(mask).box, abs=1e-6
    )


@pytest.mark.parametrize("angle", [20, 70, 110, 200, 340])
def test_a_turned_rectangle_fits_a_turned_object(angle):
    corners = Prompt.from_box((250, 200, 400, 260), angle=angle).box_corners
    mask = Prompt.from_polygon(corners.tolist(), SIZE).mask
    value = rectangle_of(CroppedMask.from_mask(mask), angle)
    again = read_rectangle(value, SIZE).box_corners
    assert iou(Prompt.from_polygon(again.tolist(), SIZE).mask, mask) > 0.93
    assert 0 <= value["rotation"] <= 360


def test_a_turned_rectangle_that_leaves_the_image_is_upright():
    mask = np.zeros((480, 640), np.bool_)
    mask[:100, :200] = True
    assert rectangle_of(CroppedMask.from_mask(mask), 30)["rotation"] == 0


@pytest.mark.parametrize("hole", [(0, 0), (100, 40)])
@pytest.mark.parametrize("angle", [0, 25, 90, 120, 170])
def test_the_ellipse_of_an_ellipse_is_itself_also_around_a_ring(angle, hole):
    mask = drawn(SIZE, lambda m: cv2.ellipse(m, (300, 220), (140, 60), angle, 0, 360, 1, -1))
    ring = mask & ~drawn(SIZE, lambda m: cv2.ellipse(m, (300, 220), hole, angle, 0, 360, 1, -1))
    value = ellipse_of(CroppedMask.from_mask(ring))
    radii = value["radiusX"] * 6.4, value["radiusY"] * 4.8
    centre = value["x"] * 6.4, value["y"] * 4.8
    ellipse = centre, (2 * radii[0], 2 * radii[1]), value["rotation"]
    again = drawn(SIZE, lambda m: cv2.ellipse(m, ellipse, 1, -1))
    assert iou(mask, again) > 0.97


def test_the_ellipse_around_a_ring_is_that_of_the_disc():
    disc = drawn(SIZE, lambda m: cv2.circle(m, (300, 220), 100, 1, -1))
    hole = drawn(SIZE, lambda m: cv2.circle(m, (300, 220), 70, 1, -1))
    value = ellipse_of(CroppedMask.from_mask(disc & ~hole))
    assert value == pytest.approx(ellipse_of(CroppedMask.from_mask(disc)))
    assert value["radiusX"] * 6.4 == pytest.approx(100, abs=1)


@settings(deadline=None)
@given(MASKS)
def test_every_ellipse_keeps_to_the_limits(mask):
    value = ellipse_of(CroppedMask.from_mask(mask))
    assert 0 <= value["x"] <= 100
    assert 0 <= value["y"] <= 100
    assert 0 < value["radiusX"] <= 50
    assert 0 < value["radiusY"] <= 50
    assert 0 <= value["rotation"] <= 180


@settings(deadline=None)
@given(MASKS)
def test_the_keypoint_of_a_mask_is_on_it(mask):
    x, y = read_point(keypoint_of(CroppedMask.from_mask(mask)), (mask.shape[1], mask.shape[0]))
    assert mask[int(y), int(x)]


@settings(deadline=None)
@given(MASKS)
def test_exact_polygons_cover_all_large_parts(mask):
    size = mask.shape[1], mask.shape[0]
    polygons = polygons_of_mask(CroppedMask.from_mask(mask), 0.0)
    points = np.concatenate([polygon["points"] for polygon in polygons])
    assert points.min() >= 0
    assert points.max() <= 100
    # Such a mask has no part or hole under 2 %, unless it is larger than 50 pixels.
    covered = np.any([filled(polygon, size) for polygon in polygons], axis=0)
    assert np.count_nonzero(covered ^ mask) <= 0.02 * mask.size + 2 * np.count_nonzero(
        cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    )


@settings(deadline=None, max_examples=30)
@given(st.integers(40, 140), st.integers(30, 100), st.integers(0, 180), st.floats(0, 2))
def test_polygons_of_objects_are_close_to_them(across, down, angle, tolerance):
    mask = drawn(SIZE, lambda m: cv2.ellipse(m, (320, 240), (across, down), angle, 0, 360, 1, -1))
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(mask), tolerance)
    assert polygon["closed"] is True
    assert iou(filled(polygon, SIZE), mask) > 0.93


def test_an_exact_polygon_of_an_object_is_exact():
    mask = drawn(SIZE, lambda m: cv2.circle(m, (200, 200), 90, 1, -1))
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(mask), 0.0)
    assert np.array_equal(filled(polygon, SIZE), mask)


def test_holes_stay_holes():
    mask = drawn(
        SIZE,
        lambda m: cv2.circle(m, (300, 240), 200, 1, -1),
        lambda m: cv2.circle(m, (250, 240), 60, 0, -1),
        lambda m: cv2.circle(m, (400, 240), 40, 0, -1),
        lambda m: cv2.circle(m, (400, 240), 5, 1, -1),
    )
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(mask), 1.0)
    again = filled(polygon, SIZE)
    assert iou(again, mask) > 0.96
    assert not again[240, 230]
    assert not again[265, 400]


def test_parts_are_polygons_of_their_own_the_largest_first_remove_small_components():
    mask = drawn(
        SIZE,
        lambda m: cv2.circle(m, (100, 100), 30, 1, -1),
        lambda m: cv2.circle(m, (400, 240), 80, 1, -1),
        lambda m: cv2.circle(m, (600, 440), 2, 1, -1),
    )
    first, second = polygons_of_mask(CroppedMask.from_mask(mask), 1.0)
    assert filled(first, SIZE)[240, 400]
    assert filled(second, SIZE)[100, 100]


def test_small_holes_are_filled():
    mask = drawn(
        SIZE,
        lambda m: cv2.circle(m, (300, 240), 200, 1, -1),
        lambda m: cv2.circle(m, (250, 240), 3, 0, -1),
    )
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(mask), 1.0)
    assert filled(polygon, SIZE)[240, 250]


@pytest.mark.parametrize("box", [(5, 5, 6, 6), (5, 5, 60, 6), (0, 0, 1, 48)])
def test_thin_objects_have_an_inside(box):
    x1, y1, x2, y2 = box
    mask = np.zeros((48, 64), np.bool_)
    mask[y1:y2, x1:x2] = True
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(mask), 5.0)
    assert len(polygon["points"]) >= 3
    assert np.array_equal(filled(polygon, (64, 48)), mask)


def test_a_ragged_mask_becomes_few_polygons_with_few_holes():
    squares = np.kron(np.indices((24, 24)).sum(axis=0) % 2, np.ones((9, 9))).astype(bool)
    apart = squares & (np.indices(squares.shape) % 9 < 7).all(axis=0)
    assert len(polygons_of_mask(CroppedMask.from_mask(apart), 0.0)) == MAX_PARTS
    holed = ~np.pad(apart, 4)
    (polygon,) = polygons_of_mask(CroppedMask.from_mask(holed), 0.0)
    assert len(polygon["points"]) < 8 + MAX_HOLES * 12


def test_an_empty_mask_has_no_shape():
    for shape in (rectangle_of, ellipse_of, keypoint_of, lambda mask: polygons_of_mask(mask, 1.0)):
        with pytest.raises(MaskError):
            shape(CroppedMask.from_mask(np.zeros((4, 4), np.bool_)))
