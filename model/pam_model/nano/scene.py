"""Sample scenes of the drawn world: descriptions as tensors, before anything is drawn.

Lengths are fractions of the square root of the image's area, and places are fractions of its width
and height. A scene therefore stays the same at every size, and when its image is squashed. Each of
B scenes has N = `MAX_OBJECTS` places for objects. Sampling has no branch on the data and never
waits for the device, so that a whole batch can be made inside a CUDA graph.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import torch
from torch import Tensor

from pam_model.nano import words

MAX_OBJECTS = 12
GRAIN_CELLS = 128
# Radii of the circle around an object. Gaps keep small, medium and large apart.
RADII = ((0.038, 0.072), (0.1, 0.145), (0.195, 0.3))
_SIZE_ODDS = (0.42, 0.36, 0.22)
_TEXTURE_ODDS = (0.49, 0.17, 0.17, 0.17)
_GROUND_ODDS = (0.4, 0.15, 0.15, 0.15, 0.15)
_SHAPE_ODDS = (0.1, 0.1, 0.1, 0.1, 0.12, 0.09, 0.1, 0.09, 0.1, 0.1)
_LEAST_CONTRAST = 0.3  # between an object and the ground, as a distance in RGB of 0 to 1
_CANDIDATES = 6

# RGB values that each colour's name usually stands for; a paint is one of them or a mix of two.
_PAINTS = (
    ((255, 0, 0), (220, 20, 60), (200, 30, 30), (178, 34, 34), (230, 57, 70), (215, 38, 30)),
    ((255, 165, 0), (255, 140, 0), (255, 127, 14), (245, 130, 48), (240, 150, 40), (255, 128, 0)),
    ((255, 255, 0), (255, 215, 0), (250, 230, 60), (255, 225, 25), (240, 220, 40), (255, 235, 59)),
    ((0, 128, 0), (0, 255, 0), (34, 139, 34), (60, 180, 75), (50, 205, 50), (0, 160, 60)),
    ((0, 255, 255), (0, 206, 209), (70, 240, 240), (64, 224, 208), (0, 200, 220), (0, 188, 212)),
    ((0, 0, 255), (30, 60, 200), (65, 105, 225), (0, 0, 205), (30, 100, 220), (31, 119, 190)),
    ((128, 0, 128), (145, 30, 180), (148, 0, 211), (138, 43, 226), (106, 40, 150), (160, 32, 240)),
    (
        (255, 192, 203),
        (255, 105, 180),
        (255, 160, 190),
        (250, 130, 190),
        (255, 182, 193),
        (245, 150, 200),
    ),
    ((139, 69, 19), (165, 42, 42), (150, 75, 0), (121, 85, 72), (110, 60, 25), (160, 82, 45)),
    ((0, 0, 0), (10, 10, 10), (25, 25, 25), (30, 30, 35), (0, 0, 0), (40, 40, 40)),
    (
        (255, 255, 255),
        (250, 250, 250),
        (245, 245, 245),
        (240, 240, 240),
        (255, 255, 255),
        (235, 235, 235),
    ),
    (
        (128, 128, 128),
        (160, 160, 160),
        (105, 105, 105),
        (140, 140, 140),
        (120, 125, 130),
        (169, 169, 169),
    ),
)


@cache
def _paint_table(device: torch.device) -> Tensor:
    """float32 `(colours, 6, 3)`, RGB from 0 to 1; a CUDA graph cannot copy it from the host."""
    return (torch.tensor(_PAINTS) / 255).to(device)


@dataclass(frozen=True)
class Scenes:
    """B scenes of N places for objects each, drawn in order: later ones are on top.

    Attributes:
        aspect: float32 `(B,)`, width / height of the image before it is squashed.
        ground: int64 `(B,)`, indices into `words.GROUNDS`.
        ground_paints: float32 `(B, 2, 3)`, RGB from 0 to 1; the second is the pattern's.
        ground_pattern: float32 `(B, 3)`: angle in radians, period, phase from 0 to 1.
        grain: float32 `(B, 1, GRAIN_CELLS, GRAIN_CELLS)` from -1 to 1.
        camera: float32 `(B, 5)`: two strengths of blur from 0 to 1, noise, brightness, contrast.
        present: bool `(B, N)`: whether the place holds an object.
        shape, colour, texture, size: int64 `(B, N)`, indices into `words`.
        centre: float32 `(B, N, 2)`, x and y as fractions of the width and the height.
        radius: float32 `(B, N)`, of the circle around the object.
        turn: float32 `(B, N)`, radians clockwise before the image is squashed.
        proportions: float32 `(B, N, 3)` from 0 to 1, see `shapes`.
        paints: float32 `(B, N, 3, 3)`, RGB from 0 to 1 of the object, its pattern, its outline.
        pattern: float32 `(B, N, 3)`: angle in radians, period in radii, phase from 0 to 1.
        outline: float32 `(B, N)`, width of the outline in radii; 0 is none.
    """

    aspect: Tensor
    ground: Tensor
    ground_paints: Tensor
    ground_pattern: Tensor
    grain: Tensor
    camera: Tensor
    present: Tensor
    shape: Tensor
    colour: Tensor
    texture: Tensor
    size: Tensor
    centre: Tensor
    radius: Tensor
    turn: Tensor
    proportions: Tensor
    paints: Tensor
    pattern: Tensor
    outline: Tensor


@dataclass(frozen=True)
class Random:
    """Makes random tensors on one device, from one generator or the device's own."""

    device: torch.device
    generator: torch.Generator | None = None

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Return float32 of `shape`, uniform from `low` to `high`."""
        values = torch.rand(shape, device=self.device, generator=self.generator)
        return values * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        """Return float32 of `shape`, mean 0 and standard deviation 1."""
        return torch.randn(shape, device=self.device, generator=self.generator)

    def choice(self, odds: tuple[float, ...], *shape: int) -> Tensor:
        """Return int64 of `shape`: indices, chosen with these probabilities."""
        values = self.uniform(*shape)
        return torch.stack([values > bound for bound in accumulate(odds[:-1])]).sum(dim=0)

    def chance(self, probability: float, *shape: int) -> Tensor:
        """Return bool of `shape`, true with this probability."""
        return self.uniform(*shape) < probability


def sample_scenes(
    count: int, device: torch.device, generator: torch.Generator | None = None
) -> Scenes:
    """Sample `count` scenes.

    Args:
        count: B.
        device: where the tensors live.
        generator: on that device; None takes the device's own (needed inside a CUDA graph).
    """
    random = Random(device, generator)
    n = MAX_OBJECTS
    aspect = torch.exp(random.uniform(count, low=-1.0, high=1.0) * math.log(16 / 9))
    ground = random.choice(_GROUND_ODDS, count)
    ground_paints = _ground_paints(random, ground)
    size, radius = _sizes(random, count)
    colour, paint = _paints(random, ground_paints)
    texture = random.choice(_TEXTURE_ODDS, count, n)
    how_many = (random.uniform(count, 1) ** 1.2 * n).floor() + 1  # [B, 1]; small numbers likelier
    period = random.uniform(count, n, low=0.28, high=0.5)
    return Scenes(
        aspect=aspect,
        ground=ground,
        ground_paints=ground_paints,
        ground_pattern=torch.stack(
            [
                random.uniform(count, high=math.pi),
                random.uniform(count, low=0.045, high=0.16),
                random.uniform(count),
            ],
            dim=1,
        ),
        grain=random.uniform(count, 1, GRAIN_CELLS, GRAIN_CELLS, low=-1.0),
        camera=_camera(random, count),
        # The occupied places are random: the first ones alone would mostly be large objects.
        present=random.uniform(count, n).argsort(dim=1) < how_many,
        shape=random.choice(_SHAPE_ODDS, count, n),
        colour=colour,
        texture=texture,
        size=size,
        centre=_centres(random, radius, aspect),
        radius=radius,
        turn=_turns(random, count),
        proportions=random.uniform(count, n, 3),
        paints=torch.stack(
            [paint, _pattern_paint(random, paint), _outline_paint(random, paint)], dim=2
        ),
        pattern=torch.stack(
            [
                random.uniform(count, n, high=math.pi),
                torch.maximum(period, 0.018 / radius),
                random.uniform(count, n),
            ],
            dim=2,
        ),
        outline=random.chance(0.22, count, n) * random.uniform(count, n, low=0.05, high=0.16),
    )


def _camera(random: Random, count: int) -> Tensor:
    blur = random.uniform(count, 2) * random.chance(0.6, count, 2)
    noise = random.uniform(count, high=0.05) * random.chance(0.5, count)
    brightness = random.uniform(count, low=-0.05, high=0.05)
    contrast = random.uniform(count, low=0.85, high=1.1)
    plain = random.chance(0.3, count)  # no camera, as in images from drawing programs
    camera = torch.stack([blur[:, 0], blur[:, 1], noise, brightness, contrast], dim=1)
    untouched = torch.stack(
        [blur[:, 0], blur[:, 0] * 0, noise * 0, noise * 0, noise * 0 + 1], dim=1
    )
    return torch.where(plain[:, None], untouched, camera)


def _turns(random: Random, count: int) -> Tensor:
    turn = random.uniform(count, MAX_OBJECTS, high=2 * math.pi)
    quarters = (turn / (math.pi / 2)).floor() * (math.pi / 2)
    quarters = quarters * random.chance(0.4, count, MAX_OBJECTS)
    upright = random.chance(0.35, count, 1)
    return torch.where(upright, quarters, turn)


def _sizes(random: Random, count: int) -> tuple[Tensor, Tensor]:
    """Sizes and radii `(B, N)`. Large objects mostly come first, because those lie underneath."""
    shape = (count, MAX_OBJECTS)
    size = random.choice(_SIZE_ODDS, *shape)
    low, high = (
        sum(float(bounds[end]) * (size == index) for index, bounds in enumerate(RADII))
        for end in (0, 1)
    )
    radius = low + (high - low) * random.uniform(*shape)
    order = (radius * random.uniform(*shape, low=0.5, high=1.5)).argsort(dim=1, descending=True)
    return size.gather(1, order), radius.gather(1, order)


def _ground_paints(random: Random, ground: Tensor) -> Tensor:
    count = len(ground)
    colour = random.uniform(count, 3)
    grey = colour.mean(dim=1, keepdim=True)
    colour = grey + (colour - grey) * random.uniform(count, 1)
    # Many images have a white, black or grey ground.
    neutral = random.choice((0.35, 0.15, 0.5), count, 1)
    level = torch.where(neutral == 0, 1.0, torch.where(neutral == 1, 0.0, random.uniform(count, 1)))
    colour = torch.where(random.chance(0.35, count, 1), level.expand(-1, 3), colour)
    gradient = (ground == words.GROUNDS.index(words.Word("gradient", "渐变")))[:, None]
    amount = torch.where(
        gradient,
        random.uniform(count, 1, low=0.3, high=0.6),
        random.uniform(count, 1, low=0.12, high=0.35),
    )
    towards = torch.where(colour.mean(dim=1, keepdim=True) > 0.5, -1.0, 1.0)
    tint = random.uniform(count, 3, low=0.6, high=1.4)
    other = (colour + towards * amount * tint).clamp(0, 1)
    return torch.stack([colour, other], dim=1)


def _paints(random: Random, ground_paints: Tensor) -> tuple[Tensor, Tensor]:
    """Colours `(B, N)` with enough contrast to the ground, and their paints `(B, N, 3)`."""
    count, n, colours = len(ground_paints), MAX_OBJECTS, len(_PAINTS)
    table = _paint_table(random.device)
    each = torch.arange(colours, device=random.device)
    picks = (random.uniform(2, count, n, colours) * table.shape[1]).long()
    first, second = table[each, picks[0]], table[each, picks[1]]
    between = random.uniform(count, n, colours, 1) * random.chance(0.5, count, n, colours, 1)
    paint = first + (second - first) * between  # [B, N, colours, RGB]: a paint of every colour
    jitter = random.normal(count, n, colours, 3) * 0.025
    paint = (paint + jitter * random.chance(0.6, count, n, colours, 1)).clamp(0, 1)
    middle = ground_paints.mean(dim=1, keepdim=True)
    grounds = torch.cat([ground_paints, middle], dim=1)[:, None, None]  # [B, 1, 1, 3, RGB]
    contrast = (paint[..., None, :] - grounds).norm(dim=-1).amin(dim=-1)  # [B, N, colours]
    # A random one of the colours that stand out; if none does, the one that stands out most.
    liking = random.uniform(count, n, colours) + (contrast > _LEAST_CONTRAST) * 2 + contrast * 0.01
    colour = liking.argmax(dim=2)
    chosen = paint.gather(2, colour[..., None, None].expand(-1, -1, 1, 3)).squeeze(2)
    return colour, chosen


def _pattern_paint(random: Random, paint: Tensor) -> Tensor:
    """A darker shade of each light paint, and a lighter one of each dark paint."""
    amount = random.uniform(*paint.shape[:2], 1, low=0.32, high=0.5)
    light = paint.mean(dim=2, keepdim=True) > 0.22
    return torch.where(light, paint * (1 - amount), paint + (1 - paint) * amount)


def _outline_paint(random: Random, paint: Tensor) -> Tensor:
    black = random.chance(0.6, *paint.shape[:2], 1)
    dark = paint.mean(dim=2, keepdim=True) < 0.15
    return torch.where(black & ~dark, paint * 0.1, paint * 0.45 + 0.5 * dark)


def _centres(random: Random, radius: Tensor, aspect: Tensor) -> Tensor:
    """Centres `(B, N, 2)`; most objects are apart from each other and inside the image."""
    count, n = radius.shape
    extent = torch.stack([aspect.sqrt(), aspect.rsqrt()], dim=1)[:, None, None]  # [B, 1, 1, 2]
    # The distance from the border to the centre in radii; above 1, all of the object is inside.
    margin = torch.where(
        random.chance(0.85, count, n), 1.02, random.uniform(count, n, low=0.3, high=1.0)
    )
    inset = (margin * radius)[:, :, None, None] / extent
    inset = inset.clamp(max=0.48)
    spots = inset + (1 - 2 * inset) * random.uniform(count, n, _CANDIDATES, 2)
    careful = random.chance(0.8, count, n)
    chosen = [spots[:, 0, 0]]
    for index in range(1, n):
        own = spots[:, index]  # [B, candidates, 2]
        others = torch.stack(chosen, dim=1)  # [B, index, 2]
        gaps = ((own[:, :, None] - others[:, None]) * extent).norm(dim=3)
        gaps = gaps - radius[:, None, :index] - radius[:, index, None, None]
        # Of the candidates, take the one with the widest gap to its nearest neighbour.
        best = gaps.amin(dim=2).argmax(dim=1) * careful[:, index]
        chosen.append(own.gather(1, best[:, None, None].expand(-1, 1, 2)).squeeze(1))
    return torch.stack(chosen, dim=1)
