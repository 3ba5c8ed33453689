"""Simple flat pictures, drawn with Pillow as anybody would: a second opinion on nano.

This shares no drawing code with the world that nano was trained on. Names of shapes and colours are
the only thing in common.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Point = tuple[float, float]

COLOURS = {
    "red": "red",
    "orange": "orange",
    "yellow": "yellow",
    "green": "green",
    "blue": "blue",
    "purple": "purple",
    "pink": "pink",
    "brown": "saddlebrown",
    "black": "black",
    "white": "white",
    "gray": "gray",
    "cyan": "cyan",
}
_GROUNDS = (
    "white",
    "black",
    "lightgray",
    "beige",
    "lightblue",
    "darkgreen",
    "navy",
    "#e8e8f0",
    "#303030",
)
_LEAST_DIFFERENCE = 90.0  # between an object's RGB and the ground's


@dataclass(frozen=True, eq=False)
class FlatObject:
    """One object of a flat picture.

    Attributes:
        shape: its English name.
        colour: its English name.
        mask: bool `(H, W)`, of what is to be seen.
    """

    shape: str
    colour: str
    mask: npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class FlatPicture:
    """A picture and its objects, which do not overlap.

    Attributes:
        picture: uint8 `(H, W, 3)`, RGB.
        objects: in the order of drawing.
    """

    picture: npt.NDArray[np.uint8]
    objects: tuple[FlatObject, ...]


def draw_flat_picture(seed: int) -> FlatPicture:
    """Draw 1 to 8 shapes of one colour each, apart from each other, on a plain or noisy ground."""
    rng = random.Random(seed)
    width, height = rng.choice(
        [(640, 480), (480, 640), (512, 512), (800, 450), (400, 300), (1024, 768)]
    )
    ground = rng.choice(_GROUNDS)
    image = Image.new("RGB", (width, height), ground)
    if rng.random() < 0.3:
        noise = np.random.default_rng(seed).normal(0, 6, (height, width, 1))
        pixels = np.asarray(image, dtype=np.float64) + noise
        image = Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
    base = np.array(Image.new("RGB", (1, 1), ground))[0, 0].astype(float)
    names = [name for name, code in COLOURS.items() if _differs(code, base)]
    objects: list[FlatObject] = []
    taken: list[tuple[float, float, float]] = []
    for _ in range(rng.randint(1, 8)):
        spot = _free_spot(rng, taken, width, height)
        if spot is None:
            continue
        taken.append(spot)
        shape, colour = rng.choice(list(_DRAW)), rng.choice(names)
        mask = Image.new("1", (width, height), 0)
        _DRAW[shape](ImageDraw.Draw(mask), spot, rng)
        image.paste(COLOURS[colour], mask=mask)
        objects.append(FlatObject(shape, colour, np.asarray(mask, dtype=np.bool_)))
    return FlatPicture(np.asarray(image), tuple(objects))


def _differs(code: str, ground: npt.NDArray[np.float64]) -> bool:
    colour = np.array(Image.new("RGB", (1, 1), code))[0, 0].astype(float)
    return float(np.linalg.norm(colour - ground)) > _LEAST_DIFFERENCE


def _free_spot(
    rng: random.Random, taken: list[tuple[float, float, float]], width: int, height: int
) -> tuple[float, float, float] | None:
    """Centre and radius of a circle inside the picture that touches no other."""
    side = min(width, height)
    for _ in range(60):
        radius = rng.uniform(0.06, 0.2) * side
        x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        if all(math.dist((x, y), other[:2]) > radius + other[2] + 4 for other in taken):
            return x, y, radius
    return None


def _polygon(spot: tuple[float, float, float], points: list[Point]) -> list[Point]:
    x, y, radius = spot
    return [(x + radius * dx, y + radius * dy) for dx, dy in points]


def _turned(points: list[Point], degrees: float) -> list[Point]:
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return [(x * cos - y * sin, x * sin + y * cos) for x, y in points]


def _around(count: int, first: float) -> list[Point]:
    steps = (math.radians(first + 360 * index / count) for index in range(count))
    return [(math.cos(step), math.sin(step)) for step in steps]


def _circle(
    draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random
) -> None:
    x, y, radius = spot
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)


def _square(
    draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random
) -> None:
    x, y, radius = spot
    half = radius * 0.7
    draw.rectangle((x - half, y - half, x + half, y + half), fill=1)


def _triangle(
    draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random
) -> None:
    corners = rng.choice(
        [
            _around(3, -90),
            [(0.0, -0.9), (0.7, 0.7), (-0.7, 0.7)],
            [(-0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)],
        ]
    )
    draw.polygon(_polygon(spot, corners), fill=1)


def _star(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random) -> None:
    inner = rng.choice([0.382, 0.4, 0.45, 0.5])
    tips, notches = _around(5, -90), _around(5, -54)
    points = [
        point
        for tip, notch in zip(tips, notches, strict=True)
        for point in (tip, (notch[0] * inner, notch[1] * inner))
    ]
    draw.polygon(_polygon(spot, points), fill=1)


def _hexagon(
    draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random
) -> None:
    draw.polygon(_polygon(spot, _around(6, rng.choice([0, 30]))), fill=1)


def _cross(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random) -> None:
    x, y, radius = spot
    arm = radius * rng.uniform(0.2, 0.35)
    draw.rectangle((x - radius * 0.9, y - arm, x + radius * 0.9, y + arm), fill=1)
    draw.rectangle((x - arm, y - radius * 0.9, x + arm, y + radius * 0.9), fill=1)


def _heart(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random) -> None:
    points = []
    for step in range(60):
        t = 2 * math.pi * step / 60
        x = 16 * math.sin(t) ** 3
        y = -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
        points.append((x / 18, y / 18))
    draw.polygon(_polygon(spot, points), fill=1)


def _ring(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random) -> None:
    x, y, radius = spot
    width = max(3, round(radius * rng.uniform(0.25, 0.45)))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=1, width=width)


def _crescent(
    draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random
) -> None:
    x, y, radius = spot
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    shift, hole = rng.choice([-1, 1]) * radius * 0.45, radius * 0.85
    draw.ellipse((x + shift - hole, y - hole, x + shift + hole, y + hole), fill=0)


def _arrow(draw: ImageDraw.ImageDraw, spot: tuple[float, float, float], rng: random.Random) -> None:
    neck, head, shaft = rng.uniform(0.0, 0.3), rng.uniform(0.45, 0.65), rng.uniform(0.14, 0.24)
    points = [(-0.95, -shaft), (neck, -shaft), (neck, -head), (0.98, 0.0)]
    points += [(x, -y) for x, y in reversed(points[:3])]
    draw.polygon(_polygon(spot, _turned(points, rng.choice([0, 90, 180, 270]))), fill=1)


_DRAW: dict[
    str, Callable[[ImageDraw.ImageDraw, tuple[float, float, float], random.Random], None]
] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "star": _star,
    "hexagon": _hexagon,
    "cross": _cross,
    "heart": _heart,
    "ring": _ring,
    "crescent": _crescent,
    "arrow": _arrow,
}
