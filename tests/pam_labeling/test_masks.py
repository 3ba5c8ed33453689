from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pycocotools import mask as coco_mask

from pam_labeling.errors import MaskError
from pam_labeling.masks import decode_rle, encode_rle, polygons_of, remove_small_components
from pam_model import CroppedMask

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12))


@given(masks)
def test_rle_round_trip_keeps_every_pixel(mask):
    rle = encode_rle(mask)
    assert rle["size"] == list(mask.shape)
    np.testing.assert_array_equal(decode_rle(rle), mask)


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_rle_round_trip_with_long_runs(height, seed):
    mask = np.zeros((height, 70), dtype=np.bool_)
    y, x = np.random.default_rng(seed).integers(0, (height, 70), size=2)
    mask[y:, x:] = True
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


def test_rle_is_read_by_pycocotools():
    mask = np.zeros((4, 6), dtype=np.bool_)
    mask[1:3, 2:6] = True
    rle: Any = encode_rle(mask)
    assert isinstance(rle["counts"], str)
    assert coco_mask.area(rle) == 8
    assert coco_mask.toBbox(rle).tolist() == [2, 1, 4, 2]


@given(st.text(max_size=12), st.integers(1, 9), st.integers(1, 9))
def test_any_counts_are_a_full_mask_or_refused(counts, height, width):
    try:
        mask = decode_rle({"size": [height, width], "counts": counts})
    except MaskError:
        return
    assert mask.shape == (height, width)
    np.testing.assert_array_equal(decode_rle(encode_rle(mask)), mask)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"counts": "1"}, "have the form"),
        ({"size": [2], "counts": "1"}, "have the form"),
        ({"size": [2, 2], "counts": [1, 3]}, "have the form"),
        ({"size": [2, 2], "counts": "é"}, "have the form"),
        ({"size": [0, 2], "counts": "0"}, "at least 1 x 1"),
        ({"size": [2, 2], "counts": ""}, "not COCO run lengths"),
        ({"size": [2, 2], "counts": "ooo"}, "not COCO run lengths"),
        ({"size": [2, 2], "counts": "oooooooo0"}, "too long"),
        ({"size": [2, 2], "counts": "3"}, "do not fill"),
        ({"size": [2, 2], "counts": "5"}, "do not fill"),
        ({"size": [2, 2], "counts": "6N"}, "do not fill"),
    ],
)
def test_malformed_rle_is_refused(rle, message):
    with pytest.raises(MaskError, match=message):
        decode_rle(rle)


@given(masks)
def test_box_is_tight(mask):
    cropped = CroppedMask.from_mask(mask)
    assert cropped.is_empty == (not mask.any())
    if cropped.is_empty:
        return
    x1, y1, x2, y2 = cropped.box
    rows, columns = np.nonzero(mask)
    assert (x1, y1) == (columns.min(), rows.min())
    assert (x2, y2) == (columns.max() + 1, rows.max() + 1)


@pytest.mark.parametrize("function", [encode_rle, polygons_of])
@pytest.mark.parametrize(
    "mask", [np.ones((2, 2), np.uint8), np.ones((1, 2, 2), np.bool_), [[True]]]
)
def test_only_two_dimensional_bool_arrays_are_masks(function, mask):
    with pytest.raises(MaskError, match="bool array"):
        function(mask)


@given(masks)
@settings(max_examples=50)
def test_exact_outlines_hold_exactly_the_pixel_centres(mask):
    def inside(outline, x, y):
        return cv2.pointPolygonTest(outline[:, None], (x + 0.5, y + 0.5), measureDist=False) > 0

    filled = np.zeros_like(mask)
    for polygon in polygons_of(mask):
        for y, x in np.ndindex(mask.shape):
            if inside(polygon.exterior, x, y):
                filled[y, x] = not any(inside(hole, x, y) for hole in polygon.holes)
    np.testing.assert_array_equal(filled, mask)


def test_a_ring_is_one_polygon_with_a_hole():
    mask = np.ones((9, 9), dtype=np.bool_)
    mask[3:6, 3:6] = False
    (polygon,) = polygons_of(mask)
    assert len(polygon.holes) == 1
    assert polygon.exterior.dtype == np.float32
    assert polygon.exterior.min() == pytest.approx(0.25)
    assert polygon.exterior.max() == pytest.approx(8.75)


def test_tolerance_simplifies_a_ragged_outline():
    mask = np.zeros((60, 60), dtype=np.uint8)
    cv2.circle(mask, (30, 30), 25, 1, thickness=-1)
    exact, simple = polygons_of(mask == 1), polygons_of(mask == 1, tolerance=1.5)
    assert 4 <= len(simple[0].exterior) < len(exact[0].exterior) / 3
    with pytest.raises(MaskError, match="tolerance"):
        polygons_of(mask == 1, tolerance=-1)


def test_specks_are_left_out_and_parts_kept():
    mask = np.zeros((300, 400), dtype=np.bool_)
    mask[100:200, 100:200] = True
    mask[50:54, 50:54] = True  # 16 of 10,000 pixels: a part
    mask[0, 0:3] = mask[1, 3] = True  # 4, joined by a corner: specks
    cropped = CroppedMask.from_mask(mask)
    cleaned = remove_small_components(cropped)
    assert cropped.box == (0, 0, 200, 200)
    assert cleaned.box == (50, 50, 200, 200)
    assert cleaned.area == 10_016
    assert cleaned.size == (400, 300)


def test_a_mask_of_many_megapixels_stays():
    mask = np.zeros((1600, 2000), dtype=np.bool_)
    mask[:1500] = True
    mask[1599, 0] = True
    cleaned = remove_small_components(CroppedMask.from_mask(mask))
    assert cleaned.box == (0, 0, 2000, 1500)


@pytest.mark.parametrize("pixels", [[], [(3, 4)], [(3, 4), (7, 7)]])
def test_the_largest_part_is_never_a_speck(pixels):
    mask = np.zeros((10, 10), dtype=np.bool_)
    for y, x in pixels:
        mask[y, x] = True
    np.testing.assert_array_equal(remove_small_components(CroppedMask.from_mask(mask)).mask, mask)
