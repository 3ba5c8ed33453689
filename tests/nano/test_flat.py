"""Flat images show what they say they show."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import ImageColor

from pam_model.nano import words
from pam_model.nano.flat import COLOURS, draw_flat_image

SEEDS = range(30)


@pytest.fixture(scope="module")
def images():
    return [draw_flat_image(seed) for seed in SEEDS]


def shape_of(thing):
    return words.SHAPES[thing.facts.shape].en


def colour_of(thing):
    return words.COLOURS[thing.facts.colour].en


def things_of(images, shape):
    return [thing for flat in images for thing in flat.objects if shape_of(thing) == shape]


def fill(mask):
    """How much of its box a mask fills."""
    _, _, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return mask.sum() / (width * height)


def test_a_seed_always_gives_the_same_image(images):
    again = draw_flat_image(SEEDS[3])
    np.testing.assert_array_equal(again.image, images[3].image)
    assert [shape_of(thing) for thing in again.objects] == [shape_of(t) for t in images[3].objects]


def test_every_shape_and_colour_of_the_drawn_world_occurs(images):
    things = [thing for flat in images for thing in flat.objects]
    assert {shape_of(thing) for thing in things} == {word.en for word in words.SHAPES}
    assert {colour_of(thing) for thing in things} == {word.en for word in words.COLOURS}
    assert all(1 <= len(flat.objects) <= 10 for flat in images)


def test_the_pixels_of_an_object_have_its_colour(images):
    for flat in images:
        for thing in flat.objects:
            expected = ImageColor.getrgb(COLOURS[colour_of(thing)])
            assert (flat.image[thing.mask] == expected).all()


def test_objects_lie_apart_and_stand_out_from_the_ground(images):
    for flat in images:
        masks = np.stack([thing.mask for thing in flat.objects])
        assert masks.sum(axis=0).max() == 1
        beside = flat.image[~masks.any(axis=0)].astype(float).mean(axis=0)
        for thing in flat.objects:
            colour = flat.image[thing.mask][0].astype(float)
            assert np.linalg.norm(colour - beside) > 60


def test_grounds_are_plain_or_lightly_textured(images):
    spreads = [flat.image[flat.ground].astype(np.float32).std(axis=0).max() for flat in images]
    assert 0 < sum(spread == 0 for spread in spreads) < len(spreads)
    assert max(spreads) < 20


@pytest.mark.parametrize(
    ("shape", "low", "high"),
    [
        ("circle", 0.76, 0.81),  # a quarter of pi
        ("square", 1, 1),
        ("triangle", 0.46, 0.56),  # a half
        ("hexagon", 0.72, 0.79),  # three quarters
        ("star", 0.28, 0.48),
        ("cross", 0.36, 0.66),
        ("heart", 0.55, 0.72),
        ("ring", 0.31, 0.58),
        ("crescent", 0.35, 0.65),
        ("arrow", 0.3, 0.62),
    ],
)
def test_a_shape_fills_as_much_of_its_box_as_its_geometry_says(images, shape, low, high):
    fills = [fill(thing.mask) for thing in things_of(images, shape)]
    assert len(fills) >= 3
    assert low <= min(fills)
    assert max(fills) <= high


@pytest.mark.parametrize("shape", [word.en for word in words.SHAPES])
def test_a_shape_is_one_piece_and_a_ring_alone_has_a_hole(images, shape):
    for thing in things_of(images, shape):
        pieces, _ = cv2.connectedComponents(thing.mask.astype(np.uint8), connectivity=8)
        assert pieces - 1 == 1
        framed = np.pad(~thing.mask, 1, constant_values=True).astype(np.uint8)
        outside, _ = cv2.connectedComponents(framed, connectivity=4)
        assert outside - 1 == (2 if shape == "ring" else 1)
