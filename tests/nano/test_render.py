"""Masks and images against slow references, and the two ways of drawing against each other."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from pam_model.nano import render, words
from pam_model.nano.scene import MAX_OBJECTS, Scenes, sample_scenes
from pam_model.nano.shapes import INSIDE, inside
from tests.nano import reference_shapes

CPU = torch.device("cpu")
PROPORTIONS = ((0.0, 0.0, 0.0), (0.2, 0.9, 0.4), (0.5, 0.5, 0.5), (0.75, 0.1, 0.8), (1.0, 1.0, 1.0))


def some_scenes(count: int, seed: int = 0) -> Scenes:
    return sample_scenes(count, CPU, torch.Generator().manual_seed(seed))


def lone_circle(**changes: torch.Tensor) -> Scenes:
    """One scene of one large circle in the middle of a square image, but for `changes`."""
    scenes = some_scenes(1)
    present = torch.zeros_like(scenes.present)
    present[0, 0] = True
    usual = {
        "aspect": torch.ones(1),
        "present": present,
        "shape": torch.zeros_like(scenes.shape),
        "centre": torch.full_like(scenes.centre, 0.5),
        "radius": torch.full_like(scenes.radius, 0.25),
    }
    return replace(scenes, **{**usual, **changes})


@pytest.mark.parametrize("index", range(len(words.SHAPES)), ids=[w.en for w in words.SHAPES])
@pytest.mark.parametrize("proportions", PROPORTIONS)
def test_a_shape_holds_the_points_that_its_geometry_holds(index, proportions):
    steps = np.linspace(-1.0613, 1.0727, 47)
    points = [(float(x), float(y)) for y in steps for x in steps]
    x, y = torch.tensor(points).T
    found = INSIDE[index](x, y, tuple(torch.full_like(x, p) for p in proportions))
    name = words.SHAPES[index].en
    expected = [reference_shapes.inside(name, point, proportions) for point in points]
    assert found.tolist() == expected
    assert 0.05 < np.mean(expected) < 0.95


@pytest.mark.parametrize("index", range(len(words.SHAPES)), ids=[w.en for w in words.SHAPES])
def test_a_shape_stays_in_its_frame(index):
    steps = torch.linspace(-1.3, 1.3, 131)
    x, y = steps[None, :, None], steps[:, None, None]
    p = torch.rand(3, 40, generator=torch.Generator().manual_seed(index))
    within = INSIDE[index](x, y, (p[0], p[1], p[2]))
    beyond = (torch.maximum(x.abs(), y.abs()) >= 1) | (x**2 + y**2 > 1.21**2)
    assert not (within & beyond).any()


def test_shapes_that_differ_by_element_are_each_tested_by_their_own_rule():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.rand(2, 500, generator=generator) * 2 - 1
    p = tuple(torch.rand(3, 500, generator=generator))
    shape = torch.arange(500) % len(INSIDE)
    together = inside(shape, x, y, p)
    for index, test in enumerate(INSIDE):
        own = shape == index
        assert torch.equal(together[own], test(x, y, p)[own])


@pytest.mark.parametrize("seed", [3, 4])
def test_masks_show_the_topmost_object_of_each_pixel(seed):
    scenes = some_scenes(1, seed)
    height, width = 36, 52
    expected = np.zeros((height, width), dtype=np.uint8)
    aspect = float(scenes.aspect[0])
    across, down = math.sqrt(aspect), 1 / math.sqrt(aspect)  # the image's sides; its area is 1
    for number in range(MAX_OBJECTS):
        if not scenes.present[0, number]:
            continue
        centre, turn = scenes.centre[0, number].tolist(), float(scenes.turn[0, number])
        radius, name = float(scenes.radius[0, number]), words.SHAPES[scenes.shape[0, number]].en
        for row in range(height):
            for column in range(width):
                x = ((column + 0.5) / width - centre[0]) * across / radius
                y = ((row + 0.5) / height - centre[1]) * down / radius
                local = (
                    x * math.cos(-turn) - y * math.sin(-turn),
                    x * math.sin(-turn) + y * math.cos(-turn),
                )
                proportions = tuple(scenes.proportions[0, number].tolist())
                if max(abs(x), abs(y)) < 1.5 and reference_shapes.inside(name, local, proportions):
                    expected[row, column] = number + 1
    found = render.index_maps(scenes, height, width)[0].numpy()
    assert len(np.unique(expected)) > 2
    np.testing.assert_array_equal(found, expected)


def test_the_gpus_way_of_drawing_masks_gives_the_same_masks():
    scenes = some_scenes(6)
    x, y = render._grid(64, 80, CPU)
    at_once = render._index_maps_at_once(scenes, x, y)
    assert torch.equal(at_once, render.index_maps(scenes, 64, 80))


def test_a_lone_object_is_wholly_visible():
    scenes = lone_circle()
    visible = render.visible_fractions(scenes, render.index_maps(scenes, 96, 96))
    assert visible[0, 0] > 0.98


def test_half_of_an_object_on_the_border_is_visible():
    centre = torch.full((1, MAX_OBJECTS, 2), 0.5)
    centre[0, 0, 0] = 0.0
    scenes = lone_circle(centre=centre)
    visible = render.visible_fractions(scenes, render.index_maps(scenes, 96, 96))
    assert visible[0, 0] == pytest.approx(0.5, abs=0.02)


def test_an_object_under_another_is_not_visible():
    present = torch.zeros(1, MAX_OBJECTS, dtype=torch.bool)
    present[0, :2] = True
    scenes = lone_circle(present=present)
    visible = render.visible_fractions(scenes, render.index_maps(scenes, 96, 96))
    assert visible[0, 0] == 0
    assert visible[0, 1] > 0.98


def test_a_plain_object_has_its_paint_and_the_ground_its_own():
    plain = torch.zeros(1, MAX_OBJECTS, dtype=torch.long)
    still = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]])  # no blur, no noise, brightness, contrast
    scenes = lone_circle(
        texture=plain,
        outline=torch.zeros(1, MAX_OBJECTS),
        camera=still,
        ground=torch.zeros(1, dtype=torch.long),
    )
    maps = render.index_maps(scenes, 64, 64)
    image = render.images(scenes, maps)[0].permute(1, 2, 0)
    on = maps[0] == 1
    torch.testing.assert_close(image[on], scenes.paints[0, 0, 0].expand(int(on.sum()), 3))
    off = maps[0] == 0
    torch.testing.assert_close(image[off], scenes.ground_paints[0, 0].expand(int(off.sum()), 3))


@pytest.mark.parametrize("texture", [1, 2, 3], ids=["striped", "dotted", "checked"])
def test_a_texture_has_two_paints(texture):
    still = torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]])
    scenes = lone_circle(
        texture=torch.full((1, MAX_OBJECTS), texture),
        outline=torch.zeros(1, MAX_OBJECTS),
        camera=still,
    )
    maps = render.index_maps(scenes, 64, 64)
    pixels = render.images(scenes, maps)[0].permute(1, 2, 0)[maps[0] == 1]
    first = (pixels - scenes.paints[0, 0, 0]).abs().amax(dim=1) < 1e-6
    second = (pixels - scenes.paints[0, 0, 1]).abs().amax(dim=1) < 1e-6
    assert (first | second).all()
    assert 0.2 < first.float().mean() < 0.8


def test_an_outline_is_drawn_along_the_edge_only():
    scenes = lone_circle(
        texture=torch.zeros(1, MAX_OBJECTS, dtype=torch.long),
        outline=torch.full((1, MAX_OBJECTS), 0.2),
        camera=torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0]]),
    )
    maps = render.index_maps(scenes, 128, 128)
    image = render.images(scenes, maps)[0].permute(1, 2, 0)
    torch.testing.assert_close(image[64, 64], scenes.paints[0, 0, 0])
    torch.testing.assert_close(image[64, 64 + 29], scenes.paints[0, 0, 2])  # radius 32 pixels


def test_images_stay_within_the_range_of_colours():
    scenes = some_scenes(4)
    images = render.images(scenes, render.index_maps(scenes, 48, 48))
    assert images.min() >= 0
    assert images.max() <= 1


def test_objects_are_in_the_size_class_that_is_said():
    scenes = some_scenes(50)
    for size, (low, high) in enumerate(((0.038, 0.072), (0.1, 0.145), (0.195, 0.3))):
        radii = scenes.radius[scenes.size == size]
        assert low <= radii.min()
        assert radii.max() <= high
