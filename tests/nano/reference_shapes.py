"""The ten shapes once more, slowly: one point at a time, by polygons, discs and plain geometry."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Point = tuple[float, float]


def inside(shape: str, point: Point, proportions: tuple[float, float, float]) -> bool:
    """Whether a point of a shape's own frame lies inside it."""
    return _TESTS[shape](point, *proportions)


def _in_polygon(point: Point, corners: list[Point]) -> bool:
    """Even-odd rule: count the edges that a ray to the right crosses."""
    x, y = point
    crossings = 0
    for (x1, y1), (x2, y2) in zip(corners, corners[1:] + corners[:1], strict=True):
        if (y1 > y) != (y2 > y) and x < x1 + (y - y1) * (x2 - x1) / (y2 - y1):
            crossings += 1
    return crossings % 2 == 1


def _in_disc(point: Point, centre: Point, radius: float) -> bool:
    return math.dist(point, centre) < radius


def _on_circle(degrees: float, radius: float = 1.0) -> Point:
    """A point on a circle; 0 degrees is up, and they grow clockwise."""
    return (
        radius * math.sin(math.radians(degrees)),
        -radius * math.cos(math.radians(degrees)),
    )


def _circle(point, a, b, c):
    return _in_disc(point, (0, 0), 1)


def _square(point, a, b, c):
    return _in_polygon(point, [_on_circle(45 + 90 * k) for k in range(4)])


def _triangle(point, a, b, c):
    if a < 1 / 3:
        corners = [(0, -1.0), (0.866, 0.5), (-0.866, 0.5)]
    elif a <= 2 / 3:
        half, base = 0.5 + 0.4 * b, 0.3 + 0.15 * c
        corners = [(0, -0.95), (half, base), (-half, base)]
    else:
        half, base = 0.55 + 0.3 * b, 0.55 + 0.15 * c
        corners = [(half, -0.55 - 0.3 * c), (half, base), (-half, base)]
    return _in_polygon(point, corners)


def _star(point, a, b, c):
    corners = []
    for tip in range(5):
        corners += [_on_circle(72 * tip), _on_circle(72 * tip + 36, 0.34 + 0.2 * a)]
    return _in_polygon(point, corners)


def _hexagon(point, a, b, c):
    return _in_polygon(point, [_on_circle(90 + 60 * k) for k in range(6)])


def _cross(point, a, b, c):
    t, end = 0.16 + 0.22 * a, 0.92
    bar = [(-end, -t), (end, -t), (end, t), (-end, t)]
    return _in_polygon(point, bar) or _in_polygon(point, [(y, x) for x, y in bar])


def _heart(point, a, b, c):
    x, y = abs(point[0]), point[1]
    centre, radius, tip = (0.44 - 0.06 * a, -0.3), 0.48 + 0.03 * b, (0.0, 0.8 + 0.15 * c)
    if _in_disc((x, y), centre, radius):
        return True
    touched = _touching_point(centre, radius, tip)
    dent = centre[1] - math.sqrt(radius**2 - centre[0] ** 2)  # where both discs meet, on the axis
    return _in_polygon((x, y), [tip, touched, centre, (-1e-9, dent), (-1e-9, tip[1])])


@cache
def _touching_point(centre: Point, radius: float, tip: Point) -> Point:
    """Where a line from the tip touches a disc: the farthest to the right, seen from there."""
    around = [math.pi * step / 20_000 for step in range(-10_000, 10_000)]
    rim = [(centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in around]
    return max(rim, key=lambda point: math.atan2(point[0] - tip[0], tip[1] - point[1]))


def _ring(point, a, b, c):
    return _in_disc(point, (0, 0), 1) and not _in_disc(point, (0, 0), 0.45 + 0.3 * a)


def _crescent(point, a, b, c):
    hole = _in_disc(point, (0.35 + 0.2 * b, 0), 0.75 + 0.2 * a)
    return _in_disc(point, (0, 0), 1) and not hole


def _arrow(point, a, b, c):
    neck, head, shaft = -0.1 + 0.45 * a, 0.4 + 0.3 * b, 0.1 + 0.16 * c
    upper = [(-0.95, -shaft), (neck, -shaft), (neck, -head), (1.0, 0.0)]
    return _in_polygon(point, upper + [(x, -y) for x, y in reversed(upper[:3])])


_TESTS: dict[str, Callable[..., bool]] = {
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
