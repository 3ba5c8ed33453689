"""Images whose truth is known, and prompts as people give them, to measure a PAM by."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pam_model.nano import words
from pam_model.nano.flat import draw_flat_image
from pam_model.nano.texts import Facts
from pam_model.nano.world import box_around, render_scene
from pam_model.prompts import Prompt

Mask = npt.NDArray[np.bool_]

LEAST_VISIBLE = 0.5
"""Objects of which less is to be seen are not asked about."""
_CLICK_INSET = 3.0  # pixels from the object's edge, where it is as wide
_EMPTY_DISTANCE = 8.0  # pixels that a click on the ground keeps away from objects


@dataclass(frozen=True, eq=False)
class KnownObject:
    """An object to ask about.

    Attributes:
        mask: bool `(H, W)`, the part of it that is to be seen.
        facts: what is true of it. Of a flat image's only shape and colour are known.
        places: other places that may be named.
        visible: fraction of it that is to be seen, 0 to 1.
        box: a prompt: a box about as a person would draw it.
        click: a prompt: a point on it.
    """

    mask: Mask
    facts: Facts
    places: tuple[int, ...]
    visible: float
    box: Prompt
    click: Prompt


@dataclass(frozen=True, eq=False)
class KnownImage:
    """An image, some of its objects, and a click on none.

    Attributes:
        image: uint8 `(H, W, 3)`, RGB.
        objects: to ask about.
        empty_click: a point on the ground, or None where objects leave no room.
    """

    image: npt.NDArray[np.uint8]
    objects: tuple[KnownObject, ...]
    empty_click: Prompt | None


def known_scene(seed: int, most_objects: int = 2) -> KnownImage:
    """Draw a scene of the drawn world and ask about some of its objects.

    Args:
        seed: from `world.HELD_OUT_SEED` on, for scenes that nobody trained on.
        most_objects: how many are asked about, of those at least `LEAST_VISIBLE` visible.
    """
    scene = render_scene(seed)
    rng = np.random.default_rng(seed)
    objects = tuple(
        KnownObject(
            thing.mask,
            thing.facts,
            thing.places,
            thing.visible,
            jittered_box(rng, thing.mask),
            inner_click(rng, thing.mask),
        )
        for thing in scene.objects
        if thing.visible >= LEAST_VISIBLE
    )
    chosen = _some(rng, objects, most_objects)
    return KnownImage(scene.image, chosen, ground_click(rng, scene.ground))


def known_flat_image(seed: int, most_objects: int = 3) -> KnownImage:
    """Draw a flat image and ask about some of its objects.

    Args:
        seed: any.
        most_objects: how many are asked about.
    """
    flat = draw_flat_image(seed)
    rng = np.random.default_rng(seed)
    shapes = [word.en for word in words.SHAPES]
    colours = [word.en for word in words.COLOURS]
    objects = tuple(
        KnownObject(
            thing.mask,
            Facts(shapes.index(thing.shape), colours.index(thing.colour), 0, 0, 0, 0),
            (),
            1.0,
            jittered_box(rng, thing.mask),
            inner_click(rng, thing.mask),
        )
        for thing in flat.objects
    )
    ground = ~np.any([thing.mask for thing in flat.objects], axis=0)
    chosen = _some(rng, objects, most_objects)
    return KnownImage(flat.image, chosen, ground_click(rng, ground))


def jittered_box(rng: np.random.Generator, mask: Mask) -> Prompt:
    """Put a box around a mask as a person draws it: a quarter exact, most a little off, some more.

    The same spread as in training, in pixels of the image.
    """
    corners = np.array(box_around(mask)).reshape(2, 2)
    sides = corners[1] - corners[0]
    looseness = 0.09 if rng.random() < 0.2 else 0.025
    shift = rng.normal(size=(2, 2)) * (sides * looseness + 1.0)
    if rng.random() >= 0.25:
        corners += shift.clip(-0.25 * sides, 0.25 * sides)
    height, width = mask.shape
    return Prompt.from_box(corners.clip(0, (width, height)).flatten().tolist())


def inner_click(rng: np.random.Generator, mask: Mask) -> Prompt:
    """Click on a mask at random, a few pixels inside its edge where it is as wide."""
    depth = _depth(mask)
    return _click(rng, depth >= min(_CLICK_INSET, float(depth.max())))


def ground_click(rng: np.random.Generator, ground: Mask) -> Prompt | None:
    """Click on the ground away from all objects, or None where there is no such place."""
    room = _depth(ground) >= _EMPTY_DISTANCE
    return _click(rng, room) if room.any() else None


def _depth(mask: Mask) -> npt.NDArray[np.float32]:
    """Distance of each pixel of the mask to the nearest one outside it; 0 outside."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance, dtype=np.float32)


def _click(rng: np.random.Generator, where: Mask) -> Prompt:
    rows, columns = np.nonzero(where)
    index = rng.integers(len(rows))
    return Prompt.from_points([(columns[index] + rng.random(), rows[index] + rng.random())])


def _some(
    rng: np.random.Generator, objects: tuple[KnownObject, ...], most: int
) -> tuple[KnownObject, ...]:
    order = rng.permutation(len(objects))[:most]
    return tuple(objects[index] for index in order)
