"""Write text on images in Latin, Greek, Cyrillic and Chinese letters.

This package contains the fonts, so that overlays look the same on every machine.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from functools import cache
from pathlib import Path

from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]

SIZE = 17
"""The font size in pixels."""

_FONTS = Path(__file__).parents[1] / "fonts"
_WIDE = "\u2e80-\U0010ffff"  # Chinese letters and punctuation, and everything after them
_RUNS = re.compile(f"[{_WIDE}]+|[^{_WIDE}]+")
_PIECES = re.compile(f"[{_WIDE}]|[^\\s{_WIDE}]+|\\s+")


def width_of(text: str) -> float:
    """The width of one line of text in pixels."""
    return sum(_font_for(run).getlength(run) for run in _RUNS.findall(text))


def write(draw: ImageDraw.ImageDraw, text: str, origin: tuple[float, float], ink: Colour) -> None:
    """Draw one line of text.

    Args:
        draw: draws on the image.
        text: a text without line breaks.
        origin: x of the left end and y of the baseline, in pixels.
        ink: the letters' RGB colour.
    """
    x, baseline = origin
    for run in _RUNS.findall(text):
        font = _font_for(run)
        draw.text((x, baseline), run, fill=ink, font=font, anchor="ls")
        x += font.getlength(run)


def wrap(text: str, width: float) -> list[str]:
    """Break a text into lines of at most `width` pixels.

    Lines break between words and between Chinese characters. A word that is wider than a line is
    cut. Line breaks in the text count as spaces.
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
    return max(1, bisect_right(counts, width, key=lambda count: width_of(line[:count])))


def _font_for(run: str) -> ImageFont.FreeTypeFont:
    wide = run[0] >= "\u2e80"
    return _font("DroidSansFallback-GB2312.ttf" if wide else "DejaVuSans-Latin.ttf")


@cache
def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(_FONTS / name, SIZE, layout_engine=ImageFont.Layout.BASIC)
