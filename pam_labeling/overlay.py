"""Pictures with their regions drawn on: tinted masks, outlines, labels, and captions underneath."""

from __future__ import annotations

import colorsys
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

import cv2
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from pam_labeling.regions import Region

    Canvas = npt.NDArray[np.uint8]
    Colour = tuple[int, int, int]

_LONGEST_SIDE = (720, 1600)  # pixels: small pictures are enlarged, so that words stay legible
_TINT = 0.45
_INK: Colour = (30, 30, 30)
_PAPER = 255
_LINE = 26  # pixels from line to line
_LETTERS = 17  # their height in pixels
_MARGIN = 12
# OpenCV carries this font: it has Latin, Greek, Cyrillic and Chinese letters on every machine.
_FONT = "sans"
_WEIGHT = 400  # regular; its default is the thinnest
_PIECES = re.compile(r"[\u2e80-\uffef]|\s+|[^\s\u2e80-\uffef]+")


def draw_overlay(pixels: Canvas, regions: Sequence[Region]) -> Canvas:
    """Draw regions and what is said about them.

    Regions are numbered from 1 in their order. The picture is scaled to between 720 and 1,600
    pixels on its longest side; the strip underneath has a line for each region and text.

    Args:
        pixels: uint8 `(height, width, 3)` RGB, the upright picture.
        regions: of this picture.

    Returns:
        uint8 `(height', width', 3)` RGB.
    """
    canvas = _scaled(pixels)
    largest_first = sorted(range(len(regions)), key=lambda index: -regions[index].area)
    for index in largest_first:
        _draw_mask(canvas, regions[index].mask, colour_of(index))
    for index in largest_first:
        _draw_tag(canvas, pixels.shape[1], regions[index], index)
    return np.concatenate([canvas, _draw_strip(regions, canvas.shape[1])])


def colour_of(index: int) -> Colour:
    """A strong RGB colour for the region with this index; neighbours in number differ most."""
    hue = (index * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95 if index % 2 == 0 else 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def wrap(text: str, width: int) -> list[str]:
    """Break a text into lines of at most `width` pixels.

    Between words, and also between Chinese characters; a word that is wider than a line is cut.
    """
    lines: list[str] = []
    line = ""
    for piece in _PIECES.findall(text):
        if _width_of((line + piece).strip()) <= width:
            line += piece
            continue
        lines.append(line.strip())
        line = piece
        while _width_of(line) > width and len(line) > 1:
            fits = _letters_that_fit(line, width)
            lines.append(line[:fits])
            line = line[fits:]
    return [part for part in (*lines, line.strip()) if part]


def _letters_that_fit(line: str, width: int) -> int:
    counts = range(1, len(line) + 1)
    return max(1, bisect_right(counts, width, key=lambda count: _width_of(line[:count])))


def _scaled(pixels: Canvas) -> Canvas:
    height, width = pixels.shape[:2]
    low, high = _LONGEST_SIDE
    longest = max(height, width)
    scale = min(max(longest, low), high) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if scale == 1:
        return pixels.copy()
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


def _draw_mask(canvas: Canvas, mask: npt.NDArray[np.bool_], colour: Colour) -> None:
    height, width = canvas.shape[:2]
    scaled = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    inside = scaled > 0
    tinted = canvas[inside] * (1 - _TINT) + np.array(colour) * _TINT
    canvas[inside] = tinted.round().astype(np.uint8)
    outlines, _ = cv2.findContours(scaled, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    # A dark line under the bright one shows on any ground.
    cv2.drawContours(canvas, outlines, -1, _INK, thickness=4, lineType=cv2.LINE_AA)
    cv2.drawContours(canvas, outlines, -1, colour, thickness=2, lineType=cv2.LINE_AA)


def _draw_tag(canvas: Canvas, picture_width: int, region: Region, index: int) -> None:
    """The number and label, at the top-left of the region's box, inside the picture."""
    height, width = canvas.shape[:2]
    scale = width / picture_width
    (text, *_) = wrap(f"{index + 1} {region.label or ''}".strip(), width - 16)
    tag_width, tag_height = _width_of(text) + 10, _LETTERS + 8
    x = max(0, min(round(region.box[0] * scale), width - tag_width))
    y = max(0, min(round(region.box[1] * scale) - tag_height, height - tag_height))
    colour = colour_of(index)
    cv2.rectangle(canvas, (x, y), (x + tag_width, y + tag_height), colour, thickness=-1)
    _write(canvas, text, (x + 5, y + tag_height - 7), _on(colour))


def _draw_strip(regions: Sequence[Region], width: int) -> Canvas:
    """The words about each region, on white: uint8 `(height, width, 3)`."""
    indent = _MARGIN + 26
    rows = [
        (index, line)
        for index, region in enumerate(regions)
        for number, text in enumerate(_sentences(region, index))
        for line in wrap(text, width - indent - _MARGIN)
    ]
    strip = np.full((len(rows) * _LINE + 2 * _MARGIN, width, 3), _PAPER, dtype=np.uint8)
    seen: set[int] = set()
    for number, (index, line) in enumerate(rows):
        baseline = _MARGIN + number * _LINE + _LETTERS + 2
        if index not in seen:
            corner = (_MARGIN, baseline - _LETTERS + 2)
            opposite = (corner[0] + 16, corner[1] + 16)
            cv2.rectangle(strip, corner, opposite, colour_of(index), thickness=-1)
            seen.add(index)
        _write(strip, line, (indent, baseline), _INK)
    return strip


def _sentences(region: Region, index: int) -> list[str]:
    score = region.scores.iou if region.scores.label is None else region.scores.label
    head = f"{index + 1}  {region.label or '—'}  ({score:.2f})"
    texts = (" ".join(text.split()) for text in region.texts.values())
    return [head, *(text for text in texts if text and text != region.label)]


def _on(colour: Colour) -> Colour:
    red, green, blue = colour
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)


def _width_of(text: str) -> int:
    if not text:
        return 0
    # A huge picture to measure in: OpenCV would break the line at its edge.
    found = cv2.getTextSize((1 << 20, 64), text, (0, 40), cv2.FontFace(_FONT), _LETTERS, _WEIGHT)
    return int(found[0] + found[2])


def _write(canvas: Canvas, text: str, origin: tuple[int, int], colour: Colour) -> None:
    cv2.putText(canvas, text, origin, colour, cv2.FontFace(_FONT), _LETTERS, _WEIGHT)
