"""Prompts: what is refused, and what a turned box or a polygon covers."""

from __future__ import annotations

import math
import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_model import CroppedMask, Prompt, PromptError

SIZE = (100, 80)
NAN = math.nan


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        (Prompt.from_points([(101, 5)]), r"point \(101, 5\) is outside the image of 100 x 80"),
        (Prompt.from_points([(5, -0.5)]), r"point \(5, -0.5\) is outside"),
        (Prompt.from_points([(NAN, 5)]), "not a pair of finite numbers"),
        (Prompt.from_points([(math.inf, 5)]), "not a pair of finite numbers"),
        (Prompt.from_points([(5, 5), (9, 9)], [False, False]), "all points are beside the object"),
        (Prompt.from_points([]), "the prompt is empty"),
        (Prompt.from_box((10, 10, 10, 20)), "is empty: x2 must be larger than x1"),
        (Prompt.from_box((20, 10, 10, 20)), "is empty"),
        (Prompt.from_box((10, NAN, 20, 20)), "not finite"),
        (Prompt.from_box((10, 10, 20, 20), angle=NAN), "not finite"),
        (Prompt.from_box((100, 10, 120, 20)), "outside the image"),
        (Prompt.from_box((10, -20, 20, 0)), "outside the image"),
        (Prompt.from_box((10, 10, 20, 20), points=[(200, 5)]), r"point \(200, 5\) is outside"),
        (Prompt.from_mask(np.zeros((80, 100))), "the mask is empty"),
        (Prompt.from_mask(np.ones((100, 80))), "mask has 80 x 100 pixels, but the image 100 x 80"),
    ],
)
def test_a_prompt_that_means_nothing_is_refused(prompt: Prompt, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        prompt.check(SIZE)


@pytest.mark.parametrize(
    "prompt",
    [
        Prompt.from_points([(0, 0), (100, 80)], [True, False]),
        Prompt.from_box((-5, -5, 200, 200)),
        Prompt.from_box((40, 30, 60, 50), angle=30, points=[(50, 40)], labels=[False]),
        Prompt.from_mask(np.eye(80, 100)),
    ],
)
def test_a_prompt_in_the_image_is_accepted(prompt: Prompt) -> None:
    prompt.check(SIZE)


def test_a_mask_beside_points_is_refused() -> None:
    points = Prompt.from_points([(5, 5)])
    mixed = Prompt(
        points.points,
        points.point_labels,
        cropped=CroppedMask.from_mask(np.ones((80, 100), np.bool_)),
    )
    with pytest.raises(PromptError, match="a mask must be the only prompt"):
        mixed.check(SIZE)


@pytest.mark.parametrize(
    ("points", "labels", "reason"),
    [
        ([(1, 2, 3)], None, "pairs of numbers"),
        ([1, 2], None, "pairs of numbers"),
        ([("a", "b")], None, "pairs of numbers"),
        ([(1, 2), (3,)], None, "pairs of numbers"),
        (None, None, "points are pairs of numbers"),
        ("12", None, "points are pairs of numbers"),
        ([(1, 2)], [True, False], "each point needs one label: 1 points, 2 labels"),
        ([(1, 2)], True, "each point needs one label"),
        ([(1, 2)], [-1], "on the object.* not -1; leave out SAM's padding points"),
        ([(1, 2), (3, 4)], [1, 2], "not 2; .*give a box as a box"),
        ([(1, 2)], [NAN], "not nan"),
        ([(1, 2)], ["1"], "not 1"),
        ([(1, 2)], [None], "not None"),
        ([(1, 2), (3, 4)], [[1], [1, 2]], "the labels of points are true or false"),
    ],
)
def test_what_is_not_points_is_refused(points: object, labels: object, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        Prompt.from_points(points, labels)  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("labels", [[1, 0], [True, False], [1.0, 0.0], np.array([1, 0])])
def test_labels_of_points_may_be_numbers(labels: list[bool]) -> None:
    prompt = Prompt.from_points([(1, 2), (3, 4)], labels)
    assert prompt.point_labels.dtype == np.bool_
    assert prompt.point_labels.tolist() == [True, False]


def test_an_angle_is_a_number() -> None:
    with pytest.raises(PromptError, match="an angle is a number of degrees, not 'steep'"):
        Prompt.from_box((1, 2, 3, 4), angle="steep")  # type: ignore[arg-type] # wrong on purpose


@pytest.mark.parametrize("box", [(1, 2, 3), (1, 2, 3, 4, 5), ("a", 1, 2, 3), (None, 1, 2, 3)])
def test_what_is_not_a_box_is_refused(box: object) -> None:
    with pytest.raises(PromptError, match="a box is four numbers"):
        Prompt.from_box(box)  # type: ignore[arg-type] # wrong on purpose


def test_a_box_turns_clockwise_about_its_centre() -> None:
    corners = Prompt.from_box((10, 10, 30, 20), angle=90).box_corners
    assert corners is not None
    # Clockwise on a screen (y down): the top-left corner goes to the top right.
    np.testing.assert_allclose(corners, [(25, 5), (25, 25), (15, 25), (15, 5)], atol=1e-4)


def test_a_prompt_keeps_its_points_when_the_callers_change() -> None:
    points = np.array([(10, 20)], dtype=np.float32)
    prompt = Prompt.from_points(points.tolist())
    own = Prompt.from_points(points)  # type: ignore[arg-type] # an array works as well
    points[:] = NAN
    np.testing.assert_array_equal(own.points, prompt.points)


def test_a_polygon_is_the_mask_of_its_inside() -> None:
    mask = Prompt.from_polygon([(10, 20), (50, 20), (50, 60), (10, 60)], SIZE).mask
    assert mask is not None
    assert mask.shape == (80, 100)
    assert mask[20:60, 10:50].all()
    assert abs(int(mask.sum()) - 40 * 40) <= 2 * 82  # and the pixels its outline touches


@given(
    st.lists(st.tuples(st.floats(-150, 250), st.floats(-150, 250)), min_size=3, max_size=9),
    st.sampled_from([SIZE, (1, 1), (7, 90)]),
)
@settings(max_examples=300, deadline=None)
def test_a_polygon_filled_in_its_part_is_the_one_filled_in_the_image(
    vertices: list[tuple[float, float]], size: tuple[int, int]
) -> None:
    full = np.zeros((size[1], size[0]), np.uint8)
    limit = 8.0 * max(size)
    corners = np.clip(np.array(vertices, np.float32), -limit, limit)
    cv2.fillPoly(full, [np.round((corners - 0.5) * 16).astype(np.int32)], 1, shift=4)
    np.testing.assert_array_equal(Prompt.from_polygon(vertices, size).mask, full.astype(bool))


def test_many_small_polygons_and_masks_of_a_large_image_take_little_memory() -> None:
    large = (4000, 3000)
    tracemalloc.start()
    prompts = [Prompt.from_polygon([(x, 500), (x + 40, 520), (x, 560)], large) for x in range(100)]
    polygons, peak = tracemalloc.get_traced_memory()
    mask = np.zeros((3000, 4000), np.bool_)
    mask[100:150, 200:290] = True
    prompts += [Prompt.from_mask(mask) for _ in range(20)]
    both, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2e6  # one full mask has 12 MB
    assert both - polygons < mask.nbytes + 1e6
    assert all(prompt.cropped is not None and prompt.cropped.size == large for prompt in prompts)


@pytest.mark.parametrize("vertices", [[(1, 1), (5, 5)], [(1, 1), (5, 5), (NAN, 3)]])
def test_what_is_not_a_polygon_is_refused(vertices: list[tuple[float, float]]) -> None:
    with pytest.raises(PromptError, match="three finite vertices"):
        Prompt.from_polygon(vertices, SIZE)


def test_a_mask_of_other_dimensions_is_refused() -> None:
    with pytest.raises(PromptError, match=r"shape \(height, width\), not \(2, 3, 4\)"):
        Prompt.from_mask(np.ones((2, 3, 4)))
