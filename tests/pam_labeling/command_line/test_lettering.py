from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, features

from pam_labeling.command_line import lettering
from pam_labeling.command_line.lettering import is_unjoined, width_of, wrap, write


def drawn(text):
    image = Image.new("L", (200, 40), "white")
    write(ImageDraw.Draw(image), text, (5, 28), 0)
    return np.asarray(image) < 128


@pytest.fixture
def without_raqm(monkeypatch):
    """As on a machine without FriBiDi."""
    monkeypatch.setattr(lettering, "_shapes", lambda: False)
    lettering._font.cache_clear()
    yield
    lettering._font.cache_clear()


@pytest.mark.parametrize(
    "text",
    [
        *("aé", "—×", "ΩЖ", "星形", "。，", "“”", "（）"),
        *("한똠", "แม", "قط", "הג", "बक", "龜體", "駅図", "かカ", "ệđ"),
    ],
)
def test_letters_of_many_languages_are_drawn_and_not_their_codes(text):
    first, second = (drawn(letter) for letter in text)
    assert first.any()
    assert second.any()
    assert (first != second).any()
    assert all(width_of(letter) < 20 for letter in text)


def test_whole_alphabets_have_letters():
    korean = {chr(code) for code in range(0xAC00, 0xD7A4)}
    rows = range(0xA4, 0xC6), range(0xB0, 0xD7), range(0xB0, 0xCF)  # the common ones
    chinese = {
        bytes([first, second]).decode(codec)
        for codec, firsts in zip(("big5", "gb2312", "euc_jp"), rows, strict=True)
        for first in firsts
        for second in range(0xA1, 0xFA)
    }
    ranges = range(0x621, 0x64B), range(0xE01, 0xE2F), range(0x905, 0x93A), range(0x5D0, 0x5EB)
    other = {chr(code) for codes in ranges for code in codes}
    assert [letter for letter in korean | chinese | other if not lettering._font_of(letter)] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [("😀", "[U+1F600]"), ("\u0e3d", "[U+0E3D]"), ("\udc80", "[U+DC80]"), ("த", "[U+0BA4]")],
)
def test_a_letter_without_a_font_is_written_as_its_code(text, code):
    assert width_of(text) == width_of(code)
    np.testing.assert_array_equal(drawn(text), drawn(code))


def test_what_is_invisible_is_not_written():
    assert width_of("a\u200d\ufe0f\x07b\u200f") == width_of("ab")


def test_accents_that_stand_alone_join_their_letters():
    np.testing.assert_array_equal(drawn("e\u0301"), drawn("é"))


raqm = pytest.mark.skipif(not features.check("raqm"), reason="needs FriBiDi")


@raqm
@pytest.mark.parametrize("text", ["قطة", "क्षि"])
def test_arabic_and_hindi_letters_are_joined(text):
    assert width_of(text) < 0.9 * sum(width_of(letter) for letter in text)
    assert not is_unjoined(text)


@raqm
def test_hebrew_and_arabic_are_read_from_right_to_left():
    line = drawn("שלום BMW אב")
    alone = drawn("אב")[:, 5 : 5 + int(width_of("אב"))]
    np.testing.assert_array_equal(line[:, 5 : 5 + alone.shape[1] - 1], alone[:, :-1])
    number = drawn("1 אב")  # a line that begins with a number goes from left to right
    np.testing.assert_array_equal(number[:, :12], drawn("1")[:, :12])


def test_without_raqm_words_are_turned_round_and_a_remark_says_so(without_raqm):
    assert [run.text for run in lettering._runs("אב (3.14) גד")] == ["דג (3.14) בא"]
    assert is_unjoined("a قطة")
    assert is_unjoined("बिल्ली")
    assert not is_unjoined("cat 猫 고양이 แมว חתול")


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("1  קט  (0.98)", ["1  ", "קט  (0.98)"]),
        ("cat קט dog", ["cat ", " קט", "dog"]),
        ("קט BMW כד", ["כד", " BMW", "קט "]),
        ("고양이 (큰) cat", ["고양이 ", "(", "큰", ") cat"]),
        ("กา (1) x", ["กา (1) ", "x"]),
    ],
)
def test_a_line_is_set_in_parts_from_left_to_right(text, runs):
    assert [run.text for run in lettering._runs(text)] == runs


def test_a_word_is_not_cut_before_a_vowel_sign():
    word = "น้ำ" * 30
    lines = wrap(word, 100)
    assert "".join(lines) == word
    assert all(unicodedata.category(line[0]) != "Mn" for line in lines)


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
