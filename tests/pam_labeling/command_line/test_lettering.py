from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from pam_labeling.command_line.lettering import width_of, wrap, write


def drawn(text):
    image = Image.new("L", (200, 40), "white")
    write(ImageDraw.Draw(image), text, (5, 28), 0)
    return np.asarray(image) < 128


@pytest.mark.parametrize("text", ["aé", "—×", "ΩЖ", "星形", "。，", "“”", "（）"])
def test_letters_of_both_languages_are_drawn_and_not_boxes(text):
    # Letters that a font lacks would all be drawn alike, as its empty box.
    first, second = (drawn(letter) for letter in text)
    missing = drawn("\u0e00" if text < "\u2e80" else "\uac00")
    assert first.any()
    assert second.any()
    assert (first != second).any()
    assert (first != missing).any()
    assert (second != missing).any()


def test_chinese_and_english_stand_side_by_side():
    assert width_of("star 星形") == width_of("star ") + width_of("星形")
    mixed = drawn("ab星")
    assert mixed[:, 5 : 5 + int(width_of("ab"))].any()
    assert mixed[:, 5 + int(width_of("ab")) :].any()


@given(st.text(max_size=60), st.integers(20, 300))
@settings(max_examples=60, deadline=None)
def test_lines_fit_and_no_letter_is_lost(text, width):
    lines = wrap(text, width)
    assert "".join("".join(lines).split()) == "".join(text.split())
    assert all(len(line) == 1 or width_of(line) <= width for line in lines)


def test_line_breaks_of_the_text_count_as_spaces():
    assert wrap("one\n two\t\r\nthree ", 1000) == ["one two three"]
    assert wrap(" \n", 1000) == []


def test_lines_break_between_words_and_between_chinese_characters():
    assert wrap("one two", width_of("one tw")) == ["one", "two"]
    assert wrap("大型红色星形", width_of("大型红")) == ["大型红", "色星形"]
