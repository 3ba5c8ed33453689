"""What people and models pointed at in Label Studio -> prompts in pixels of the upright image.

What a shape means:

* A keypoint is on the object; one made with Alt+click, or labelled background, is beside it.
* A rectangle or an ellipse is drawn around the object, which is looked for inside. Either may be
  turned; of an ellipse the box around it counts.
* A polygon, and a mask painted with a brush, is the object: it stays as it is, and is described.
* But a thin brush stroke of a click (see `geometry.stroke_points`) runs over the object, which is
  looked for under it.

In one click (`read_context`; Label Studio sends the prompts of one label and one kind at a time):

* Points belong together, strokes of the brush among them: one object, its label that of the first
  positive point. Points beside the object alone are refused, as nothing says where the object is.
* Every other shape is an object of its own, except that
* one such shape and points are one object: the points refine the box around the shape.
* Shapes labelled background point at nothing.

In pre-annotation (`read_regions`) every region is an object of its own, and what is labelled
background, or beside an object, is passed over. A region that cannot be read is left out with a
line in the log, unless none is left. The regions are those of the first of these that has any:

1. the newest annotation that was not skipped,
2. the newest draft,
3. the newest prediction of another model (those of pam-labeling would only repeat themselves; see
   `versions`),
4. the boxes in the task's data under the key that the option `boxes` names: a list (or its JSON
   text) of `[x1, y1, x2, y2]` in pixels, of `{"box": [x1, y1, x2, y2], "label": "Car"}`, or of
   Label Studio's rectangles `{"x": 10, "y": 20, "width": 30, "height": 40, "label": "Car"}` in
   percent (`rotation` and `label` may be missing).

The image's own upright size counts, whatever `original_width` and `original_height` say. A label
that the tag does not have is as good as none.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from label_studio_backend.config.output_mapping import plan_answer
from label_studio_backend.translation.drawn_regions import (
    Mark,
    PromptDataError,
    drawn_regions,
    read_mark,
)
from label_studio_backend.translation.geometry import (
    GeometryError,
    TurnedBox,
    box_from_pixels,
    read_rectangle,
    stroke_points,
)
from label_studio_backend.translation.model_versions import is_own
from pam_model.errors import PromptError
from pam_model.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.config.options import Options
    from label_studio_backend.translation.drawn_regions import Drawn
    from label_studio_backend.translation.geometry import Size

__all__ = ["Pointed", "PromptDataError", "read_context", "read_regions", "region_sources"]

MAX_POINTS = 256
"""The most points of one object."""

MAX_SHAPES = 10_000
"""The most shapes of one task or click, and the most boxes that a task's data may name."""

MAX_MASK_PIXELS = 2**31
"""The most pixels in the boxes of all polygons and brushes of a task or click, a byte each."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Pointed:
    """One object that somebody pointed at.

    Attributes:
        prompt: in pixels of the upright image; `Prompt.check` passed.
        label: the label it was given, one of those of the tag `control` and never background; None
            if it has none.
        control: the tag that it was pointed at with; "" for boxes from task data.
        region_id: the id of the region it comes from; None for clicks and boxes from task data.
    """

    prompt: Prompt
    label: str | None
    control: str
    region_id: str | None = None


def read_context(
    results: Sequence[Any], config: LabelingConfig, size: Size, *, image: str | None = None
) -> list[Pointed]:
    """What one interactive request points at; see the module for the rules.

    Args:
        results: `params.context.result` of the request, not trusted.
        config: the project's config, completed for the task.
        size: `(width, height)` of the upright image in pixels.
        image: the name of the image; None: that of the first result with a shape.

    Returns:
        One for each object; [] where `results` is empty, as it is after Submit.

    Raises:
        PromptDataError: a sentence that says what is wrong with the prompts.
    """
    drawn = drawn_regions(results, config, image)
    if results and not drawn:
        raise PromptDataError(
            "Nothing in this request is a keypoint, rectangle, ellipse, polygon or brush of a tag "
            "on this image."
        )
    _check_number(drawn)
    room = _Room()
    marks = [_as_stroke(room.of(read_mark(one, size))) for one in drawn]
    points = [mark for marks_of in marks for mark in marks_of if mark.point is not None]
    shapes = [
        mark
        for marks_of in marks
        for mark in marks_of
        if mark.point is None and mark.drawn.positive
    ]
    if drawn and not points and not shapes:
        raise PromptDataError("Everything is labelled background: point at an object first.")
    if len(shapes) == 1 and points:
        return [_refined(shapes[0], points, size)]
    pointed = [_pointed(_prompt_of(mark), mark.drawn, size) for mark in shapes]
    if points:
        pointed.append(_of_points(points, size))
    return pointed


def read_regions(
    task: Mapping[str, Any],
    config: LabelingConfig,
    size: Size,
    options: Options,
    *,
    image: str | None = None,
) -> list[Pointed]:
    """What a task's own regions point at; see the module for the order and the rules.

    Args:
        task: as Label Studio sends it, not trusted.
        config: the project's config, completed for the task.
        size: `(width, height)` of the upright image in pixels.
        options: the project's options.
        image: the name of the image; None: the one that `plan_answer` answers.

    Returns:
        One for each region; [] where there are none.

    Raises:
        PromptDataError: no region of those there are can be read, or the boxes are no boxes.
        LabelingConfigError: the config has no tag for shapes.
    """
    image = image or plan_answer(config, options).image.name
    for results in region_sources(task):
        drawn = [one for one in drawn_regions(results, config, image) if one.positive]
        if drawn:
            return _readable(drawn, size)
    return _boxes(task, config, size, options)


# --- clicks


def _as_stroke(mark: Mark) -> list[Mark]:
    """A thin stroke of a brush as points; anything else as it is."""
    if mark.drawn.kind != "brush" or mark.mask is None:
        return [mark]
    points = stroke_points(mark.mask)
    if points is None:
        return [mark]
    return [Mark(mark.drawn, point=(float(x), float(y))) for x, y in points]


def _of_points(points: list[Mark], size: Size) -> Pointed:
    positive = [mark for mark in points if mark.drawn.positive]
    if not positive:
        raise PromptDataError(
            "All points are beside the object (Alt+click, or labelled background): click on the "
            "object first."
        )
    labelled = next((mark for mark in positive if mark.drawn.label is not None), positive[0])
    return _pointed(Prompt.from_points(*_signed(points)), labelled.drawn, size)


def _refined(shape: Mark, points: list[Mark], size: Size) -> Pointed:
    if shape.mask is not None:
        x1, y1, x2, y2 = shape.mask.box
        box = TurnedBox((x1, y1, x2, y2))
    else:
        assert shape.box is not None
        box = shape.box
    coordinates, signs = _signed(points)
    prompt = Prompt.from_box(box.box, angle=box.angle, points=coordinates, labels=signs)
    return _pointed(prompt, shape.drawn, size)


def _signed(points: list[Mark]) -> tuple[list[tuple[float, float]], list[bool]]:
    if len(points) > MAX_POINTS:
        raise PromptDataError(f"{len(points)} points for one object; {MAX_POINTS} are possible.")
    coordinates = [mark.point for mark in points if mark.point is not None]
    return coordinates, [mark.drawn.positive for mark in points]


# --- regions


def region_sources(task: Mapping[str, Any]) -> Iterator[object]:
    """The results of a task's annotations, drafts and predictions that may prompt, best first.

    Of a task's annotations, drafts and predictions nothing else counts.

    Args:
        task: as Label Studio sends it, not trusted.
    """
    for annotation in _newest_first(task.get("annotations")):
        if annotation.get("was_cancelled") is not True:
            yield annotation.get("result") or []
    for draft in _newest_first(task.get("drafts")):
        yield draft.get("result") or []
    for prediction in _newest_first(task.get("predictions")):
        if not is_own(prediction.get("model_version")):
            yield prediction.get("result") or []


def _newest_first(items: object) -> list[Mapping[str, Any]]:
    found = [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []
    # Label Studio's times are ISO 8601 in UTC: their texts are in the order of time.
    return sorted(
        found, key=lambda item: str(item.get("updated_at") or item.get("created_at")), reverse=True
    )


def _readable(drawn: list[Drawn], size: Size) -> list[Pointed]:
    _check_number(drawn)
    room = _Room()
    read = [_read(one, size, room) for one in drawn]
    pointed = [one for one in read if isinstance(one, Pointed)]
    errors = [one for one in read if isinstance(one, PromptDataError)]
    if not pointed:
        raise errors[0]
    for error in errors:
        _log.warning("Left out a region: %s", error)
    return pointed


def _read(drawn: Drawn, size: Size, room: _Room) -> Pointed | PromptDataError:
    try:
        mark = read_mark(drawn, size)
        prompt = _prompt_of(mark)
        pointed = _pointed(prompt, drawn, size, region_id=drawn.region_id)
    except PromptDataError as error:
        return error
    room.of(mark)
    return pointed


def _boxes(
    task: Mapping[str, Any], config: LabelingConfig, size: Size, options: Options
) -> list[Pointed]:
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
    pointed = []
    for index, item in enumerate(items):
        try:
            box = _box(item, size)
            label = _known_label(item.get("label"), config) if isinstance(item, Mapping) else None
            prompt = Prompt.from_box(box.box, angle=box.angle)
            prompt.check(size)
        except (GeometryError, PromptError) as error:
            raise PromptDataError(f"{where}, box {index + 1}: {error}") from error
        pointed.append(Pointed(prompt, label, ""))
    return pointed


def _box(item: object, size: Size) -> TurnedBox:
    if isinstance(item, Mapping):
        if "box" not in item:
            return read_rectangle(item, size)
        item = item["box"]
    if not isinstance(item, list | tuple):
        raise GeometryError("A box is [x1, y1, x2, y2] or an object; see the option boxes.")
    return box_from_pixels(item, size)


def _known_label(text: object, config: LabelingConfig) -> str | None:
    for control in config.controls:
        if control.type.endswith("labels"):
            for label in control.labels:
                if label.value == text and not label.background:
                    return label.value
    return None


# --- both


def _check_number(drawn: list[Drawn]) -> None:
    if len(drawn) > MAX_SHAPES:
        raise PromptDataError(f"{len(drawn):,} regions are too many: {MAX_SHAPES:,} are possible.")


class _Room:
    """What is left of `MAX_MASK_PIXELS`."""

    def __init__(self) -> None:
        self._left = MAX_MASK_PIXELS

    def of(self, mark: Mark) -> Mark:
        """A mark that there is room for.

        Raises:
            PromptDataError: there is none.
        """
        if mark.mask is not None:
            self._left -= mark.mask.crop.size
        if self._left < 0:
            raise PromptDataError(
                f"The polygons and brushes are too large together: the boxes around them have more "
                f"than {MAX_MASK_PIXELS:,} pixels. Point with rectangles instead."
            )
        return mark


def _prompt_of(mark: Mark) -> Prompt:
    if mark.point is not None:
        return Prompt.from_points([mark.point])
    if mark.box is not None:
        return Prompt.from_box(mark.box.box, angle=mark.box.angle)
    assert mark.mask is not None
    return Prompt.from_cropped(mark.mask)


def _pointed(prompt: Prompt, drawn: Drawn, size: Size, *, region_id: str | None = None) -> Pointed:
    try:
        prompt.check(size)
    except PromptError as error:
        raise PromptDataError(f"{error}.") from error
    return Pointed(prompt, drawn.label, drawn.control.name, region_id)
