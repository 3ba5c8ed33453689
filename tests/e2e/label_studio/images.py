"""Held-out scenes of nano's drawn world as files to upload, with the truth about them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from label_studio_sdk.converter import brush
from PIL import Image

from pam_model.nano.words import COLOURS, SHAPES
from pam_model.nano.world import HELD_OUT_SEED, DrawnObject, DrawnScene, render_scene

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy.typing as npt

LABELS = tuple(shape.en for shape in SHAPES)
_ROTATED_BY_EXIF = 6  # "the camera was held so that row 0 is the right-hand side"


@dataclass(frozen=True)
class Thing:
    """A drawn object: bool mask `(H, W)` of the upright image, and what it is called."""

    label: str
    colour: str
    mask: npt.NDArray[np.bool_]
    box: tuple[float, float, float, float]

    @property
    def middle(self) -> tuple[float, float]:
        """(x, y) of the pixel that is farthest from the object's edge."""
        inside = np.pad(self.mask, 1).astype(np.uint8)
        depth = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
        row, column = np.unravel_index(depth.argmax(), depth.shape)
        return float(column) + 0.5, float(row) + 0.5

    def iou(self, mask: npt.NDArray[np.bool_]) -> float:
        """Intersection over union of what was drawn and what was found."""
        return float((self.mask & mask).sum() / (self.mask | mask).sum())


class DrawnImage:
    """Scene `number` of those that nano was not trained on."""

    def __init__(self, number: int) -> None:
        scene: DrawnScene = render_scene(HELD_OUT_SEED + number)
        self.pixels = scene.image
        self.things = tuple(_thing(item) for item in scene.objects)
        self.size = (scene.image.shape[1], scene.image.shape[0])

    def only(self, colour: str, label: str) -> Thing:
        """The one object of this colour and label."""
        (thing,) = (one for one in self.things if (one.colour, one.label) == (colour, label))
        return thing

    def best_match(self, mask: npt.NDArray[np.bool_]) -> tuple[float, Thing]:
        """The object that a mask covers best, and their IoU."""
        return max(((thing.iou(mask), thing) for thing in self.things), key=lambda pair: pair[0])

    def png(self) -> bytes:
        content = io.BytesIO()
        Image.fromarray(self.pixels).save(content, "PNG")
        return content.getvalue()

    def rotated_jpeg(self) -> bytes:
        """Stored on its side; only the EXIF orientation says how it is to be seen."""
        exif = Image.Exif()
        exif[0x0112] = _ROTATED_BY_EXIF
        stored = Image.fromarray(self.pixels).transpose(Image.Transpose.ROTATE_90)
        content = io.BytesIO()
        stored.save(content, "JPEG", quality=97, exif=exif)
        return content.getvalue()


def decode_brush(result: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The mask of a brush result by Label Studio's own decoder, bool `(H, W)`."""
    shape = (result["original_height"], result["original_width"], 4)
    channels = brush.decode_rle(result["value"]["rle"]).reshape(shape)
    return np.asarray(channels[..., 3] > 0)


def fill_polygon(result: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The pixels inside a polygon result, bool `(H, W)`."""
    width, height = result["original_width"], result["original_height"]
    points = np.array(result["value"]["points"]) * (width, height) / 100
    mask = np.zeros((height, width), dtype=np.uint8)
    cv2.fillPoly(mask, [np.rint(points).astype(np.int32)], 1)
    return mask.astype(bool)


def _thing(item: DrawnObject) -> Thing:
    facts = item.facts
    return Thing(SHAPES[facts.shape].en, COLOURS[facts.colour].en, item.mask, item.box)
