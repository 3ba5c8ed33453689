from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pam_labeling.formats.shapes import fill, joined, outlines
from tests import hard_shapes

masks = hnp.arrays(np.bool_, st.tuples(st.integers(1, 20), st.integers(1, 20))).filter(np.any)


def painted(polygons, mask, rounded):
    """The polygons as OpenCV draws them, with their corners rounded or cut off."""
    canvas = np.zeros(mask.shape, np.uint8)
    for points in polygons:
        cv2.fillPoly(canvas, [rounded(points).astype(np.int32)], [1])
    return canvas > 0


@given(masks)
@settings(max_examples=150, deadline=None)
def test_outlines_with_bridges_are_exactly_the_mask(mask):
    found = outlines(mask)
    lists = [part.tolist() for part in found.along_edges]
    np.testing.assert_array_equal(fill(lists, mask.shape[::-1]), mask)
    for rounded in (np.round, np.floor):
        np.testing.assert_array_equal(painted(found.through_pixels, mask, rounded), mask)


@given(masks)
@settings(max_examples=100, deadline=None)
def test_one_outline_loses_no_pixel(mask):
    found = outlines(mask)
    whole = joined(found)
    assert (len(whole.parts), whole.joined) == (1, len(found.parts) - 1)
    drawn = painted(whole.through_pixels, mask, np.round)
    assert not (mask & ~drawn).any()
    if len(found.parts) == 1:
        np.testing.assert_array_equal(drawn, mask)


@pytest.mark.parametrize(
    ("mask", "parts", "holes"),
    [
        (hard_shapes.ring(), 2, 2),
        (hard_shapes.parts(), 3, 0),
        (hard_shapes.pixel(), 1, 0),
        (hard_shapes.frame(), 1, 1),
        (~hard_shapes.blank(), 1, 0),
    ],
)
def test_holes_and_parts_are_counted(mask, parts, holes):
    found = outlines(mask)
    assert (len(found.parts), found.holes, joined(found).joined) == (parts, holes, parts - 1)
