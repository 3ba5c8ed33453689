"""Instance masks: from a box's coordinates to the image's, and back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.instance_masks import (
    mask_in_box,
    pixel_box,
    place_mask,
    relative_box,
    save_mask,
)
from pam_labeling.regions import Provenance, Region, Scores

SIZE = (40, 30)
MASKS = arrays.arrays(np.bool_, st.tuples(st.integers(1, 24), st.integers(1, 31))).filter(np.any)


def region_of(mask):
    return Region.from_mask(mask, Scores(0.9, 0.9), Provenance("nano", "0"))


@given(MASKS)
def test_a_mask_comes_back_from_its_tight_box_exactly(mask):
    region = region_of(mask)
    box = pixel_box(relative_box(region.box, region.size), region.size)
    assert np.array_equal(place_mask(region.crop, box, region.size), mask)


@given(MASKS, st.integers(-5, 40), st.integers(-5, 30), st.integers(1, 40), st.integers(1, 30))
def test_a_mask_in_a_kept_box_is_the_part_of_it_inside(mask, x, y, width, height):
    region = region_of(mask)
    box = (x, y, x + width, y + height)
    inside = np.zeros_like(mask)
    here = (slice(max(y, 0), max(y + height, 0)), slice(max(x, 0), max(x + width, 0)))
    inside[here] = mask[here]
    if not inside.any():
        with pytest.raises(PluginError, match="no part of the mask"):
            mask_in_box(region, box)
        return
    cut = mask_in_box(region, box)
    assert cut.shape == (height, width)
    assert np.array_equal(place_mask(cut, box, region.size), inside)


@given(MASKS, st.tuples(*[st.floats(-10, 60) for _ in range(4)]))
def test_a_box_between_pixels_keeps_every_pixel_within_one_of_its_place(mask, sides):
    box = (min(sides[0], sides[2]), min(sides[1], sides[3]), max(sides[::2]), max(sides[1::2]))
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        return
    region = region_of(mask)
    try:
        placed = place_mask(mask_in_box(region, box), box, region.size)
    except PluginError:
        return
    near = np.pad(mask, 1)
    grown = np.zeros_like(mask)
    for down in range(3):
        for right in range(3):
            grown |= near[down : down + mask.shape[0], right : right + mask.shape[1]]
    assert not (placed & ~grown).any()


@given(st.integers(1, 6), st.integers(1, 6), MASKS)
def test_a_finer_mask_covers_the_same_pixels(across, down, mask):
    fine = mask.repeat(down, axis=0).repeat(across, axis=1)
    size = (mask.shape[1] + 7, mask.shape[0] + 5)
    box = (3.0, 2.0, 3.0 + mask.shape[1], 2.0 + mask.shape[0])
    assert np.array_equal(place_mask(fine, box, size), place_mask(mask, box, size))


def test_a_coarse_mask_is_stretched_over_its_box():
    placed = place_mask(np.array([[True, False]]), (10, 10, 20, 14), SIZE)
    assert placed[10:14, 10:15].all()
    assert placed.sum() == 4 * 5


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int64, np.float32])
def test_what_is_not_zero_belongs_to_the_mask(dtype):
    mask = (np.eye(4) * 255).astype(dtype)
    assert place_mask(mask, (0, 0, 4, 4), (4, 4)).sum() == 4


def test_a_mask_with_one_channel_is_read():
    assert place_mask(np.ones((2, 2, 1)), (0, 0, 4, 4), (4, 4)).all()


@pytest.mark.parametrize("shape", [(4,), (4, 4, 3), (0, 4)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(PluginError, match="shape"):
        place_mask(np.ones(shape), (0, 0, 4, 4), (4, 4))


def test_a_box_outside_the_image_gives_an_empty_mask():
    assert not place_mask(np.ones((4, 4)), (50, 5, 60, 10), SIZE).any()
    assert not place_mask(np.ones((4, 4)), (-20, 5, -10, 10), SIZE).any()


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([0.1, 0.2, 0.3], "four numbers"),
        (["a", 0, 1, 1], "four numbers"),
        ([0.1, float("nan"), 0.3, 0.3], "not finite"),
        ([0.1, 0.1, 0, 0.3], "empty"),
        ([0.1, 0.1, 0.3, -0.2], "empty"),
    ],
)
def test_a_box_that_is_none_is_refused(box, said):
    with pytest.raises(PluginError, match=said):
        pixel_box(box, SIZE)


def test_a_saved_mask_is_0_and_255_and_replaces_nothing(tmp_path):
    mask = np.eye(5, dtype=bool)
    first = save_mask(mask, tmp_path / "masks" / "a.png")
    second = save_mask(~mask, tmp_path / "masks" / "a.png")
    third = save_mask(mask, tmp_path / "masks" / "a.png")
    assert [path.name for path in (first, second, third)] == ["a.png", "a-2.png", "a-3.png"]
    assert np.array_equal(np.asarray(Image.open(first)), mask * 255)
    assert np.array_equal(np.asarray(Image.open(second)), ~mask * 255)


def test_a_folder_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PluginError, match="cannot be written"):
        save_mask(np.eye(5, dtype=bool), tmp_path / "file" / "a.png")
