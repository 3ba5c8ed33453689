"""Write text on images in the letters of many languages.

This package contains the fonts, so that overlays look the same on every machine. A letter that no
font has is written as its code, such as [U+1F600].
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ImageDraw, ImageFont, features

Colour = tuple[int, int, int]

SIZE = 17
"""The font size in pixels."""

UNJOINED = (
    "Arabic and Indian letters stand side by side here: Pillow joins them with Raqm, which needs "
    "FriBiDi (libfribidi) on this machine."
)
"""What to write under a text that cannot be written as its readers expect."""

_FOLDER = Path(__file__).parents[1] / "fonts"
_LATIN = "DejaVuSans-Latin.ttf"
_FONTS = (
    _LATIN,
    "DroidSansFallback-GB2312.ttf",
    "NotoSansTC-Big5.ttf",
    "NotoSansJP-JIS.ttf",
    "NotoSansKR-Hangul.ttf",
    "NotoSansArabic.ttf",
    "NotoSansHebrew.ttf",
    "NotoSansDevanagari.ttf",
    "NotoSansThai.ttf",
)
_JOINED = frozenset({"NotoSansArabic.ttf", "NotoSansDevanagari.ttf"})
_LEFTWARD = frozenset({"NotoSansArabic.ttf", "NotoSansHebrew.ttf"})
_SHAPED = _JOINED | _LEFTWARD | {"NotoSansThai.ttf"}
_STRONG = ("L", "R", "AL")  # classes of letters that belong to a script
_NUMBER = re.compile(r"\d[\d.,]*\d")
_MIRRORED = str.maketrans("()[]{}<>", ")(][}{><")
_WIDE = "\u2e80-\U0010ffff"  # Chinese letters and punctuation, and everything after them
_PIECES = re.compile(f"[{_WIDE}]|[^\\s{_WIDE}]+|\\s+")


class _Run(NamedTuple):
    """A part of a line in one font."""

    text: str
    font: str


def width_of(text: str) -> float:
    """The width of one line of text in pixels."""
    return sum(_font(run.font).getlength(run.text) for run in _runs(text))


def write(draw: ImageDraw.ImageDraw, text: str, origin: tuple[float, float], ink: Colour) -> None:
    """Draw one line of text.

    Args:
        draw: draws on the image.
        text: a text without line breaks.
        origin: x of the left end and y of the baseline, in pixels.
        ink: the letters' RGB colour.
    """
    x, baseline = origin
    for run in _runs(text):
        font = _font(run.font)
        draw.text((x, baseline), run.text, fill=ink, font=font, anchor="ls")
        x += font.getlength(run.text)


def is_unjoined(text: str) -> bool:
    """Whether letters that readers expect to be joined are written one by one."""
    return not _shapes() and any(run.font in _JOINED for run in _runs(text))


def wrap(text: str, width: float) -> list[str]:
    """Break a text into lines of at most `width` pixels.

    Lines break between words and between Chinese characters. A word that is wider than a line is
    cut, but not before a mark that belongs to the letter. Line breaks in the text count as spaces.
    """
    lines: list[str] = []
    line = ""
    for piece in _PIECES.findall(" ".join(text.split())):
        if width_of((line + piece).strip()) <= width:
            line += piece
            continue
        lines.append(line.strip())
        line = piece
        while width_of(line) > width and len(line) > 1:
            fits = _letters_that_fit(line, width)
            lines.append(line[:fits])
            line = line[fits:]
    return [part for part in (*lines, line.strip()) if part]


def _letters_that_fit(line: str, width: float) -> int:
    counts = range(1, len(line) + 1)
    fits = bisect_right(counts, width, key=lambda count: width_of(line[:count]))
    whole = fits
    while 0 < whole < len(line) and unicodedata.category(line[whole]).startswith("M"):
        whole -= 1
    return max(1, whole or fits)


def _runs(text: str) -> list[_Run]:
    """The parts of a line from left to right, each in one font."""
    runs: list[_Run] = []
    for letter, font in _lettered(unicodedata.normalize("NFC", text)):
        if runs and runs[-1].font == font:
            runs[-1] = _Run(runs[-1].text + letter, font)
        else:
            runs.append(_Run(letter, font))
    # A line goes the way of its first letter or digit.
    classes = (unicodedata.bidirectional(letter) for letter in text)
    leftward = next((found for found in classes if found in (*_STRONG, "EN")), "L") in ("R", "AL")
    return [_turned(run, leftward) for run in (reversed(runs) if leftward else runs)]


def _turned(run: _Run, leftward: bool) -> _Run:
    """A run with its spaces on the right side, and without Raqm its letters in the right order."""
    text = run.text
    if (run.font in _LEFTWARD) != leftward:  # its end lies at the letters before it
        text = " " * (len(text) - len(text.rstrip(" "))) + text.rstrip(" ")
    if run.font in _LEFTWARD and not _shapes():
        text = _NUMBER.sub(lambda number: number[0][::-1], text[::-1].translate(_MIRRORED))
    return _Run(text, run.font)


def _lettered(text: str) -> Iterator[tuple[str, str]]:
    """Each letter with its font; a letter without one as its code, an invisible one not at all."""
    current = _LATIN
    for letter in text:
        # Spaces, digits and punctuation stay in the font of the word before.
        weak = unicodedata.bidirectional(letter) not in _STRONG
        if weak and ord(letter) in _letters(current):
            yield letter, current
        elif unicodedata.category(letter) in ("Cc", "Cf") or _is_variant(letter):
            continue
        elif font := _font_of(letter):
            current = font
            yield letter, font
        else:
            yield f"[U+{ord(letter):04X}]", _LATIN


def _is_variant(letter: str) -> bool:
    """Whether it only chooses a form of the letter before, such as that of an emoji."""
    return "\ufe00" <= letter <= "\ufe0f"


@cache
def _font_of(letter: str) -> str:
    """The first font that has a letter; "" if none has it."""
    return next((font for font in _FONTS if ord(letter) in _letters(font)), "")


@cache
def _letters(font: str) -> frozenset[int]:
    """The letters of a font of this package, from its table of 16-bit codes."""
    content = (_FOLDER / font).read_bytes()

    def number(at: int, size: int = 2) -> int:
        return int.from_bytes(content[at : at + size], "big")

    records = range(12, 12 + 16 * number(4), 16)
    cmap = next(number(at + 8, 4) for at in records if content[at : at + 4] == b"cmap")
    tables = (cmap + number(cmap + 8 + 8 * index, 4) for index in range(number(cmap + 2)))
    table = next(at for at in tables if number(at) == 4)
    count = number(table + 6) // 2
    ends = np.frombuffer(content, ">u2", count, table + 14)
    starts = np.frombuffer(content, ">u2", count, table + 16 + 2 * count)
    pairs = zip(starts.tolist(), ends.tolist(), strict=True)
    return frozenset(code for start, end in pairs for code in range(start, end + 1))


@cache
def _shapes() -> bool:
    """Whether Pillow can join letters, and set those that are read from right to left."""
    return bool(features.check_feature("raqm"))


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    shaped = name in _SHAPED and _shapes()
    engine = ImageFont.Layout.RAQM if shaped else ImageFont.Layout.BASIC
    return ImageFont.truetype(_FOLDER / name, SIZE, layout_engine=engine)
