"""Prompts of the evaluation are as people give them, and ask about what can be seen."""

from __future__ import annotations

import numpy as np
import pytest

from pam_model.nano.known import (
    LEAST_VISIBLE,
    ground_click,
    inner_click,
    jittered_box,
)
from pam_model.nano.known import known_scene as drawn_anew
from pam_model.nano.world import HELD_OUT_SEED, box_around
from tests.nano.drawn import known_flat_image, known_scene


@pytest.fixture(scope="module")
def images():
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + 6)
    return [known_scene(seed) for seed in seeds] + [known_flat_image(seed) for seed in seeds]


def pixel(prompt):
    x, y = prompt.points[0]
    return int(y), int(x)


def test_a_seed_always_gives_the_same_prompts(images):
    again = drawn_anew(HELD_OUT_SEED)
    assert len(again.objects) == len(images[0].objects)
    for one, other in zip(again.objects, images[0].objects, strict=True):
        assert one.drawn.facts == other.drawn.facts
        assert one.box.box == other.box.box
        np.testing.assert_array_equal(one.click.points, other.click.points)


def test_all_prompts_are_valid_in_their_image(images):
    for known in images:
        height, width, _ = known.image.shape
        for thing in known.objects:
            thing.box.check((width, height))
            thing.click.check((width, height))


def test_objects_asked_about_are_few_and_can_be_seen(images):
    for known in images:
        assert len(known.objects) <= 3
        assert all(thing.drawn.visible >= LEAST_VISIBLE for thing in known.objects)
        assert all(thing.drawn.mask.shape == known.image.shape[:2] for thing in known.objects)
    assert sum(len(known.objects) for known in images) > 12


def test_clicks_are_on_their_objects(images):
    for known in images:
        for thing in known.objects:
            assert thing.drawn.mask[pixel(thing.click)]


def test_empty_clicks_are_on_no_object_that_is_asked_about(images):
    assert sum(known.empty_click is not None for known in images) > 6
    for known in images:
        if known.empty_click is not None:
            assert not any(thing.drawn.mask[pixel(known.empty_click)] for thing in known.objects)


def test_a_click_keeps_inside_the_edge_where_there_is_room():
    rng = np.random.default_rng(0)
    mask = np.zeros((60, 60), np.bool_)
    mask[20:40, 10:50] = True
    for _ in range(50):
        row, column = pixel(inner_click(rng, mask))
        assert 22 <= row < 38
        assert 12 <= column < 48


def test_a_click_on_a_thin_object_is_still_on_it():
    mask = np.zeros((30, 30), np.bool_)
    mask[14, 5:25] = True
    rng = np.random.default_rng(0)
    assert all(mask[pixel(inner_click(rng, mask))] for _ in range(20))


def test_there_is_no_empty_click_where_objects_leave_no_room():
    ground = np.zeros((50, 50), np.bool_)
    ground[20:30, 20:30] = True
    assert ground_click(np.random.default_rng(0), ground) is None


def test_boxes_are_exact_at_times_and_otherwise_a_little_off():
    mask = np.zeros((200, 200), np.bool_)
    mask[50:150, 40:140] = True
    tight = np.array(box_around(mask))
    rng = np.random.default_rng(0)
    off = np.abs([np.array(jittered_box(rng, mask).box) - tight for _ in range(300)])
    exact = (off == 0).all(axis=1).mean()
    assert 0.17 < exact < 0.33
    assert off.max() <= 25
    assert 1.5 < off[(off > 0).any(axis=1)].mean() < 7


def test_boxes_stay_in_the_image():
    mask = np.ones((40, 60), np.bool_)
    rng = np.random.default_rng(0)
    for _ in range(30):
        x1, y1, x2, y2 = jittered_box(rng, mask).box
        assert 0 <= x1 < x2 <= 60
        assert 0 <= y1 < y2 <= 40
