"""Images with known objects and with prompts like those of people, to measure a PAM."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pam_model.nano.flat import draw_flat_image
from pam_model.nano.world import DrawnObject, DrawnScene, box_around, render_scene
from pam_model.prompts import Prompt

Mask = npt.NDArray[np.bool_]

LEAST_VISIBLE = 0.5
"""The smallest visible fraction of an object that is asked about."""
_CLICK_INSET = 3.0  # pixels between a click and the object's edge, where the object is wide enough
_EMPTY_DISTANCE = 8.0  # pixels between a click on the ground and any object


@dataclass(frozen=True, eq=False)
class KnownObject:
    """An object to ask about.

    Attributes:
        drawn: its visible mask and its facts.
        box: a box prompt, roughly as a person would draw it.
        click: a point prompt on the object.
    """

    drawn: DrawnObject
    box: Prompt
    click: Prompt


@dataclass(frozen=True, eq=False)
class KnownImage:
    """An image, some of its objects, and a click on no object.

    Attributes:
        image: uint8 `(H, W, 3)`, RGB.
        objects: the objects to ask about.
        empty_click: a point prompt on the ground, or None if objects leave no room.
    """

    image: npt.NDArray[np.uint8]
    objects: tuple[KnownObject, ...]
    empty_click: Prompt | None


def known_scene(seed: int) -> KnownImage:
    """Draw a scene of the drawn world and choose at most two of its objects.

    Args:
        seed: the scene's seed; from `world.HELD_OUT_SEED` on, nano was not trained on the scene.
    """
    return _with_prompts(render_scene(seed), seed, most_objects=2)


def known_flat_image(seed: int) -> KnownImage:
    """Draw a flat image and choose at most three of its objects."""
    return _with_prompts(draw_flat_image(seed), seed, most_objects=3)


def _with_prompts(scene: DrawnScene, seed: int, most_objects: int) -> KnownImage:
    rng = np.random.default_rng(seed)
    objects = tuple(
        KnownObject(drawn, jittered_box(rng, drawn.mask), inner_click(rng, drawn.mask))
        for drawn in scene.objects
        if drawn.visible >= LEAST_VISIBLE
    )
    chosen = tuple(objects[index] for index in rng.permutation(len(objects))[:most_objects])
    return KnownImage(scene.image, chosen, ground_click(rng, scene.ground))


def jittered_box(rng: np.random.Generator, mask: Mask) -> Prompt:
    """Put a box around a mask as a person does: a quarter are exact, most a bit off, some far off.

    The offsets have the same distribution as in training, in pixels of the image.
    """
    corners = np.array(box_around(mask)).reshape(2, 2)  # [(low, high), (x, y)]
    sides = corners[1] - corners[0]
    looseness = 0.09 if rng.random() < 0.2 else 0.025
    shift = rng.normal(size=(2, 2)) * (sides * looseness + 1.0)
    if rng.random() >= 0.25:
        corners += shift.clip(-0.25 * sides, 0.25 * sides)
    height, width = mask.shape
    return Prompt.from_box(corners.clip(0, (width, height)).flatten().tolist())


def inner_click(rng: np.random.Generator, mask: Mask) -> Prompt:
    """Click at random on a mask; where it is wide enough, some pixels inside its edge."""
    depth = _depth(mask)
    return _click(rng, depth >= min(_CLICK_INSET, float(depth.max())))


def ground_click(rng: np.random.Generator, ground: Mask) -> Prompt | None:
    """Click on the ground, away from all objects; None if there is no such place."""
    room = _depth(ground) >= _EMPTY_DISTANCE
    return _click(rng, room) if room.any() else None


def _depth(mask: Mask) -> npt.NDArray[np.float32]:
    """The distance of each pixel of the mask to the nearest one outside it; 0 outside."""
    distance = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(distance, dtype=np.float32)


def _click(rng: np.random.Generator, where: Mask) -> Prompt:
    rows, columns = np.nonzero(where)
    index = rng.integers(len(rows))
    return Prompt.from_points([(columns[index] + rng.random(), rows[index] + rng.random())])
