from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from pam_labeling.command_line.prompt_options import parse_prompts
from pam_labeling.errors import PromptError


def test_each_box_is_a_region():
    first, second = parse_prompts(["1,2,3,4", " 5, 6.5 ,7,8"], [], [])
    assert first.box == (1, 2, 3, 4)
    assert second.box == (5, 6.5, 7, 8)


def test_all_points_are_one_region_with_their_signs():
    (prompt,) = parse_prompts([], ["1,2", "3,4,-", "5,6,+", "0.5,8"], [])
    assert prompt.points.tolist() == [[1, 2], [3, 4], [5, 6], [0.5, 8]]
    assert prompt.point_labels.tolist() == [True, False, True, True]


def test_next_begins_another_region():
    first, second, third = parse_prompts([], ["1,2", "next", "3,4", "5,6,-", "next", "7,8"], [])
    assert [len(prompt.points) for prompt in (first, second, third)] == [1, 2, 1]
    assert second.point_labels.tolist() == [True, False]


def test_masks_are_read_from_files_after_boxes_and_points(tmp_path):
    pixels = np.zeros((5, 7), dtype=np.uint8)
    pixels[1, 2] = 1
    path = tmp_path / "mask.png"
    Image.fromarray(pixels).save(path)
    box, points, mask = parse_prompts(["0,0,1,1"], ["1,1"], [str(path)])
    assert box.box is not None
    assert len(points.points) == 1
    assert np.argwhere(mask.mask).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("boxes", "points", "message"),
    [
        (["1,2,3"], [], r"--box must be x1,y1,x2,y2 in pixels, not '1,2,3'"),
        (["1,2,3,x"], [], "not '1,2,3,x'"),
        ([""], [], "--box must be"),
        ([], ["1"], "--point must be x,y or x,y,- in pixels, not '1'"),
        ([], ["1,-"], "not '1,-'"),
        ([], ["1,2,3"], "not '1,2,3'"),
        ([], ["1,2,-,-"], "not '1,2,-,-'"),
        ([], ["next"], "between the points of two regions"),
        ([], ["1,2", "next"], "between the points of two regions"),
        ([], ["1,2", "next", "next", "3,4"], "between the points of two regions"),
    ],
)
def test_values_of_another_form_are_quoted(boxes, points, message):
    with pytest.raises(PromptError, match=message):
        parse_prompts(boxes, points, [])


def test_a_mask_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(PromptError, match=r"--mask .*missing\.png: there is no such file"):
        parse_prompts([], [], [str(tmp_path / "missing.png")])


@pytest.mark.parametrize(
    ("box", "points", "message"),
    [
        (["129,466,4,341"], [], "--box 129,466,4,341 fits no image: the box (129, 466, 4, 341) is"),
        (["5,5,5,9"], [], "is empty: x2 must be larger than x1"),
        (["-9,-9,-1,-1"], [], "is outside the image"),
        (["nan,1,2,3"], [], "not finite"),
        (["1,1,9,9", "9,1,1,9"], [], "--box 9,1,1,9 fits no image"),
        ([], ["-7,8"], "--point -7,8 fits no image: the point (-7, 8) is outside the image"),
        ([], ["1,1", "inf,1"], "not a pair of finite numbers"),
        ([], ["70000,1"], "outside the image of 65535 x 65535"),
        ([], ["1,1,-", "2,2,-"], "all points are beside the object: give one on it"),
    ],
)
def test_what_can_be_right_in_no_image_is_refused_at_once(box, points, message):
    with pytest.raises(PromptError) as caught:
        parse_prompts(box, points, [])
    assert message in str(caught.value)


def test_masks_that_can_be_right_in_no_image_are_refused_at_once(tmp_path):
    files = {"one": (7, 5), "other": (8, 5)}
    for name, size in files.items():
        Image.new("L", size, 255).save(tmp_path / f"{name}.png")
    Image.new("L", (7, 5)).save(tmp_path / "black.png")
    one, other, black = (str(tmp_path / f"{name}.png") for name in ("one", "other", "black"))
    for boxes, masks, message in (
        ([], [black], "the mask is empty"),
        ([], [one, other], "the mask has 8 x 5 pixels, but the image 7 x 5"),
        (["7,0,9,5"], [one], "is outside the image of 7 x 5"),
    ):
        with pytest.raises(PromptError, match=message):
            parse_prompts(boxes, [], masks)
