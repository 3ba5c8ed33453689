"""Draw regions on images: tinted masks, outlines and labels, with the captions underneath."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from pam_labeling.command_line.lettering import SIZE, UNJOINED, is_unjoined, width_of, wrap, write
from pam_labeling.regions import Region

Canvas = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

_LONGEST_SIDE = (720, 1600)  # pixels; small images are enlarged, so that words stay legible
_TINT = 0.3
_INK: Colour = (30, 30, 30)
_LINE = 26  # pixels from line to line
_MARGIN = 12


def draw_overlay(pixels: Canvas, regions: Sequence[Region]) -> Canvas:
    """Draw regions and their words on a copy of the image.

    Regions are numbered from 1 in their order. The image is scaled so that its longest side has 720
    to 1,600 pixels. The strip underneath has a line for each region and text, in as many columns as
    fit.

    Args:
        pixels: the upright image, uint8 `(height, width, 3)` RGB.
        regions: the regions of this image.

    Returns:
        The overlay, uint8 `(height', width', 3)` RGB.
    """
    canvas = _scaled(pixels)
    # Small regions are drawn last, so that large ones do not cover them.
    largest_first = sorted(range(len(regions)), key=lambda index: -regions[index].area)
    for index in largest_first:
        _draw_mask(canvas, regions[index].mask, colour_of(index))
    image = Image.fromarray(canvas)
    for index in largest_first:
        _draw_tag(image, pixels.shape[1], regions[index], index)
    return np.concatenate([np.asarray(image), _draw_strip(regions, image.width)])


def colour_of(index: int) -> Colour:
    """A strong RGB colour for the region with this index; the next indices get other colours."""
    hue = (index * 0.618034) % 1.0  # steps of the golden ratio fill the circle evenly
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.85, 0.95 if index % 2 == 0 else 0.75)
    return round(red * 255), round(green * 255), round(blue * 255)


def _scaled(pixels: Canvas) -> Canvas:
    height, width = pixels.shape[:2]
    low, high = _LONGEST_SIDE
    longest = max(height, width)
    scale = min(max(longest, low), high) / longest
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # OpenCV returns a new array even at scale 1, so the caller may draw on it.
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, size, interpolation=method), dtype=np.uint8)


def _draw_mask(canvas: Canvas, mask: npt.NDArray[np.bool_], colour: Colour) -> None:
    height, width = canvas.shape[:2]
    # uint8 [height, width] of the canvas
    scaled = cv2.resize(mask.view(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
    inside = scaled > 0
    tinted = canvas[inside] * (1 - _TINT) + np.array(colour) * _TINT  # [pixels, RGB]
    canvas[inside] = tinted.round().astype(np.uint8)
    outlines, _ = cv2.findContours(scaled, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    # A dark line under the bright one stands out from any background.
    cv2.drawContours(canvas, outlines, -1, _INK, thickness=4, lineType=cv2.LINE_AA)
    cv2.drawContours(canvas, outlines, -1, colour, thickness=2, lineType=cv2.LINE_AA)


def _draw_tag(image: Image.Image, original_width: int, region: Region, index: int) -> None:
    """Draw the number and label above the region's topmost pixel, but inside the image."""
    scale = image.width / original_width
    text, *_ = wrap(f"{index + 1} {region.label or ''}", image.width - 16)
    width, height = round(width_of(text)) + 10, SIZE + 8
    rows, columns = np.nonzero(region.mask)  # row by row, so the first pixel is a topmost one
    x = max(0, min(round(columns[0] * scale), image.width - width))
    y = max(0, min(round(rows[0] * scale) - height, image.height - height))
    colour = colour_of(index)
    draw = ImageDraw.Draw(image)
    draw.rectangle((x, y, x + width, y + height), fill=colour)
    write(draw, text, (x + 5, y + height - 7), _on(colour))


def _draw_strip(regions: Sequence[Region], width: int) -> Canvas:
    """The words of all regions on white, in as many columns as fit: uint8 `(h, width, 3)`."""
    texts = [_sentences(region, index) for index, region in enumerate(regions)]
    indent = _MARGIN + 26
    widest = max((width_of(text) for block in texts for text in block), default=0)
    column = min(width, math.ceil(widest) + indent + _MARGIN)
    room = column - indent - _MARGIN
    blocks = [[line for text in block for line in wrap(text, room)] for block in texts]
    deep = max(1, math.ceil(len(blocks) / (width // column)))
    columns = [blocks[start : start + deep] for start in range(0, len(blocks), deep)]
    height = max((sum(map(len, some)) for some in columns), default=0)
    unjoined = any(is_unjoined(text) for block in texts for text in block)
    remarks = wrap(UNJOINED, width - 2 * _MARGIN) if unjoined else []
    lines = height + len(remarks)
    strip = Image.new("RGB", (width, lines * _LINE + 2 * _MARGIN), "white")
    draw = ImageDraw.Draw(strip)
    for number, remark in enumerate(remarks, height):
        write(draw, remark, (_MARGIN, _MARGIN + SIZE + 2 + number * _LINE), _INK)
    for number, some in enumerate(columns):
        left, baseline = number * column, _MARGIN + SIZE + 2
        for index, block in enumerate(some, number * deep):
            square = (left + _MARGIN, baseline - 14, left + _MARGIN + 15, baseline + 1)
            draw.rectangle(square, fill=colour_of(index))
            for line in block:
                write(draw, line, (left + indent, baseline), _INK)
                baseline += _LINE
    return np.asarray(strip)


def _sentences(region: Region, index: int) -> list[str]:
    score = region.scores.iou if region.scores.label is None else region.scores.label
    head = f"{index + 1}  {region.label or '—'}  ({score:.2f})"
    if region.open_label is not None:
        head += f"  · {region.open_label}"
    known = (region.label, region.open_label)
    return [head, *(text for text in region.texts.values() if text not in known)]


def _on(colour: Colour) -> Colour:
    red, green, blue = colour
    # Black on bright colours, else white; the weights model the brightness that people see.
    return (0, 0, 0) if 0.299 * red + 0.587 * green + 0.114 * blue > 140 else (255, 255, 255)
