"""Translate regions drawn in Label Studio to prompts, in pixels of the upright image.

What a shape means:

* A keypoint is on the object; one made with Alt+click, or labelled background, is beside it.
* A rectangle or an ellipse is drawn around the object, which is looked for inside. Either may be
  turned; of an ellipse the box around it counts.
* A polygon, and a mask painted with a brush, is the object: it stays as it is, and is described.
* But a thin brush stroke of a click (see `geometry.stroke_points`) runs over the object, which is
  looked for under it.

In one click (`click_prompts`; Label Studio sends the prompts of one label and one kind at a time):

* Points belong together, strokes of the brush among them: one object, with the labels of its first
  positive point that has any. Points beside the object alone are refused, as nothing says where the
  object is.
* Every other shape is an object of its own.
* But one such shape with points is one object: the points refine the box around the shape.
* Shapes labelled background point at nothing.

In pre-annotation (`task_prompts`) every region is an object of its own, and what is labelled
background, or beside an object, is passed over. A region that cannot be read is left out with a
line in the log, unless none is left. Each page of each image is looked at on its own. Its regions
are those of the first of these that has any there:

1. the newest annotation that was not skipped, or a draft that is newer,
2. the newest prediction of another model (those of pam-labeling would only repeat themselves; see
   `model_versions`),
3. the boxes in the task's data under the key that the option `boxes` names: a list (or its JSON
   text) of `[x1, y1, x2, y2]` in pixels, of `{"box": [x1, y1, x2, y2], "label": "Car"}`, or of
   Label Studio's rectangles `{"x": 10, "y": 20, "width": 30, "height": 40, "label": "Car"}` in
   percent (`rotation` and `label` may be missing). An object may have `to_name` and `item_index`,
   as Label Studio's results do; else it is on the first page of the first image.

The image's own upright size counts, whatever `original_width` and `original_height` say; only if
these say that the image was lying on its side, the region is an error.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from label_studio_backend.config.labeling_config import is_background
from label_studio_backend.json_pieces import JsonList
from label_studio_backend.translation.drawn_regions import (
    DrawnRegion,
    PromptDataError,
    drawn_regions,
)
from label_studio_backend.translation.geometry import (
    GeometryError,
    Size,
    box_from_pixels,
    read_rectangle,
    stroke_points,
)
from label_studio_backend.translation.model_versions import is_own
from pam_model.errors import PromptError
from pam_model.prompts import Prompt

if TYPE_CHECKING:
    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.config.options import Options

MAX_POINTS = 256
"""The most points of one object."""

NOTHING_ON_THE_OBJECT = (
    "Everything here is beside the object: click on the object first. Label Studio sends what is "
    "labelled background alone, so nothing says which object it is about; Alt+click instead."
)

MAX_SHAPES = 10_000
"""The most shapes of one task or click, and the most boxes that a task's data may name."""

MAX_MASK_PIXELS = 2**31
"""The most pixels in the boxes of all polygons and brushes of a task or click, a byte each."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class RegionPrompt:
    """One object that somebody pointed at.

    Attributes:
        prompt: in pixels of the upright image; it passes `Prompt.check`.
        labels: the labels it was given, known to the project or not, and never background.
        control: the tag that it was pointed at with; "" for boxes from task data.
        region_id: the id of the region it comes from; None for clicks and boxes from task data.
    """

    prompt: Prompt
    labels: tuple[str, ...]
    control: str
    region_id: str | None = None


def click_prompts(regions: Sequence[DrawnRegion], size: Size) -> list[RegionPrompt]:
    """What the regions of one click point at; see the module for the rules.

    Args:
        regions: on one image, at least one.
        size: `(width, height)` of the upright image in pixels.

    Returns:
        One for each object, at least one.

    Raises:
        PromptDataError: a sentence that says what is wrong with the prompts.
    """
    points: list[tuple[DrawnRegion, tuple[float, float]]] = []
    shapes: list[tuple[DrawnRegion, Prompt]] = []
    for region, prompt in _read(regions, size, leave_out=False):
        # A thin stroke says where the object is, not how far it reaches.
        brush = prompt.cropped if region.kind == "brush" else None
        stroke = None if brush is None else stroke_points(brush)
        on_points = prompt.points if stroke is None else stroke
        points += [(region, (x, y)) for x, y in on_points.tolist()]
        if not len(on_points) and region.positive:
            shapes.append((region, prompt))
    if len(points) > MAX_POINTS:
        raise PromptDataError(f"{len(points)} points for one object; {MAX_POINTS} are possible.")
    coordinates = [point for _, point in points]
    signs = [region.positive for region, _ in points]
    # With several shapes nothing says which of them the points belong to.
    if len(shapes) == 1 and points:
        [(region, shape)] = shapes
        box = shape.box if shape.cropped is None else shape.cropped.box
        assert box is not None
        prompt = Prompt.from_box(box, angle=shape.angle, points=coordinates, labels=signs)
        return [RegionPrompt(prompt, region.labels, region.control.name)]
    found = [RegionPrompt(shape, region.labels, region.control.name) for region, shape in shapes]
    if points or not shapes:
        positive = [region for region, _ in points if region.positive]
        if not positive:
            raise PromptDataError(NOTHING_ON_THE_OBJECT)
        labelled = next((one for one in positive if one.labels), positive[0])
        prompt = Prompt.from_points(coordinates, signs)
        found.append(RegionPrompt(prompt, labelled.labels, labelled.control.name))
    return found


def task_prompts(
    task: Mapping[str, Any],
    config: LabelingConfig,
    size: Size,
    *,
    options: Options,
    image: str,
    page: int = 0,
    is_first: bool = True,
) -> list[RegionPrompt]:
    """What a task's own regions on one image point at; see the module for the order and the rules.

    Args:
        task: as Label Studio sends it, not trusted.
        config: the project's config, completed for the task.
        size: `(width, height)` of the upright image in pixels.
        options: the project's options.
        image: the name of the image.
        page: the number of its page, from 0.
        is_first: whether it is the first image that is answered.

    Returns:
        One for each region; [] where there are none.

    Raises:
        PromptDataError: no region of those there are can be read, or the boxes are no boxes.
    """
    for results in region_sources(task):
        regions = [
            region
            for region in drawn_regions(results, config)
            if (region.image, region.page) == (image, page) and region.positive
        ]
        if regions:
            return [
                RegionPrompt(prompt, region.labels, region.control.name, region.region_id)
                for region, prompt in _read(regions, size, leave_out=True)
            ]

    def is_here(item: object) -> bool:
        given = item if isinstance(item, Mapping) else {}
        on = given.get("to_name", image if is_first else None)
        return (on, given.get("item_index") or 0) == (image, page)

    return _boxes(task, size, options, is_here)


def whole_image(size: Size) -> list[RegionPrompt]:
    """The image of `size` = (width, height) itself, as the one region."""
    width, height = size
    return [RegionPrompt(Prompt.from_mask(np.ones((height, width), np.bool_)), (), "")]


def region_sources(task: Mapping[str, Any]) -> Iterator[object]:
    """The results of a task's annotations, drafts and predictions that may prompt, best first.

    Nothing else of a task's annotations, drafts and predictions counts.

    Args:
        task: as Label Studio sends it, not trusted.
    """
    for kinds in (("annotations", "drafts"), ("predictions",)):
        lists = [found for kind in kinds if isinstance(found := task.get(kind), list | JsonList)]
        # The newest first. Times are ISO 8601 in UTC: their texts are in the order of time.
        for item in sorted(
            (one for one in chain(*lists) if isinstance(one, Mapping)),
            key=lambda item: str(item.get("updated_at") or item.get("created_at") or ""),
            reverse=True,
        ):
            # Only annotations are skipped (cancelled), and only predictions have a model.
            if item.get("was_cancelled") is not True and not is_own(item.get("model_version")):
                yield item.get("result") or []


def _read(
    regions: Sequence[DrawnRegion], size: Size, *, leave_out: bool
) -> list[tuple[DrawnRegion, Prompt]]:
    """The regions with their prompts; `leave_out`: those that can be read, if there are any."""
    if len(regions) > MAX_SHAPES:
        raise PromptDataError(
            f"{len(regions):,} regions are too many: {MAX_SHAPES:,} are possible."
        )
    read: list[tuple[DrawnRegion, Prompt]] = []
    errors: list[PromptDataError] = []
    left = MAX_MASK_PIXELS
    for region in regions:
        try:
            prompt = region.prompt(size)
        except PromptDataError as error:
            errors.append(error)
            if leave_out:
                continue
            raise
        left -= prompt.cropped.crop.size if prompt.cropped is not None else 0
        if left < 0:
            raise PromptDataError(
                f"The polygons and brushes are too large together: the boxes around them have more "
                f"than {MAX_MASK_PIXELS:,} pixels. Point with rectangles instead."
            )
        read.append((region, prompt))
    if errors and not read:
        raise errors[0]
    for left_out in errors:
        _log.warning("Left out a region: %s", left_out)
    return read


def _boxes(
    task: Mapping[str, Any], size: Size, options: Options, is_here: Callable[[object], bool]
) -> list[RegionPrompt]:
    data = task.get("data")
    items = data.get(options.boxes) if options.boxes and isinstance(data, Mapping) else None
    where = f'The task\'s data "{options.boxes}"'
    if isinstance(items, str):  # as imports from CSV have it
        try:
            items = json.loads(items) if items.strip() else None
        except (ValueError, RecursionError) as error:
            raise PromptDataError(f"{where} is text that is not JSON.") from error
    if items is None:
        return []
    if not isinstance(items, list) or len(items) > MAX_SHAPES:
        raise PromptDataError(f"{where} must be a list of at most {MAX_SHAPES:,} boxes.")
    found = []
    for index, item in enumerate(items):
        if not is_here(item):
            continue
        try:
            prompt = _box(item, size)
            prompt.check(size)
        except (GeometryError, PromptError) as error:
            raise PromptDataError(f"{where}, box {index + 1}: {error}") from error
        label = item.get("label") if isinstance(item, Mapping) else None
        is_label = isinstance(label, str) and label.strip() and not is_background(label)
        found.append(RegionPrompt(prompt, (str(label),) if is_label else (), ""))
    return found


def _box(item: object, size: Size) -> Prompt:
    if isinstance(item, Mapping):
        if "box" not in item:
            return read_rectangle(item, size)
        item = item["box"]
    if not isinstance(item, list | tuple):
        raise GeometryError("A box is [x1, y1, x2, y2] or an object; see the option boxes.")
    return box_from_pixels(item, size)
