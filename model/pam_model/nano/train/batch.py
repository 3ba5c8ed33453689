"""Training batches: images, prompts of every kind, and the true answers.

Sizes never depend on the data and nothing waits for the device, so that a batch can be made inside
a CUDA graph. An image has `REGIONS` prompts. With B images, slot s asks about image s % B, and
each kind of prompt has a fixed run of slots. S is the side of the square images in pixels.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from pam_model.nano import render
from pam_model.nano.scene import Random, Scenes, sample_scenes
from pam_model.nano.train.answers import AnswerTables, Texts
from pam_model.segmenter import BOX_LABELS

# A run of n prompts of K points each: float32 `(n, K, 2)`, x and y in pixels of the square, and
# int64 `(n, K)`: 1 on the object, 0 beside it, 2 and 3 for a box's corners.
PointsAndLabels = tuple[Tensor, Tensor]

LOOKS = ("shape", "colour", "texture", "size")
"""The facts that a single cell can show."""

REGIONS = 4
MAP_STRIDE = 16
_PLACE_STRIDE = 4
_LEAST_VISIBLE = 0.5
_LEAST_PIXELS = 32
# Kinds of prompts in the order of their slots, and the fraction of each.
_SHARES = (
    ("click", 0.29),
    ("empty", 0.09),
    ("box", 0.37),
    ("two points", 0.04),
    ("box and point", 0.06),
    ("three points", 0.05),
    ("mask", 0.10),
)
_CHEBYSHEV_REACH = 4  # cells of 2 pixels between a click on the ground and any object


@dataclass(frozen=True)
class Batch:
    """B images with N = 4 B prompts.

    Attributes:
        images: float32 `(B, 3, S, S)`, RGB from 0 to 255.
        points: the runs of prompts of one, two and three points, in the order of the slots.
        masks: float32 `(m, 1, S, S)`, 0 or 1: the mask prompts, in the last m slots.
        truth: bool `(N, S, S)`: the pixels of the object; none for a click on the ground.
        is_object: bool `(N,)`; false for a click on the ground.
        facts: int64 `(N,)` for each field of `texts.Facts`, without meaning for a click on the
            ground.
        texts: one question and its answer for each prompt.
        cells: int64 `(B, h, w)` for each of `LOOKS`: the fact about the object at the centre of
            the image embedding's cell, or -1 if it is not clear.
        things: int64 `(B, h, w)`: 1 where such a centre shows an object, 0 for the ground.
        ground: int64 `(B,)`, indices into `words.GROUNDS`.
    """

    images: Tensor
    points: tuple[PointsAndLabels, ...]
    masks: Tensor
    truth: Tensor
    is_object: Tensor
    facts: dict[str, Tensor]
    texts: Texts
    cells: dict[str, Tensor]
    things: Tensor
    ground: Tensor


class Drawing(NamedTuple):
    """The functions of the renderer; compiled ones may take their place."""

    index_maps: Callable[[Scenes, int, int], Tensor] = render.index_maps
    images: Callable[[Scenes, Tensor, torch.Generator | None], Tensor] = render.images
    visible_fractions: Callable[[Scenes, Tensor], Tensor] = render.visible_fractions


_PLAIN_DRAWING = Drawing()


def slot_counts(images: int) -> dict[str, int]:
    """How many of the N prompts are of each kind; the last kind takes the remainder."""
    total = images * REGIONS
    counts = {kind: int(total * share) for kind, share in _SHARES}
    counts["mask"] += total - sum(counts.values())
    return counts


def of_slots(values: Tensor, first: int, count: int) -> Tensor:
    """Rows of per-image values `(B, ...)` for a run of slots: slot s asks about image s % B."""
    start = first % len(values)
    rounds = math.ceil((start + count) / len(values))
    # Slices, not indices: the gradient of a slice is a copy, that of an index a slow addition.
    return torch.cat([values] * rounds)[start : start + count]


def make_batch(
    images: int,
    tables: AnswerTables,
    device: torch.device,
    *,
    generator: torch.Generator | None = None,
    drawing: Drawing = _PLAIN_DRAWING,
    side: int = 512,
) -> Batch:
    """Draw new scenes and ask about them.

    Args:
        images: B, 8 or more.
        tables: the tables of the answers, on `device`.
        device: where to draw.
        generator: on that device; None takes the device's own (needed inside a CUDA graph).
        drawing: the renderer.
        side: S, a multiple of 16.
    """
    random = Random(device, generator)
    counts = slot_counts(images)
    scenes = sample_scenes(images, device, generator)
    maps = drawing.index_maps(scenes, side, side)  # [B, S, S]
    seen = drawing.images(scenes, maps, generator) * 255  # [B, 3, S, S]
    visible = drawing.visible_fractions(scenes, maps)  # [B, objects]
    image = torch.arange(images * REGIONS, device=device) % images  # [N]
    chosen = _choose(random, scenes, visible).T.flatten()  # [N]: slot s is region s // B
    masks = maps[image] == (chosen + 1)[:, None, None]  # [N, S, S]
    empty = torch.zeros(len(image), dtype=torch.bool, device=device)
    empty[counts["click"] : counts["click"] + counts["empty"]] = True
    facts = _facts(scenes, image, chosen, masks)
    # What the centres of the image embedding's cells show.
    shown = maps[
        :, MAP_STRIDE // 2 :: MAP_STRIDE, MAP_STRIDE // 2 :: MAP_STRIDE
    ].long()  # [B, h, w]
    return Batch(
        images=seen,
        points=_prompts(random, maps, masks, counts),
        masks=_roughen(random, masks[-counts["mask"] :]),
        truth=masks & ~empty[:, None, None],
        is_object=~empty & (masks.sum(dim=(1, 2)) >= _LEAST_PIXELS),
        facts=facts,
        texts=tables.sample(facts, random),
        cells=_cells(scenes, shown, visible),
        things=(shown > 0).long(),
        ground=scenes.ground,
    )


def _choose(random: Random, scenes: Scenes, visible: Tensor) -> Tensor:
    """Choose `REGIONS` well visible objects of each image, `(B, 4)`; if there are fewer, repeat."""
    good = scenes.present & (visible >= _LEAST_VISIBLE)  # [B, objects]
    # In random order: first the well visible ones, then the hidden ones, then empty places.
    liking = random.uniform(*good.shape) + good + 0.5 * scenes.present
    order = liking.argsort(dim=1, descending=True)
    found = good.sum(dim=1, keepdim=True).clamp(min=1)  # [B, 1]
    rank = torch.arange(REGIONS, device=good.device) % found  # [B, 4]
    return order.gather(1, rank)


def _facts(scenes: Scenes, image: Tensor, chosen: Tensor, masks: Tensor) -> dict[str, Tensor]:
    areas = F.avg_pool2d(masks[:, None].float(), _PLACE_STRIDE)[:, 0]  # [N, S / 4, S / 4]
    cells = areas.shape[-1]
    steps = (torch.arange(cells, device=areas.device) + 0.5) / cells
    total = areas.sum(dim=(1, 2)).clamp(min=1e-6)  # [N]
    # The centre of mass, as fractions of the image, decides in which of the nine places it is.
    x = (areas.sum(dim=1) * steps).sum(dim=1) / total
    y = (areas.sum(dim=2) * steps).sum(dim=1) / total
    place = (y * 3).long().clamp(0, 2) * 3 + (x * 3).long().clamp(0, 2)
    looks = {name: getattr(scenes, name)[image, chosen] for name in LOOKS}
    return {**looks, "place": place, "ground": scenes.ground[image]}


def _prompts(
    random: Random, maps: Tensor, masks: Tensor, counts: dict[str, int]
) -> tuple[PointsAndLabels, ...]:
    """Runs of prompts of one, two and three points, in the order of `_SHARES`."""
    of = dict(zip(counts, torch.split(masks, list(counts.values())), strict=True))
    click = _on(random, of["click"])
    grounds = of_slots(_open_ground(maps), counts["click"], counts["empty"])
    empty = _pick(random, grounds)[:, None]  # [n, 1, 2]
    box = _boxes(random, of["box"])
    two, three, framed = of["two points"], of["three points"], of["box and point"]
    pair = _joined([_on(random, two), _on_or_beside(random, two)], dim=1)
    box_and_point = _joined([_boxes(random, framed), _on_or_beside(random, framed)], dim=1)
    triple = _joined([_on(random, three), *(_on_or_beside(random, three) for _ in range(2))], dim=1)
    return (
        _joined([click, (empty, torch.ones_like(empty[..., 0], dtype=torch.long))], dim=0),
        _joined([box, pair], dim=0),
        _joined([box_and_point, triple], dim=0),
    )


def _joined(parts: Sequence[PointsAndLabels], dim: int) -> PointsAndLabels:
    """Join prompts one after the other (0), or the points of the same prompts (1)."""
    points, labels = zip(*parts, strict=True)
    return torch.cat(points, dim=dim), torch.cat(labels, dim=dim)


def _on(random: Random, masks: Tensor) -> PointsAndLabels:
    """A point on each object."""
    points = _pick(random, _inner(masks))[:, None]  # [n, 1, 2]
    return points, torch.ones_like(points[..., 0], dtype=torch.long)


def _on_or_beside(random: Random, masks: Tensor) -> PointsAndLabels:
    """A point for each object, on it or (two of five) beside it."""
    beside = random.chance(0.4, len(masks))
    weights = torch.where(beside[:, None, None], _nearby(masks), _inner(masks))
    return _pick(random, weights)[:, None], (~beside).long()[:, None]


def _inner(masks: Tensor) -> Tensor:
    """Weights of clicks on the object: its pixels, those inside more than those at the edge."""
    small = masks[:, ::2, ::2].float()  # [n, S / 2, S / 2]
    around = F.avg_pool2d(small[:, None], 5, stride=1, padding=2)[:, 0]
    return small * (0.02 + around**3)


def _nearby(masks: Tensor) -> Tensor:
    """Weights of clicks beside the object: within a tenth of the image, not on it."""
    small = masks[:, ::2, ::2].float()[:, None]  # [n, 1, S / 2, S / 2]
    coarse = F.max_pool2d(small, 8)  # [n, 1, S / 16, S / 16]
    reach = F.interpolate(F.max_pool2d(coarse, 7, stride=1, padding=3), scale_factor=8.0)
    touched = F.max_pool2d(small, 3, stride=1, padding=1)
    return ((1 - touched) * (1e-3 + reach))[:, 0]


def _open_ground(maps: Tensor) -> Tensor:
    """Weights of clicks on the ground: high where no object is near; `(B, S / 2, S / 2)`."""
    things = (maps[:, ::2, ::2] > 0).float()
    reach = 2 * _CHEBYSHEV_REACH + 1
    near = F.max_pool2d(things[:, None], reach, stride=1, padding=_CHEBYSHEV_REACH)[:, 0]
    # If no ground is far enough from the objects, any pixel of the ground is taken.
    return (1 - near) + 1e-4 * (1 - things)


def _pick(random: Random, weights: Tensor) -> Tensor:
    """Draw one point from each map of weights of every second pixel: x and y, `(n, 2)`."""
    side = weights.shape[-1]
    flat = weights.flatten(1)  # [n, pixels]
    # The largest u ** (1 / weight) falls on each pixel in proportion to its weight. This needs no
    # cumulative sum, and does not wait for the device as torch.multinomial does.
    keys = torch.log(random.uniform(*flat.shape, low=1e-7)) / flat.clamp(min=1e-12)
    best = keys.argmax(dim=1)  # [n]
    point = torch.stack([best % side, best // side], dim=1).float() * 2
    return point + random.uniform(len(flat), 2)


def _boxes(random: Random, masks: Tensor) -> PointsAndLabels:
    """Boxes around the masks as a person draws them; each is two corners."""
    side = masks.shape[-1]
    steps = torch.arange(side, device=masks.device, dtype=torch.float32)[:, None]
    taken = torch.stack([masks.any(dim=1), masks.any(dim=2)], dim=2)  # [n, S, (x, y)]
    low = torch.where(taken, steps, side).amin(dim=1)  # [n, (x, y)]
    high = torch.where(taken, steps + 1, 0).amax(dim=1)
    corners = torch.stack([low, high], dim=1)  # [n, (low, high), (x, y)]
    sides = (corners[:, 1] - corners[:, 0])[:, None].clamp(min=4)  # [n, 1, (x, y)]
    looseness = torch.where(random.chance(0.2, len(masks), 1, 1), 0.09, 0.025)
    exact = random.chance(0.25, len(masks), 1, 1)
    shift = random.normal(len(masks), 2, 2) * (sides * looseness + 1.0)
    shift = shift.clamp(-0.25 * sides, 0.25 * sides) * ~exact
    # These are filled on the device: inside a CUDA graph, nothing can be copied from the host.
    labels = [torch.full((len(masks),), label, device=masks.device) for label in BOX_LABELS]
    return (corners + shift).clamp(0, side), torch.stack(labels, dim=1)


def _roughen(random: Random, masks: Tensor) -> Tensor:
    """Masks as people draw them: exact, or a few pixels too large: `(m, 1, S, S)`."""
    exact = masks[:, None].float()
    grown = F.max_pool2d(exact, 5, stride=1, padding=2)
    return torch.where(random.chance(0.3, len(masks), 1, 1, 1), grown, exact)


def _cells(scenes: Scenes, shown: Tensor, visible: Tensor) -> dict[str, Tensor]:
    """The looks of the objects that cells show; `shown` is 0 for the ground, i + 1 for object i."""
    scene = torch.arange(len(shown), device=shown.device)[:, None, None]
    index = (shown - 1).clamp(min=0)
    clear = (shown > 0) & (visible[scene, index] > 0.35)  # [B, h, w]
    return {name: torch.where(clear, getattr(scenes, name)[scene, index], -1) for name in LOOKS}
