"""The ten shapes as tests of points: is (x, y) inside?

Every shape lies in its own frame: x to the right, y down, centre at (0, 0), within the square from
-1 to 1 and mostly within the circle of radius 1. Three numbers from 0 to 1 vary its proportions:
how deep a star's notches are, how thick a ring is, how long an arrow's head is.
All functions take tensors that broadcast against each other, and return bool.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Proportions = Sequence[Tensor]


def _circle(x: Tensor, y: Tensor, _p: Proportions) -> Tensor:
    return x * x + y * y < 1


def _square(x: Tensor, y: Tensor, _p: Proportions) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) < math.sqrt(0.5)


def _triangle(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    # One third each: equilateral, isosceles of any height, right-angled. The apex is on top.
    equilateral, right = p[0] < 1 / 3, p[0] > 2 / 3
    half_base = torch.where(
        equilateral, 0.866, torch.where(right, 0.55 + 0.3 * p[1], 0.5 + 0.4 * p[1])
    )
    apex = torch.where(right, half_base, 0.0)
    top = torch.where(equilateral, -1.0, torch.where(right, -0.55 - 0.3 * p[2], -0.95))
    base = torch.where(equilateral, 0.5, torch.where(right, 0.55 + 0.15 * p[2], 0.3 + 0.15 * p[2]))
    height = base - top
    left = (x + half_base) * height - (apex + half_base) * (base - y)
    rightmost = (half_base - x) * height - (half_base - apex) * (base - y)
    return (y < base) & (left > 0) & (rightmost > 0)


def _star(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    # Fold the plane into half the sector of one point; then test against the edge from the tip
    # (0, 1) to the notch at 36 degrees.
    fifth = 2 * math.pi / 5
    angle = torch.atan2(x, -y)
    angle = (angle - fifth * torch.round(angle / fifth)).abs()
    radius = torch.sqrt(x * x + y * y)
    along, beside = radius * torch.cos(angle), radius * torch.sin(angle)
    notch = 0.34 + 0.2 * p[0]
    notch_x, notch_y = notch * math.sin(math.pi / 5), notch * math.cos(math.pi / 5)
    return beside * (1 - notch_y) < (1 - along) * notch_x


def _hexagon(x: Tensor, y: Tensor, _p: Proportions) -> Tensor:
    across, up = x.abs(), y.abs()
    apothem = math.sqrt(0.75)
    return torch.maximum(up, apothem * across + 0.5 * up) < apothem


def _cross(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    across, up = x.abs(), y.abs()
    thickness = 0.16 + 0.22 * p[0]
    return (torch.minimum(across, up) < thickness) & (torch.maximum(across, up) < 0.92)


def _heart(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    # Two circles side by side, and the wedge that touches both and ends in the tip.
    across = x.abs()
    centre, radius = 0.44 - 0.06 * p[0], 0.48 + 0.03 * p[1]
    rise, tip = 0.3, 0.8 + 0.15 * p[2]  # the circles' centres are `rise` above 0, the tip below 0
    in_circle = (across - centre) ** 2 + (y + rise) ** 2 < radius**2
    depth = tip + rise
    distance = torch.sqrt(centre**2 + depth**2)
    slant = torch.atan2(centre, depth) + torch.asin(radius / distance)  # of the tangent
    above = tip - y
    in_wedge = across * torch.cos(slant) < above * torch.sin(slant)
    # The wedge ends at the line from the tangent point to the circle's centre, below the dent.
    length = torch.sqrt(distance**2 - radius**2)
    before_touch = across * torch.sin(slant) + above * torch.cos(slant) < length
    dent = torch.sqrt((radius**2 - centre**2).clamp(min=0.0))
    return in_circle | (in_wedge & before_touch & (y > -rise - dent) & (above > 0))


def _ring(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    squared = x * x + y * y
    return (squared < 1) & (squared > (0.45 + 0.3 * p[0]) ** 2)


def _crescent(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    hole, shift = 0.75 + 0.2 * p[0], 0.35 + 0.2 * p[1]
    return (x * x + y * y < 1) & ((x - shift) ** 2 + y * y > hole**2)


def _arrow(x: Tensor, y: Tensor, p: Proportions) -> Tensor:
    up = y.abs()
    neck, half_head, half_shaft = -0.1 + 0.45 * p[0], 0.4 + 0.3 * p[1], 0.1 + 0.16 * p[2]
    shaft = (x > -0.95) & (x <= neck) & (up < half_shaft)
    return shaft | ((x > neck) & (up * (1 - neck) < (1 - x) * half_head))


INSIDE: tuple[Callable[[Tensor, Tensor, Proportions], Tensor], ...] = (
    _circle,
    _square,
    _triangle,
    _star,
    _hexagon,
    _cross,
    _heart,
    _ring,
    _crescent,
    _arrow,
)
"""The test of each shape, in the order of `words.SHAPES`."""


def inside(shape: Tensor, x: Tensor, y: Tensor, proportions: Proportions) -> Tensor:
    """Test points against shapes that differ from element to element, without a branch.

    Args:
        shape: int64, indices into `words.SHAPES`.
        x: float32, the coordinate in the shape's own frame; y likewise.
        proportions: three float32 tensors from 0 to 1.

    Returns:
        bool, of the common broadcast shape.
    """
    result = torch.zeros_like(x, dtype=torch.bool)
    for index, test in enumerate(INSIDE):
        result = torch.where(shape == index, test(x, y, proportions), result)
    return result
