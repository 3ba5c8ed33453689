"""Draw scenes: images, and maps of the object that each pixel shows.

Each of B scenes has N = `MAX_OBJECTS` places for objects; (u, v) are coordinates in an object's own
frame, in units of its radius.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from pam_model.nano import words
from pam_model.nano.scene import MAX_OBJECTS, Scenes
from pam_model.nano.shapes import INSIDE, inside

_STRIPED, _DOTTED, _CHECKED = 1, 2, 3
_GRADIENT, _LINED, _TILED, _GRAINY = 1, 2, 3, 4
assert [words.TEXTURES[i].en for i in (1, 2, 3)] == ["striped", "dotted", "checked"]
assert [words.GROUNDS[i].en for i in (1, 2, 3, 4)] == ["gradient", "lined", "tiled", "grainy"]


def index_maps(scenes: Scenes, height: int, width: int) -> Tensor:
    """Find the object that each pixel of the (squashed) image shows.

    Returns:
        uint8 `(B, height, width)`: 0 for the ground, i + 1 for object i.
    """
    x, y = _grid(height, width, scenes.aspect.device)
    if scenes.aspect.is_cuda:
        return _index_maps_at_once(scenes, x, y)
    return torch.stack([_index_map(scenes, i, x, y) for i in range(len(scenes.aspect))])


def images(scenes: Scenes, maps: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Paint what `index_maps` placed, as a camera would see it.

    Args:
        scenes: B scenes.
        maps: the index maps of these scenes, uint8 `(B, H, W)`.
        generator: draws the camera's noise; None takes the device's own generator.

    Returns:
        float32 `(B, 3, H, W)`, RGB from 0 to 1.
    """
    painted = _paint(scenes, maps)
    noise = torch.randn(painted.shape, device=painted.device, generator=generator)
    return _photograph(painted, noise, scenes.camera)


def visible_fractions(scenes: Scenes, maps: Tensor, samples: int = 48) -> Tensor:
    """Measure the fraction of each object that is visible: not hidden, and inside the image.

    Returns:
        float32 `(B, N)` from 0 to 1, measured at `samples` x `samples` points of each object.
    """
    batch, height, width = maps.shape
    steps = (torch.arange(samples, device=maps.device) + 0.5) / samples * 2 - 1
    y, x = (
        part.reshape(1, 1, -1).expand(batch, MAX_OBJECTS, -1)
        for part in torch.meshgrid(steps, steps, indexing="ij")
    )  # each [B, N, samples ** 2], in the object's own frame
    proportions = scenes.proportions[..., None].unbind(2)
    within = inside(scenes.shape[..., None], x, y, proportions)
    # From the object's own frame to pixels: turn, then scale, then squash.
    cos, sin = scenes.turn.cos()[..., None], scenes.turn.sin()[..., None]
    radius = scenes.radius[..., None]
    across = (x * cos - y * sin) * radius / scenes.aspect.sqrt()[:, None, None]
    down = (x * sin + y * cos) * radius * scenes.aspect.sqrt()[:, None, None]
    column = ((scenes.centre[..., 0, None] + across) * width).floor()
    row = ((scenes.centre[..., 1, None] + down) * height).floor()
    framed = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    place = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
    shown = (
        maps.flatten(1).gather(1, place.long().flatten(1)).view_as(within)
    )  # [B, N, samples ** 2]
    number = torch.arange(1, MAX_OBJECTS + 1, device=maps.device)[:, None]
    seen = (within & framed & (shown == number)).sum(dim=2)
    return seen / within.sum(dim=2).clamp(min=1)


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """The pixel centres as fractions of the image: x `(1, width)` and y `(height, 1)`."""
    x = (torch.arange(width, device=device) + 0.5) / width
    y = (torch.arange(height, device=device) + 0.5) / height
    return x[None, :], y[:, None]


def _local(
    x: Tensor, y: Tensor, centre: Tensor, aspect: Tensor, turn: Tensor, radius: Tensor
) -> tuple[Tensor, Tensor]:
    """Convert fractions of the image to an object's own frame; `centre` is `(..., 2)`."""
    across = (x - centre[..., 0]) * aspect.sqrt() / radius
    down = (y - centre[..., 1]) * aspect.rsqrt() / radius
    cos, sin = turn.cos(), turn.sin()
    return across * cos + down * sin, down * cos - across * sin


def _index_maps_at_once(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """Test all objects at all pixels without a branch: `torch.compile` makes one kernel of it."""
    u, v = _local(
        x,
        y,
        scenes.centre[:, :, None, None],
        scenes.aspect[:, None, None, None],
        scenes.turn[..., None, None],
        scenes.radius[..., None, None],
    )  # each [B, N, H, W]
    proportions = scenes.proportions[..., None, None].unbind(2)
    within = inside(scenes.shape[..., None, None], u, v, proportions)
    within = within & scenes.present[..., None, None]
    number = torch.arange(1, MAX_OBJECTS + 1, device=x.device, dtype=torch.uint8).view(1, -1, 1, 1)
    return (within * number).amax(dim=1)  # the last object that covers a pixel is on top


def _index_map(scenes: Scenes, scene: int, x: Tensor, y: Tensor) -> Tensor:
    """Draw one scene on the CPU: only the shape of each object is tested, not all ten."""
    result = torch.zeros(y.shape[0], x.shape[1], dtype=torch.uint8)
    for i in range(MAX_OBJECTS):
        if not scenes.present[scene, i]:
            continue
        turn, radius = scenes.turn[scene, i], scenes.radius[scene, i]
        u, v = _local(x, y, scenes.centre[scene, i], scenes.aspect[scene], turn, radius)  # [H, W]
        within = INSIDE[int(scenes.shape[scene, i])](u, v, scenes.proportions[scene, i].unbind())
        result = torch.where(within, i + 1, result)
    return result.to(torch.uint8)


def _paint(scenes: Scenes, maps: Tensor) -> Tensor:
    """Paint every pixel with the colour of what it shows: `(B, 3, H, W)`."""
    batch, height, width = maps.shape
    x, y = _grid(height, width, maps.device)
    top = (maps.long() - 1).clamp(min=0)  # [B, H, W]; where the ground shows, any object does
    scene = torch.arange(batch, device=maps.device)[:, None, None]

    def shown(values: Tensor) -> Tensor:
        return values[scene, top]

    aspect = scenes.aspect[:, None, None]
    u, v = _local(x, y, shown(scenes.centre), aspect, shown(scenes.turn), shown(scenes.radius))
    patterned = _pattern(shown(scenes.texture), u, v, *shown(scenes.pattern).unbind(-1))
    # The outline is what the shape, shrunk by the outline's width, does not cover.
    outline = shown(scenes.outline)  # [B, H, W]
    u, v = u / (1 - outline), v / (1 - outline)
    edge = ~inside(shown(scenes.shape), u, v, shown(scenes.proportions).unbind(-1)) & (outline > 0)
    paint = torch.where(edge, 2, patterned.long())  # of the object, its pattern or its outline
    channel = torch.arange(3, device=maps.device)[:, None, None]
    body = scenes.paints[scene[:, None], top[:, None], paint[:, None], channel]  # [B, 3, H, W]
    return torch.where(maps[:, None] == 0, _ground(scenes, x, y), body)


def _pattern(
    texture: Tensor, u: Tensor, v: Tensor, angle: Tensor, period: Tensor, phase: Tensor
) -> Tensor:
    cos, sin = angle.cos(), angle.sin()
    s = (u * cos + v * sin) / period + phase
    t = (v * cos - u * sin) / period + phase
    across, down = s - s.floor(), t - t.floor()  # within one cell of the pattern, from 0 to 1
    stripes = across < 0.42
    dots = (across - 0.5) ** 2 + (down - 0.5) ** 2 < 0.3**2
    checks = (across < 0.5) == (down < 0.5)
    return torch.where(
        texture == _STRIPED,
        stripes,
        torch.where(texture == _DOTTED, dots, (texture == _CHECKED) & checks),
    )


def _ground(scenes: Scenes, x: Tensor, y: Tensor) -> Tensor:
    """Paint the bare ground: `(B, 3, H, W)`."""
    aspect = scenes.aspect[:, None, None]
    angle, period, phase = scenes.ground_pattern[:, None, None].unbind(-1)  # each [B, 1, 1]
    cos, sin = angle.cos(), angle.sin()
    across, down = (x - 0.5) * aspect.sqrt(), (y - 0.5) * aspect.rsqrt()
    s, t = across * cos + down * sin, down * cos - across * sin  # [B, H, W]
    span = (aspect.sqrt() * cos.abs() + aspect.rsqrt() * sin.abs()) / 2
    slope = (s / span + 1) / 2
    s, t = s / period + phase, t / period + phase
    s, t = s - s.floor(), t - t.floor()
    lines, tiles = (s < 0.5).float(), ((s < 0.5) == (t < 0.5)).float()
    rows = (y * scenes.grain.shape[2]).long()
    columns = (x * scenes.grain.shape[3]).long()
    grain = scenes.grain[:, 0][:, rows, columns] * (0.12 + 0.16 * phase)
    kind = scenes.ground[:, None, None]
    mix = torch.where(kind == _GRADIENT, slope, torch.where(kind == _LINED, lines, tiles))
    mix = torch.where((kind >= _GRADIENT) & (kind <= _TILED), mix, 0.0)
    first, second = scenes.ground_paints[..., None, None].unbind(1)  # each [B, 3, 1, 1]
    grainy = (first + grain[:, None] * torch.where(first > 0.5, -1.0, 1.0)).clamp(0, 1)
    return torch.where(kind[:, None] == _GRAINY, grainy, first + (second - first) * mix[:, None])


def _photograph(painted: Tensor, noise: Tensor, camera: Tensor) -> Tensor:
    """Apply blur, noise, brightness and contrast."""
    *blurs, noise_level, brightness, contrast = camera[:, :, None, None, None].unbind(1)
    for strength in blurs:
        soft = F.avg_pool2d(F.pad(painted, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        painted = painted + (soft - painted) * strength
    seen = (painted - 0.5) * contrast + 0.5 + brightness + noise * noise_level
    return seen.clamp(0, 1)
