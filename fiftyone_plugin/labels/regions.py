"""Translate FiftyOne's labels to prompts, and the annotator's regions to FiftyOne's labels.

FiftyOne's coordinates are fractions of the **upright** image's width and height, as browsers show
it and the annotator reads it. Sizes come from the image itself, never from FiftyOne's metadata,
which respects the EXIF orientation of JPEGs only. Nothing here knows datasets or databases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import fiftyone as fo
import numpy as np

from pam_labeling.errors import InputError
from pam_labeling.media import read_mask
from pam_model import Prompt

from ..errors import PluginError
from .instance_masks import Box, mask_in_box, pixel_box, place_mask, relative_box, save_mask

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pam_labeling.regions import Region


LABEL_TYPES: tuple[type[Any], ...] = (
    fo.Detections,
    fo.Detection,
    fo.Polylines,
    fo.Polyline,
    fo.Keypoints,
    fo.Keypoint,
    fo.Segmentation,
)
"""The label types from which prompts are made."""

PROMPT_ID = "prompt_id"
"""The attribute of a new Detection that holds the id of the label from which it was made."""

MAX_CLASSES = 1_000
"""The most classes of a Segmentation: a mask with more different values is not a class map."""


@dataclass(frozen=True, eq=False)
class LabelRegion:
    """A region that an image already has.

    Attributes:
        label_id: the label's id; of a Segmentation's class, `"{id}:{value}"`, the value as FiftyOne
            writes mask targets: `"7"`, or `"#ff0000"` in an RGB mask.
        prompt: its prompt, in pixels of the upright image.
        label: its present label, or None.
        document: the FiftyOne label; for a class, the whole Segmentation.
    """

    label_id: str
    prompt: Prompt
    label: str | None
    document: Any


@dataclass(frozen=True, eq=False)
class UnusableLabel:
    """A label that cannot be made into a prompt; the other labels of its image are used.

    Attributes:
        label_id: as in `LabelRegion`.
        reason: a sentence that says why.
    """

    label_id: str
    reason: str


LabelResult: TypeAlias = LabelRegion | UnusableLabel


def regions_of(
    label: Any,
    size: tuple[int, int],
    *,
    label_ids: Iterable[str] | None = None,
    use_masks: bool = True,
    mask_targets: Mapping[Any, str] | None = None,
) -> list[LabelResult]:
    """The regions of a label (or list of labels), in the label's order.

    Instance masks, filled polylines and classes become mask prompts. Closed rectangles become
    turned boxes, other polylines the box around them. Keypoints become positive points; missing
    points, NaN and points outside the image are left out. Boxes are cut at the image's edges.

    Args:
        label: one of `LABEL_TYPES`.
        size: `(width, height)` of the upright image in pixels.
        label_ids: only these labels (or a Segmentation's classes); None takes all.
        use_masks: whether a Detection's instance mask, if it has one, is used instead of its box.
        mask_targets: the names of a Segmentation's values, as in the dataset's `mask_targets`.

    Raises:
        PluginError: the label has another type.
    """
    if not isinstance(label, LABEL_TYPES):
        raise PluginError(
            f"a label of the type {type(label).__name__} has no regions; "
            f"choose a field of {', '.join(kind.__name__ for kind in LABEL_TYPES)}"
        )
    wanted = None if label_ids is None else frozenset(label_ids)
    if isinstance(label, fo.Segmentation):
        classes = _classes(label, size, mask_targets or {})
        return [
            found
            for found in classes
            if wanted is None or label.id in wanted or found.label_id in wanted
        ]
    return [
        _region(single, size, use_masks=use_masks)
        for single in single_labels(label)
        if wanted is None or single.id in wanted
    ]


def mask_update(
    region: Region,
    *,
    keep_box: Sequence[float] | None = None,
    file: Path | None = None,
) -> dict[str, Any]:
    """The attributes that give a Detection the mask of a region, as `set_label_values` takes them.

    All other attributes of the Detection stay.

    Args:
        region: the region.
        keep_box: the Detection's own `bounding_box`, to keep it and cut the mask at it; None makes
            the box tight around the whole mask.
        file: where to write the mask (PNG); if the name is taken, a number is added. None keeps the
            mask in the document: bool, one cell per pixel.

    Returns:
        `mask` and `mask_path` (one of them None), and `bounding_box` unless the box is kept.

    Raises:
        PluginError: no part of the mask is in the box, or the file cannot be written.
    """
    update: dict[str, Any] = {}
    if keep_box is None:
        mask = region.crop
        update["bounding_box"] = relative_box(region.box, region.size)
    else:
        mask = mask_in_box(region, pixel_box(keep_box, region.size))
    if file is None:
        # A region's crop is read-only; the owner of the label may edit its mask.
        return {**update, "mask": mask.copy(), "mask_path": None}
    return {**update, "mask": None, "mask_path": str(save_mask(mask, file).resolve())}


def detection_of(
    region: Region,
    *,
    label: str | None = None,
    source: Any = None,
    file: Path | None = None,
    **attributes: Any,
) -> fo.Detection:
    """A new Detection of a region, with its instance mask and a tight box.

    Args:
        region: the region.
        label: its label; the source's or the region's label by default.
        source: the label from which it was made: its tags, index, confidence, instance and
            attributes are copied, its id is not.
        file: where to write the mask, as in `mask_update`.
        attributes: further attributes; they override those of the source.

    Raises:
        PluginError: the file cannot be written.
    """
    copied = {} if source is None else _copied(source)
    # PAM's values override the copied ones.
    values = {**copied, **mask_update(region, file=file), **attributes}
    name = label or (source is not None and getattr(source, "label", None)) or region.label
    return fo.Detection(label=name, **values)


def single_labels(label: Any) -> list[Any]:
    """The labels of a list of labels, or the label itself; [] for None."""
    name = getattr(label, "_LABEL_LIST_FIELD", None)
    found = [label] if name is None else label[name] or []
    return [one for one in found if one is not None]


def class_of(label_id: str) -> str | None:
    """The class's value in the id of a Segmentation's region; None for other labels' ids."""
    return label_id.partition(":")[2] or None


def _copied(source: Any) -> dict[str, Any]:
    # The confidence of a Keypoint is a list: one number for each of its points.
    own = ["index", "instance", *([] if isinstance(source, fo.Keypoint) else ["confidence"])]
    copied = {name: source[name] for name in own if getattr(source, name, None) is not None}
    return {**dict(source.iter_attributes()), **copied, "tags": list(source.tags)}


def _region(label: Any, size: tuple[int, int], *, use_masks: bool) -> LabelRegion | UnusableLabel:
    try:
        if isinstance(label, fo.Detection):
            prompt = _detection_prompt(label, size, use_masks=use_masks)
        elif isinstance(label, fo.Polyline):
            prompt = _polyline_prompt(label, size)
        else:
            prompt = _keypoint_prompt(label, size)
        prompt.check(size)
    except InputError as error:
        return UnusableLabel(label.id, str(error))
    return LabelRegion(label.id, prompt, label.label, label)


def _detection_prompt(detection: Any, size: tuple[int, int], *, use_masks: bool) -> Prompt:
    if not detection.bounding_box:
        raise PluginError("it has no bounding box")
    box = pixel_box(detection.bounding_box, size)
    # segment_regions prompts with the box: the model would only repeat an old mask.
    if not (use_masks and detection.has_mask):
        return _box_prompt(box, size)
    if detection.mask is not None:
        mask = np.asarray(detection.mask)
    else:
        mask = read_mask(detection.mask_path)
    return Prompt.from_mask(place_mask(mask, box, size))


def _box_prompt(box: Box, size: tuple[int, int]) -> Prompt:
    Prompt.from_box(box).check(size)  # before the cut, so that the message has the box's numbers
    limits = (*size, *size)
    return Prompt.from_box(
        [min(max(side, 0.0), limit) for side, limit in zip(box, limits, strict=True)]
    )


def _polyline_prompt(polyline: Any, size: tuple[int, int]) -> Prompt:
    # (K, 2) pixels each
    shapes = [np.asarray(shape, dtype=np.float64) * size for shape in polyline.points if shape]
    if not shapes:
        raise PluginError("it has no points")
    # FiftyOne does not check points, and OpenCV would draw NaN somewhere.
    if not all(shape.ndim == 2 and np.isfinite(shape).all() for shape in shapes):
        raise PluginError("it has a point that is not a pair of finite numbers")
    if polyline.filled:
        return _filled(shapes, size)
    # A rotated box is stored as a closed line; as a prompt it is a box with an angle.
    turned = _turned_box(shapes[0]) if polyline.closed and len(shapes) == 1 else None
    if turned is not None:
        return turned
    points = np.concatenate(shapes)
    (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    # A line along an axis has no height: add half a pixel on each side, as when it is drawn.
    margin_x, margin_y = (0.5 if low == high else 0.0 for low, high in ((x1, x2), (y1, y2)))
    return _box_prompt((x1 - margin_x, y1 - margin_y, x2 + margin_x, y2 + margin_y), size)


def _filled(shapes: Sequence[npt.NDArray[np.float64]], size: tuple[int, int]) -> Prompt:
    """A mask prompt of filled shapes; shapes inside others are holes (even-odd), as in FiftyOne."""
    solid = [shape for shape in shapes if len(shape) >= 3]
    if not solid:
        raise PluginError("it is filled, but none of its shapes has three points")
    # Far corners would overflow the fixed-point numbers; clipping that far out changes no pixel.
    limit = 8.0 * max(size)
    # (height, width)
    mask = np.zeros((size[1], size[0]), dtype=np.uint8)
    # fillPoly counts from pixel centres, in 16ths of a pixel (shift=4).
    fixed = [
        np.round((np.clip(shape, -limit, limit) - 0.5) * 16).astype(np.int32) for shape in solid
    ]
    cv2.fillPoly(mask, fixed, 1, shift=4)
    if not mask.any():
        raise PluginError(f"it is outside the image of {size[0]} x {size[1]}")
    return Prompt.from_mask(mask)


def _turned_box(corners: npt.NDArray[np.float64]) -> Prompt | None:
    """A turned box, if the corners are a rectangle as `Polyline.from_rotated_box` makes it."""
    # Some tools repeat the first corner to close the line.
    if len(corners) == 5 and np.allclose(corners[0], corners[-1]):
        corners = corners[:4]
    if len(corners) != 4:
        return None
    # A rectangle: its diagonals are equally long and halve each other.
    first, second = corners[2] - corners[0], corners[3] - corners[1]
    diagonal = float(np.hypot(*first))
    # Tools round the corners.
    slack = 0.01 * diagonal
    centre = corners.mean(axis=0)
    off_centre = np.abs((corners[0] + corners[2]) / 2 - centre).max()
    if off_centre > slack or abs(float(np.hypot(*second)) - diagonal) > slack:
        return None
    across, down = corners[1] - corners[0], corners[2] - corners[1]
    width, height = float(np.hypot(*across)), float(np.hypot(*down))
    if min(width, height) <= slack:
        return None
    angle = math.degrees(math.atan2(across[1], across[0]))
    # Turned by at most 45 degrees: a quarter turn only swaps width and height.
    quarters = round(angle / 90)
    if quarters % 2:
        width, height = height, width
    half = np.array((width, height)) / 2
    return Prompt.from_box((*(centre - half), *(centre + half)), angle=angle - 90 * quarters)


def _keypoint_prompt(keypoint: Any, size: tuple[int, int]) -> Prompt:
    # (K, 2) pixels
    points = np.asarray(keypoint.points or [], dtype=np.float64).reshape(-1, 2) * size
    # FiftyOne writes NaN for a point of a skeleton that cannot be seen.
    present = points[np.isfinite(points).all(axis=1)]
    if len(present) == 0:
        raise PluginError("it has no points" if len(points) == 0 else "all its points are missing")
    inside = present[((present >= 0) & (present <= size)).all(axis=1)]
    if len(inside) == 0:
        raise PluginError(f"its points are outside the image of {size[0]} x {size[1]}")
    return Prompt.from_points(inside.tolist())


def _classes(
    segmentation: Any, size: tuple[int, int], mask_targets: Mapping[Any, str]
) -> list[LabelResult]:
    try:
        values = _class_map(segmentation)
    except PluginError as error:
        return [UnusableLabel(segmentation.id, str(error))]
    is_rgb = values.ndim == 3
    if is_rgb:
        # (H, W), one number for each colour
        values = (values[..., 0] << 16) + (values[..., 1] << 8) + values[..., 2]
    height, width = values.shape
    # The mask may have another resolution than the image: take the cell at each pixel's centre.
    rows = (np.arange(size[1]) * 2 + 1) * height // (2 * size[1])
    columns = (np.arange(size[0]) * 2 + 1) * width // (2 * size[0])
    # (height, width) of the image
    placed = values[np.ix_(rows, columns)]
    # 0 is the background, for FiftyOne too.
    found = [int(value) for value in np.unique(placed) if value]
    # A depth map or a photograph as a mask would become thousands of prompts.
    if len(found) > MAX_CLASSES:
        reason = f"its mask has {len(found):,} values; a class map has at most {MAX_CLASSES:,}"
        return [UnusableLabel(segmentation.id, reason)]
    names: dict[int, str] = {value: f"#{value:06x}" if is_rgb else str(value) for value in found}
    return [
        LabelRegion(
            f"{segmentation.id}:{name}",
            Prompt.from_mask(placed == value),
            mask_targets.get(name if is_rgb else value),
            segmentation,
        )
        for value, name in names.items()
    ]


def _class_map(segmentation: Any) -> npt.NDArray[np.int64]:
    """The mask's values, int64 `(h, w)`, or `(h, w, 3)` if they are colours."""
    try:
        mask = segmentation.get_mask()
    except (OSError, ValueError, cv2.error) as error:
        raise PluginError(f"its mask cannot be read: {error}") from error
    if mask is None:
        where = f" ({segmentation.mask_path})" if segmentation.mask_path else ""
        raise PluginError(f"it has no mask that can be read{where}")
    array = np.asarray(mask)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 3 and array.shape[2] in (3, 4):
        array = array[:, :, :3]
    elif array.ndim != 2:
        raise PluginError(f"its mask has the shape {array.shape}, not (height, width)")
    return array.astype(np.int64)
