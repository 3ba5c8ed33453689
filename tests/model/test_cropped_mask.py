"""Masks kept as their crops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pam_model import CroppedMask


@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_a_crop_gives_the_mask_back(mask: np.ndarray) -> None:
    cropped = CroppedMask.from_mask(mask)
    np.testing.assert_array_equal(cropped.mask, mask)
    assert cropped.size == (mask.shape[1], mask.shape[0])
    assert cropped.area == mask.sum()
    assert cropped.is_empty == (not mask.any())


def test_a_crop_keeps_only_its_own_pixels_read_only() -> None:
    mask = np.zeros((8, 10), np.bool_)
    mask[3:5, 2:7] = True
    cropped = CroppedMask.from_mask(mask)
    mask[:] = False
    assert cropped.box == (2, 3, 7, 5)
    assert cropped.crop.base is None
    assert cropped.crop.all()
    with pytest.raises(ValueError, match="read-only"):
        cropped.crop[0] = False
    cropped.mask[:] = False
    assert cropped.area == 10


def test_the_part_of_an_image_says_where_its_mask_is() -> None:
    part = np.zeros((4, 5), np.bool_)
    part[1, 2:4] = True
    cropped = CroppedMask.from_part(part, (20, 10), (30, 40))
    assert (cropped.size, cropped.box) == ((30, 40), (22, 11, 24, 12))
    assert np.argwhere(cropped.mask).tolist() == [[11, 22], [11, 23]]


def test_nothing_of_an_image_is_an_empty_mask_of_it() -> None:
    cropped = CroppedMask.from_part(np.zeros((0, 3), np.bool_), (5, 5), (6, 4))
    assert cropped.is_empty
    assert cropped.mask.shape == (4, 6)
    assert not cropped.mask.any()


def test_the_deepest_point_is_farthest_from_the_edges_of_mask_and_image() -> None:
    ring = np.zeros((40, 60), np.bool_)
    ring[5:35, 10:50] = True
    ring[12:30, 20:48] = False  # the left side is the thickest
    x, y = CroppedMask.from_mask(ring).deepest_point
    assert 13 < x < 17
    assert 9 < y < 31
    corner = np.zeros((40, 60), np.bool_)
    corner[:9, :9] = True
    assert CroppedMask.from_mask(corner).deepest_point == (4.5, 4.5)


def test_an_empty_mask_has_no_deepest_point() -> None:
    with pytest.raises(ValueError, match="empty"):
        CroppedMask.from_mask(np.zeros((4, 4), np.bool_)).deepest_point  # noqa: B018
