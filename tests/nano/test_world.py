"""Scenes by their seed."""

from __future__ import annotations

import numpy as np
import pytest

from pam_model.nano import words
from pam_model.nano.train.setup import scene_seed
from pam_model.nano.world import HELD_OUT_SEED, box_around, place_of, render_scene


def test_a_seed_always_gives_the_same_scene():
    first, second = render_scene(7, side=96), render_scene(7, side=96)
    np.testing.assert_array_equal(first.image, second.image)
    assert [thing.facts for thing in first.objects] == [thing.facts for thing in second.objects]
    for one, other in zip(first.objects, second.objects, strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)


def test_every_seed_gives_another_scene():
    images = {render_scene(HELD_OUT_SEED + n, side=48).image.tobytes() for n in range(20)}
    assert len(images) == 20


@pytest.mark.parametrize("seed", [0, 1, 2999, 3001, 10**9])
def test_training_never_draws_held_out_scenes(seed):
    assert 0 <= scene_seed(seed, steps=0) < HELD_OUT_SEED
    assert 0 <= scene_seed(seed, steps=500_000) < HELD_OUT_SEED


def test_held_out_seeds_fit_the_32_bits_that_a_cpu_generator_reads():
    assert HELD_OUT_SEED + 1_000_000 < 2**32


def test_masks_and_ground_share_out_the_image():
    scene = render_scene(HELD_OUT_SEED + 1, side=128)
    layers = np.stack([*(thing.mask for thing in scene.objects), scene.ground])
    np.testing.assert_array_equal(layers.sum(axis=0), 1)
    assert scene.image.shape[:2] == scene.ground.shape


def test_images_have_about_the_area_and_at_most_the_aspect_that_is_said():
    for seed in range(8):
        height, width, _ = render_scene(seed, side=90).image.shape
        assert height * width == pytest.approx(90 * 90, rel=0.03)
        assert 9 / 16 - 0.02 <= width / height <= 16 / 9 + 0.04


def test_scenes_vary_in_every_fact():
    seen: dict[str, set[int]] = {}
    for seed in range(60):
        for thing in render_scene(seed, side=64).objects:
            for field, value in thing.facts._asdict().items():
                seen.setdefault(field, set()).add(value)
    assert seen["shape"] == set(range(len(words.SHAPES)))
    assert seen["colour"] == set(range(len(words.COLOURS)))
    assert seen["texture"] == set(range(len(words.TEXTURES)))
    assert seen["size"] == set(range(len(words.SIZES)))
    assert seen["place"] == set(range(len(words.PLACES)))
    assert seen["ground"] == set(range(len(words.GROUNDS)))


@pytest.mark.parametrize(
    ("x", "y", "place"),
    [
        (0.1, 0.1, "in the upper left"),
        (0.5, 0.1, "at the top"),
        (0.9, 0.5, "on the right"),
        (0.5, 0.5, "in the middle"),
        (0.1, 0.9, "in the lower left"),
        (1.0, 1.0, "in the lower right"),
    ],
)
def test_a_place_is_named_after_its_third(x, y, place):
    assert words.PLACES[place_of(x, y)].en == place


def test_an_object_near_a_border_of_thirds_may_be_said_to_be_on_either_side():
    things = [thing for seed in range(30) for thing in render_scene(seed, side=64).objects]
    near = [thing for thing in things if thing.places]
    assert 0 < len(near) < len(things)
    for thing in things:
        assert thing.facts.place not in thing.places
        height, width = thing.mask.shape
        rows, columns = np.nonzero(thing.mask)
        x, y = (columns.mean() + 0.5) / width, (rows.mean() + 0.5) / height
        gap = min(abs(value - border) for value in (x, y) for border in (1 / 3, 2 / 3))
        assert bool(thing.places) == (gap < 0.05)


def test_a_box_is_the_tightest_around_a_mask():
    mask = np.zeros((10, 12), dtype=np.bool_)
    mask[2:5, 7] = True
    mask[4, 3] = True
    assert box_around(mask) == (3, 2, 8, 5)
