"""Requests are checked where they are made, in a sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pam_labeling import LoadedImage, Prompt, Request, Vocabulary, read_image
from pam_labeling.errors import ImageError, InputError
from pam_model import Question, Task

PIXELS = np.zeros((4, 6, 3), np.uint8)


@pytest.mark.parametrize(
    "image",
    [PIXELS, Image.fromarray(PIXELS), None, 5, bytearray(b"x")],
    ids=lambda image: type(image).__name__,
)
def test_an_image_in_memory_is_refused_with_its_constructor(image):
    with pytest.raises(ImageError, match=rf"not {type(image).__name__}; .*LoadedImage.from_pixels"):
        Request(image)
    with pytest.raises(ImageError, match="a path or bytes, not .*LoadedImage.from_pixels"):
        read_image(image)


def test_the_constructors_of_the_sentence_work():
    image = Image.fromarray(PIXELS)
    with pytest.raises(ImageError, match="not an array but Image; .*LoadedImage.from_pixels"):
        LoadedImage.from_pixels(image)
    made = LoadedImage.from_pixels(np.array(image.convert("RGB")))
    assert Request(made).image.size == (6, 4)


@pytest.mark.parametrize("image", [Path("a.png"), "a.png", b"", LoadedImage.from_pixels(PIXELS)])
def test_paths_contents_and_loaded_images_are_taken(image):
    request = Request(image, [Prompt.from_points([(1, 1)])], [Question(Task.BRIEF)] * 2)
    assert request.image is image
    assert len(request.prompts) == len(request.questions) == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"questions": ["label"]}, r"each of the questions .*Question\(Task.LABEL\), not 'label'"),
        ({"questions": "label"}, r"questions must be a list such as \[Question\(Task.LABEL\)\]"),
        ({"questions": [Task.LABEL]}, "each of the questions must be like Question"),
        ({"questions": [("label", "en")]}, "each of the questions must be like Question"),
        ({"questions": None}, "questions must be a list"),
        ({"prompts": [(1, 2)]}, "each of the prompts must be like Prompt.from_points"),
        ({"prompts": Prompt.from_points([(1, 2)])}, "prompts must be a list"),
        ({"vocabulary": ["cat"]}, r"vocabulary must be like Vocabulary\(.*not \['cat'\]"),
        ({"everything": True}, r"everything must be like AutomaticMaskOptions\(\)"),
        ({"generation": {"seed": 1}}, r"generation must be like GenerationOptions\(\)"),
        ({"choices": ["red"]}, r'choices must be like \{"colour": Vocabulary'),
        ({"choices": {"colour": ["red"]}}, "each of the choices must be like Vocabulary"),
    ],
)
def test_a_value_of_another_type_is_refused_by_its_name(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        replace(Request("a.png", vocabulary=Vocabulary(("cat",))), **changes)
