"""The close look at one region."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from fiftyone_plugin.review.region_image import data_address, draw_region
from pam_model import Prompt

GREY = np.full((600, 800, 3), 128, np.uint8)


def yellow(image):
    """Where the outline is."""
    return (image[..., 0] > 200) & (image[..., 1] > 180) & (image[..., 2] < 90)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt.from_box((300, 200, 400, 300)),
        Prompt.from_points([(350, 250)]),
        Prompt.from_mask(np.pad(np.ones((50, 80), bool), ((100, 450), (200, 520)))),
    ],
)
def test_the_region_is_in_the_middle_and_outlined(prompt):
    found = yellow(draw_region(GREY, prompt))
    rows, columns = found.nonzero()
    assert len(rows) > 20
    height, width = found.shape
    assert abs(rows.mean() - height / 2) < 0.05 * height
    assert abs(columns.mean() - width / 2) < 0.05 * width


def test_the_inside_keeps_its_colour():
    image = draw_region(GREY, Prompt.from_box((300, 200, 400, 300)))
    height, width, _ = image.shape
    assert image[height // 2, width // 2].tolist() == [128, 128, 128]


@pytest.mark.parametrize("ground", [(255, 232, 31), (20, 20, 20), (255, 255, 255), (128, 128, 128)])
def test_the_outline_shows_on_any_ground(ground):
    """A line of five pixels or more that is much lighter or much darker than the ground."""
    image = draw_region(np.full_like(GREY, ground), Prompt.from_box((300, 200, 400, 300)))
    row = image[image.shape[0] // 2].astype(int).sum(axis=1)
    differs = np.abs(row - sum(ground)) > 200
    assert differs.sum() >= 2 * 5
    assert differs.sum() < len(row) / 4


@pytest.mark.parametrize("box", [(0, 0, 800, 600), (0, 0, 3, 3), (790, 590, 800, 600)])
def test_the_image_is_as_large_as_asked_at_most(box):
    height, width, _ = draw_region(GREY, Prompt.from_box(box), longest=300).shape
    assert 100 < max(height, width) <= 300


def test_small_regions_are_enlarged_four_times_at_most():
    image = draw_region(np.full((40, 30, 3), 128, np.uint8), Prompt.from_box((10, 10, 12, 12)))
    assert image.shape == (160, 120, 3)


def test_an_address_holds_the_image():
    head, code = data_address(GREY).split(",")
    assert head == "data:image/jpeg;base64"
    decoded = Image.open(io.BytesIO(base64.b64decode(code)))
    assert decoded.size == (800, 600)
    assert np.abs(np.asarray(decoded).astype(int) - 128).max() < 4
