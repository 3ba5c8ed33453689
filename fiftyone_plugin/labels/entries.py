"""Turn FiftyOne's labels into regions of a document, from which all formats are written.

Instance masks and the classes of a segmentation are masks. Closed polylines are outlines, point by
point, unless they leave the image or enclose holes: then they are masks. Other detections are
boxes, cut at the image's edges. Keypoints and open lines have no extent: some formats hold the
prompts that they are, a keypoint its points and a line the box around it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import fiftyone as fo
import numpy as np

from pam_labeling.formats.shapes import fill
from pam_labeling.masks import encode_rle
from pam_model import CroppedMask

from .instance_masks import pixel_box
from .regions import UnusableLabel, class_of, regions_of, single_labels

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy.typing as npt

    from pam_labeling.documents import RegionEntry

    from .regions import LabelRegion


@dataclass(frozen=True)
class SaidIn:
    """Where labels keep what is said about them, by names of attributes.

    Attributes:
        texts: the attribute of each task's text.
        scores: the attribute of each score: `iou`, `object`, `label`, or `score`.
        label: the attribute with the class.
        open_label: the attribute with the model's own label beside a class, or None.
    """

    texts: Mapping[str, str] = field(default_factory=dict)
    scores: Mapping[str, str] = field(default_factory=dict)
    label: str = "label"
    open_label: str | None = None


@dataclass
class LabelReader:
    """Reads the labels of images, and counts what it cannot.

    Attributes:
        said_in: where the labels keep what is said about them.
        mask_targets: the names of a Segmentation's values.
        holds_all: whether keypoints and open lines can be written.
        points: how many keypoints could not.
        lines: how many open lines could not.
        unusable: how many labels have no usable shape.
        reason: why the first of them has none.
        unwritten: the attributes with values that are no text, number, or list of these.
    """

    said_in: SaidIn
    mask_targets: Mapping[Any, str]
    holds_all: bool
    points: int = 0
    lines: int = 0
    unusable: int = 0
    reason: str = ""
    unwritten: set[str] = field(default_factory=set)

    def regions(self, label: Any, size: tuple[int, int]) -> Iterator[RegionEntry]:
        """The regions of a label, or of a list of labels, in an upright image of `size`."""
        for one in [label] if isinstance(label, fo.Segmentation) else single_labels(label):
            shape = one
            if isinstance(one, fo.Polyline) and one.closed and not one.filled:
                shape = one.copy()
                shape.filled = True  # else it would be a prompt: a box
            for found in regions_of(shape, size, mask_targets=self.mask_targets):
                if isinstance(found, UnusableLabel):
                    self.unusable += 1
                    self.reason = self.reason or f"the label {one.id}: {found.reason}"
                elif self._can_hold(found):
                    yield self._entry(one, found, size)

    def _can_hold(self, found: LabelRegion) -> bool:
        """Whether a label can be written; counts it if not."""
        is_point = isinstance(found.document, fo.Keypoint)
        is_line = isinstance(found.document, fo.Polyline) and not found.document.filled
        if self.holds_all or not (is_point or is_line):
            return True
        self.points += is_point
        self.lines += is_line
        return False

    def _entry(self, label: Any, found: LabelRegion, size: tuple[int, int]) -> RegionEntry:
        words = {"label": found.label, **self._words(label, class_of(found.label_id))}
        said_in = self.said_in
        texts = {task: str(words[name]) for task, name in said_in.texts.items() if words.get(name)}
        scores = {
            score: words[name]
            for score, name in said_in.scores.items()
            if isinstance(words.get(name), float) and 0 <= words[name] <= 1
        }
        chosen, open_label = words.get(said_in.label), words.get(said_in.open_label or "")
        used = {"label", said_in.label, said_in.open_label}
        used |= {said_in.texts[task] for task in texts} | {said_in.scores[one] for one in scores}
        entry: dict[str, Any] = {
            "prompt": None,
            "label": None if chosen is None else str(chosen),
            "open_label": None if open_label is None else str(open_label),
            "scores": scores,
            "texts": texts,
            **_shape(found, size),
        }
        attributes = {name: word for name, word in words.items() if name not in used}
        if attributes:
            entry["attributes"] = attributes
        return cast("RegionEntry", entry)

    def _words(self, label: Any, class_value: str | None) -> dict[str, Any]:
        """What is said about a label; a Segmentation says it for each class."""
        own = {name: getattr(label, name, None) for name in ("confidence", "index", "tags")}
        said = own | dict(sorted(label.iter_attributes()))
        words = {}
        for name, value in said.items():
            if class_value is not None and isinstance(value, dict):
                value = value.get(class_value)  # noqa: PLW2901 - that of this class
            if value is None or (isinstance(value, list) and not value):
                continue
            try:
                words[name] = _plain(value)
            except TypeError:
                self.unwritten.add(name)
        return words


def _plain(value: Any) -> Any:
    """A value as JSON has it.

    Raises:
        TypeError: JSON has no such values.
    """
    if isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    raise TypeError(type(value).__name__)


def _shape(found: LabelRegion, size: tuple[int, int]) -> dict[str, Any]:
    """Mask, box, area and outlines of a region, or the prompt that it is."""
    document, prompt = found.document, found.prompt
    if isinstance(document, fo.Detection):  # its own box, which may be larger than its mask
        x1, y1, x2, y2 = _inside(pixel_box(document.bounding_box, size), size)
        shape: dict[str, Any] = {
            "mask": None,
            "box": [x1, y1, x2, y2],
            "area": (x2 - x1) * (y2 - y1),
        }
        if prompt.cropped is not None:
            shape |= {"mask": encode_rle(prompt.cropped.mask), "area": prompt.cropped.area}
        return shape
    if prompt.cropped is not None:
        if isinstance(document, fo.Polyline):
            return _drawn(document, prompt.cropped, size)
        return _masked(prompt.cropped)
    points = prompt.points.tolist()
    if prompt.box is None:
        xs, ys = zip(*points, strict=True)
        around = [min(xs), min(ys), max(xs), max(ys)]
    else:
        around = _inside(prompt.box, size)
    pointed = [[x, y, True] for x, y in points]
    own = {"points": pointed, "box": prompt.box, "angle": prompt.angle, "mask": None}
    return {"prompt": own, "mask": None, "box": around, "area": 0}


def _masked(mask: CroppedMask) -> dict[str, Any]:
    return {"mask": encode_rle(mask.mask), "box": list(mask.box), "area": mask.area}


def _inside(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    """A box cut at the image's edges; fractions times pixels miss whole numbers by a little."""
    limits = (*size, *size)
    return [round(min(max(edge, 0.0), limit), 6) for edge, limit in zip(box, limits, strict=True)]


def _drawn(polyline: Any, rough: CroppedMask, size: tuple[int, int]) -> dict[str, Any]:
    """The outlines of a filled polyline; a mask if they leave the image or enclose holes.

    Args:
        polyline: the label.
        rough: its mask with the pixels that it only touches.
        size: `(width, height)` of the image.
    """
    far = 8 * max(size)  # COCO's tools count in 32 bits
    shapes = [
        np.clip(np.round(np.asarray(shape, np.float64) * size, 6), -far, far)
        for shape in polyline.points
        if len(shape) >= 3
    ]
    parts = [fill([shape.tolist()], size) for shape in shapes]
    is_inside = all((shape >= 0).all() and (shape <= size).all() for shape in shapes)
    if is_inside and np.sum(parts, axis=0).max() <= 1:
        points = np.concatenate(shapes)
        return {
            "mask": None,
            "polygons": [shape.tolist() for shape in shapes],
            "box": [*points.min(axis=0).tolist(), *points.max(axis=0).tolist()],
            "area": sum(_area(*shape.T) for shape in shapes),
        }
    mask = np.bitwise_xor.reduce(parts)  # a shape inside another is a hole, as in FiftyOne
    # A shape that is thinner than a pixel has only pixels that it touches.
    return _masked(CroppedMask.from_mask(mask) if mask.any() else rough)


def _area(xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]) -> float:
    """The area inside an outline, by the shoelace formula."""
    return abs(float(xs @ np.roll(ys, -1) - ys @ np.roll(xs, -1))) / 2
