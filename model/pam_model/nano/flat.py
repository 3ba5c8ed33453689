"""Simple flat images drawn with Pillow, to test nano on something it was not trained on.

They share no drawing code with the world that nano was trained on, only the names of shapes and
colours.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageColor, ImageDraw

from pam_model.nano import words
from pam_model.nano.texts import Facts
from pam_model.nano.world import DrawnObject, DrawnScene

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
_SIZES = ((640, 480), (480, 640), (512, 512), (800, 450), (400, 300), (1024, 768), (360, 640))
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
_COLOUR_NAMES = [word.en for word in words.COLOURS]
_LEAST_DIFFERENCE = 90.0  # between an object's RGB and the ground's
_GAP = 4  # pixels between objects


@dataclass(frozen=True, eq=False)
class _Pen:
    """Draws one object around its centre, in units of its radius."""

    draw: ImageDraw.ImageDraw
    x: float
    y: float
    radius: float
    rng: random.Random

    def polygon(self, points: list[Point], degrees: float = 0.0) -> None:
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        turned = [(x * cos - y * sin, x * sin + y * cos) for x, y in points]
        corners = [(self.x + self.radius * x, self.y + self.radius * y) for x, y in turned]
        self.draw.polygon(corners, fill=1)

    def disc(self, radius: float = 1.0, shift: float = 0.0, fill: int = 1) -> None:
        x, reach = self.x + shift * self.radius, radius * self.radius
        self.draw.ellipse((x - reach, self.y - reach, x + reach, self.y + reach), fill=fill)

    def bar(self, half_width: float, half_height: float) -> None:
        across, down = half_width * self.radius, half_height * self.radius
        corners = (self.x - across, self.y - down, self.x + across, self.y + down)
        self.draw.rectangle(corners, fill=1)


def draw_flat_image(seed: int) -> DrawnScene:
    """Draw 1 to 10 shapes of one colour each, apart from each other, on a simple ground.

    Args:
        seed: the same seed gives the same image.

    Returns:
        The image and its objects; of their facts, only shape and colour have a meaning.
    """
    rng = random.Random(seed)
    width, height = rng.choice(_SIZES)
    ground = rng.choice(_GROUNDS)
    image = _ground(rng, ground, width, height)
    below = ImageColor.getrgb(ground)
    names = [
        name
        for name, code in COLOURS.items()
        if math.dist(ImageColor.getrgb(code), below) > _LEAST_DIFFERENCE
    ]
    objects: list[DrawnObject] = []
    taken: list[tuple[float, float, float]] = []
    for _ in range(rng.randint(1, 10)):
        spot = _free_spot(rng, taken, width, height)
        if spot is None:
            continue
        taken.append(spot)
        shape, colour = rng.choice(range(len(_DRAW))), rng.choice(names)
        mask = Image.new("1", (width, height), 0)
        _DRAW[shape](_Pen(ImageDraw.Draw(mask), *spot, rng))
        image.paste(COLOURS[colour], mask=mask)
        facts = Facts(shape, _COLOUR_NAMES.index(colour), 0, 0, 0, 0)
        objects.append(DrawnObject(np.asarray(mask, dtype=np.bool_), facts, (), 1.0))
    free = ~np.any([thing.mask for thing in objects], axis=0)  # [H, W]
    return DrawnScene(np.asarray(image), tuple(objects), free)


def _ground(rng: random.Random, colour: str, width: int, height: int) -> Image.Image:
    """A plain ground (half of the time), or one with noise, faint lines or a soft gradient."""
    image = Image.new("RGB", (width, height), colour)
    kind = rng.choice(["plain", "plain", "plain", "noise", "lines", "gradient"])
    if kind == "noise":
        noise = np.random.default_rng(rng.getrandbits(32)).normal(0, 6, (height, width, 1))
        image = Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8))
    elif kind == "lines":
        faint = tuple(v + (12 if v < 128 else -12) for v in ImageColor.getrgb(colour))
        draw, step = ImageDraw.Draw(image), rng.randint(12, 40)
        for y in range(0, height, step):
            draw.line((0, y, width, y), fill=faint)
    elif kind == "gradient":
        other = Image.new("RGB", (width, height), "gray")
        ramp = Image.linear_gradient("L").resize((width, height)).point(lambda v: v // 6)
        image = Image.composite(other, image, ramp)
    return image


def _free_spot(
    rng: random.Random, taken: list[tuple[float, float, float]], width: int, height: int
) -> tuple[float, float, float] | None:
    """The centre and radius of a circle inside the image that touches no other."""
    side = min(width, height)
    for _ in range(60):
        radius = rng.uniform(0.06, 0.25) * side
        x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        if all(math.dist((x, y), other[:2]) > radius + other[2] + _GAP for other in taken):
            return x, y, radius
    return None


def _around(count: int, first: float) -> list[Point]:
    steps = (math.radians(first + 360 * index / count) for index in range(count))
    return [(math.cos(step), math.sin(step)) for step in steps]


def _triangle(pen: _Pen) -> None:
    equilateral = _around(3, -90)
    isosceles = [(0.0, -0.9), (0.7, 0.7), (-0.7, 0.7)]
    right = [(-0.7, -0.7), (0.7, 0.7), (-0.7, 0.7)]
    pen.polygon(pen.rng.choice([equilateral, isosceles, right]))


def _star(pen: _Pen) -> None:
    inner = pen.rng.choice([0.382, 0.4, 0.45, 0.5])
    notches = [(x * inner, y * inner) for x, y in _around(5, -54)]
    edges = zip(_around(5, -90), notches, strict=True)
    pen.polygon([point for edge in edges for point in edge], pen.rng.choice([0, 0, 0, 20, 180]))


def _cross(pen: _Pen) -> None:
    thickness = pen.rng.uniform(0.2, 0.35)
    pen.bar(0.9, thickness)
    pen.bar(thickness, 0.9)


def _heart(pen: _Pen) -> None:
    # The usual heart curve of sines and cosines.
    cos, sin = math.cos, math.sin
    pen.polygon(
        [
            (
                16 * sin(t) ** 3 / 18,
                -(13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 18,
            )
            for t in (2 * math.pi * step / 60 for step in range(60))
        ]
    )


def _ring(pen: _Pen) -> None:
    pen.disc()
    pen.disc(1 - pen.rng.uniform(0.25, 0.45), fill=0)


def _crescent(pen: _Pen) -> None:
    pen.disc()
    pen.disc(0.85, shift=pen.rng.choice([-0.45, 0.45]), fill=0)


def _arrow(pen: _Pen) -> None:
    rng = pen.rng
    neck, head, shaft = rng.uniform(0.0, 0.3), rng.uniform(0.45, 0.65), rng.uniform(0.14, 0.24)
    upper = [(-0.95, -shaft), (neck, -shaft), (neck, -head)]
    lower = [(x, -y) for x, y in reversed(upper)]
    # No corner is outside the radius: the tip is at 0.98, and the head's corners are nearer.
    pen.polygon([*upper, (0.98, 0.0), *lower], rng.choice([0, 90, 180, 270]))


# In the order of `words.SHAPES`.
_DRAW: tuple[Callable[[_Pen], None], ...] = (
    _Pen.disc,
    lambda pen: pen.bar(0.7, 0.7),
    _triangle,
    _star,
    lambda pen: pen.polygon(_around(6, pen.rng.choice([0, 30]))),
    _cross,
    _heart,
    _ring,
    _crescent,
    _arrow,
)
