"""Read the regions that an annotator drew from Label Studio's results, which are untrusted.

Results that share an id are one region: its shape, its label (in the shape's result, or in one of a
`<Labels>` tag), and texts and choices, which do not matter here. These are passed over: what is no
object, relations, and results of tags that the config does not have or that hold no shape.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from label_studio_backend.config.controls import Control, ProjectLabel
from label_studio_backend.config.labeling_config import LabelingConfig, is_background
from label_studio_backend.json_pieces import JsonList
from label_studio_backend.translation.bitmask import read_bitmask
from label_studio_backend.translation.geometry import (
    GeometryError,
    Mask,
    Size,
    fit_mask,
    read_ellipse,
    read_point,
    read_polygon,
    read_rectangle,
)
from pam_labeling.errors import InputError, MaskError
from pam_labeling.formats.brush_rle import decode, pixels
from pam_model.errors import PromptError
from pam_model.prompts import Prompt

ShapeKind = Literal["keypoint", "rectangle", "ellipse", "polygon", "brush"]

_KINDS: dict[str, ShapeKind] = {
    "keypoint": "keypoint",
    "rectangle": "rectangle",
    "ellipse": "ellipse",
    "polygon": "polygon",
    "brush": "brush",
    "bitmask": "brush",
    "magicwand": "brush",
}


class PromptDataError(InputError):
    """Prompts that cannot be worked on; a sentence for the annotator that says why."""


@dataclass
class DrawnRegion:
    """One region as somebody drew it; its geometry is read when the image's size is known.

    Attributes:
        control: the tag of its shape.
        kind: of its shape.
        image: the name of the image that it is on.
        page: the number of its page there, from 0 (Label Studio's `item_index`).
        result: Label Studio's result with the shape, in percent of the image's width and height
            (see `geometry` for the frame of reference).
        region_id: its id, or None where it has none.
        labels: its labels, known to the tag or not; each once, and none called background.
        background: whether one more of its labels is called background.
    """

    control: Control
    kind: ShapeKind
    image: str
    page: int
    result: Mapping[str, Any]
    region_id: str | None = None
    labels: tuple[str, ...] = ()
    background: bool = False

    @property
    def positive(self) -> bool:
        """Whether it is on the object, not beside it."""
        # Alt+click stands at the top of the result, not in its value.
        return self.result.get("is_positive") is not False and not self.background

    def prompt(self, size: Size) -> Prompt:
        """The shape in pixels, as a point, a box or a mask; it passes `Prompt.check`.

        Args:
            size: `(width, height)` of the upright image. Percents are of this size. The masks of
                brushes are resized where `original_width` and `original_height` differ.

        Raises:
            PromptDataError: its geometry is no geometry, or outside the image; or the image was
                lying on its side when it was drawn.
        """
        value = self.result.get("value")
        drawn_on = self.result.get("original_width"), self.result.get("original_height")
        try:
            if drawn_on == (size[1], size[0]) != size:
                raise GeometryError(
                    f"It was drawn on an image of {size[1]} x {size[0]} pixels, lying on its side; "
                    f"upright it has {size[0]} x {size[1]}. Save it without EXIF orientation."
                )
            if not isinstance(value, Mapping):
                raise GeometryError("the result has no value.")
            # Only a long outline or mask is not a list yet.
            value = {
                key: part.whole() if isinstance(part, JsonList) else part
                for key, part in value.items()
            }
            match self.kind:
                case "keypoint":
                    prompt = Prompt.from_points([read_point(value, size)])
                case "rectangle":
                    prompt = read_rectangle(value, size)
                case "ellipse":
                    prompt = read_ellipse(value, size)
                case "polygon":
                    prompt = _polygon(value, size)
                case "brush":
                    prompt = _brush(self.result, value, size)
            prompt.check(size)
        except (GeometryError, MaskError, PromptError) as error:
            raise PromptDataError(f"{self.control}: {error}") from error
        return prompt


def drawn_regions(results: object, config: LabelingConfig) -> list[DrawnRegion]:
    """The regions with a shape among results, on all images and pages, in their order.

    Args:
        results: a list of results.
        config: the project's config, completed for the task.

    Raises:
        PromptDataError: not a list.
    """
    if not isinstance(results, list | tuple | JsonList):
        raise PromptDataError(f"The results must be a list, not {type(results).__name__}.")
    shapes: dict[tuple[str, int, str | int], DrawnRegion] = {}
    labels: dict[tuple[str, int, str | int], list[ProjectLabel]] = defaultdict(list)
    places: dict[str, tuple[str, int]] = {}
    for index, result in enumerate(results):
        if not isinstance(result, Mapping):
            continue
        page = result.get("item_index") or 0
        name, to_name, given = (result.get(which) for which in ("from_name", "to_name", "id"))
        control = config.control(name, to_name) if isinstance(name, str) else None
        if control is None or not isinstance(page, int) or page < 0:
            continue
        region_id = given if isinstance(given, str) and given else None
        on = control.to_name
        key = on, page, region_id or index
        if region_id and places.setdefault(region_id, (on, page)) != (on, page):
            region_id = None  # the id of a region elsewhere; a prediction may have each only once
        labels[key] += _labels(result, control)
        kind = _KINDS.get(control.kind)
        if kind:
            shapes.setdefault(key, DrawnRegion(control, kind, on, page, result, region_id))
    for key, region in shapes.items():
        # A shape's label may stand in a result of its own, before or after it.
        region.background = any(label.background for label in labels[key])
        kept = (label.value for label in labels[key] if not label.background)
        region.labels = tuple(dict.fromkeys(kept))
    return list(shapes.values())


def _labels(result: Mapping[str, Any], control: Control) -> Iterator[ProjectLabel]:
    """The labels of a result. The tag may not know them all: its list may be in task data."""
    value = result.get("value")
    if not control.has_labels or not isinstance(value, Mapping):
        return
    known = {label.value: label for label in control.labels}
    for key in (control.type, "labels"):
        texts = value.get(key)
        for text in texts if isinstance(texts, list) else ():
            if isinstance(text, str) and text.strip():
                yield known.get(text) or ProjectLabel(text, (text,), is_background(text))


def _polygon(value: Mapping[str, Any], size: Size) -> Prompt:
    prompt = Prompt.from_polygon(read_polygon(value, size).tolist(), size)
    if prompt.cropped is None or prompt.cropped.is_empty:
        raise GeometryError("The polygon is outside the image.")
    return prompt


def _brush(result: Mapping[str, Any], value: Mapping[str, Any], size: Size) -> Prompt:
    if "imageDataURL" in value:
        return _painted(read_bitmask(value["imageDataURL"], size), size)
    rle = value.get("rle")
    if not rle:
        raise GeometryError("The brush has no mask yet.")
    width, height = result.get("original_width"), result.get("original_height")
    original = (width, height) if isinstance(width, int) and isinstance(height, int) else size
    # The mask's header counts its pixels; where they are the image's, another size is a mistake.
    if pixels(rle) == size[0] * size[1] != original[0] * original[1]:
        original = size
    return _painted(decode(rle, size=original), size)


def _painted(mask: Mask, size: Size) -> Prompt:
    if not mask.any():
        raise GeometryError("The brush's mask is empty.")
    return Prompt.from_mask(fit_mask(mask, size))
