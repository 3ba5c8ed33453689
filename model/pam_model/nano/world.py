"""Draw single scenes of the drawn world as NumPy arrays, for tests, the demo and the evaluation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pam_model.nano import render
from pam_model.nano.scene import MAX_OBJECTS, Scenes, sample_scenes
from pam_model.nano.texts import Facts

HELD_OUT_SEED = 3_000_000_000
"""Seeds from here on are for evaluation; training uses those below (`train.setup.scene_seed`)."""
_PLACE_MARGIN = 0.05


@dataclass(frozen=True, eq=False)
class DrawnObject:
    """One object of a scene.

    Attributes:
        mask: bool `(H, W)`, its visible part.
        facts: its facts.
        places: other places that are also right, because its centre is near the border of two.
        visible: its visible fraction, 0 to 1.
    """

    mask: npt.NDArray[np.bool_]
    facts: Facts
    places: tuple[int, ...]
    visible: float

    @property
    def box(self) -> tuple[float, float, float, float]:
        """The tight box around the mask, (x1, y1, x2, y2) in pixels."""
        return box_around(self.mask)


@dataclass(frozen=True, eq=False)
class DrawnScene:
    """An image of the drawn world, and the objects in it.

    Attributes:
        image: uint8 `(H, W, 3)`, RGB.
        objects: those with a visible pixel, in drawing order (later ones are on top).
        ground: bool `(H, W)`, true where there is no object.
    """

    image: npt.NDArray[np.uint8]
    objects: tuple[DrawnObject, ...]
    ground: npt.NDArray[np.bool_]


def render_scene(seed: int, side: int = 512) -> DrawnScene:
    """Draw a scene on the CPU; the same seed always gives the same scene.

    Args:
        seed: any number; those from `HELD_OUT_SEED` on are for evaluation.
        side: the square root of the image's area in pixels; the seed decides the aspect ratio.
    """
    generator = torch.Generator().manual_seed(seed)
    scenes = sample_scenes(1, torch.device("cpu"), generator)
    aspect = float(scenes.aspect[0])
    width, height = round(side * aspect**0.5), round(side / aspect**0.5)
    maps = render.index_maps(scenes, height, width)  # [1, H, W]
    image = render.images(scenes, maps, generator)[0]
    visible = render.visible_fractions(scenes, maps)[0]
    top = maps[0].numpy()
    return DrawnScene(
        image=(image.permute(1, 2, 0) * 255).round().to(torch.uint8).numpy(),
        objects=tuple(
            _drawn_object(scenes, index, top == index + 1, float(visible[index]))
            for index in range(MAX_OBJECTS)
            if (top == index + 1).any()
        ),
        ground=top == 0,
    )


def box_around(mask: npt.NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The tight box (x1, y1, x2, y2), in pixels, around a mask `(H, W)` that is not empty."""
    rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def place_of(x: float, y: float) -> int:
    """The index into `words.PLACES` of a point, given as fractions of the width and the height."""
    return min(int(y * 3), 2) * 3 + min(int(x * 3), 2)


def _drawn_object(
    scenes: Scenes, index: int, mask: npt.NDArray[np.bool_], visible: float
) -> DrawnObject:
    rows, columns = np.nonzero(mask)
    y = (rows.mean() + 0.5) / mask.shape[0]
    x = (columns.mean() + 0.5) / mask.shape[1]
    place = place_of(x, y)
    # The thirds that the centre falls into when it is moved a little in each direction.
    near = {
        place_of(min(max(x + dx, 0.0), 1.0), min(max(y + dy, 0.0), 1.0))
        for dx in (-_PLACE_MARGIN, 0, _PLACE_MARGIN)
        for dy in (-_PLACE_MARGIN, 0, _PLACE_MARGIN)
    }
    facts = Facts(
        shape=int(scenes.shape[0, index]),
        colour=int(scenes.colour[0, index]),
        texture=int(scenes.texture[0, index]),
        size=int(scenes.size[0, index]),
        place=place,
        ground=int(scenes.ground[0]),
    )
    return DrawnObject(mask, facts, tuple(sorted(near - {place})), visible)
