"""Results of Label Studio -> what somebody drew, in pixels: the untrusted half of `prompts`.

Results that share an id are one region: its shape, its label (in the shape's result, or in one of a
`<Labels>` tag), and texts and choices, which do not matter here. Passed over: what is no object,
relations, results of tags that the config does not have or that hold no shape, of other images,
and of further pages (`item_index`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from label_studio_backend.config.labeling_config import is_background
from label_studio_backend.config.output_mapping import describe
from label_studio_backend.translation.geometry import (
    GeometryError,
    TurnedBox,
    fit_mask,
    read_ellipse,
    read_point,
    read_polygon,
    read_rectangle,
)
from label_studio_backend.translation.rle import decode, pixels
from pam_labeling.errors import InputError, MaskError
from pam_model.cropped_mask import CroppedMask
from pam_model.errors import PromptError
from pam_model.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from label_studio_backend.config.labeling_config import Control, LabelingConfig
    from label_studio_backend.translation.geometry import Size

Kind = Literal["keypoint", "rectangle", "ellipse", "polygon", "brush"]

_KINDS: dict[str, Kind] = {
    "keypoint": "keypoint",
    "rectangle": "rectangle",
    "ellipse": "ellipse",
    "polygon": "polygon",
    "brush": "brush",
    "magicwand": "brush",
}


class PromptDataError(InputError):
    """Prompts that cannot be worked on; a sentence for the annotator that says why."""


@dataclass
class Drawn:
    """One region as Label Studio sends it, not read yet.

    Attributes:
        region_id: its id, or None where it has none.
        control: the tag of its shape.
        kind: of its shape.
        result: the result with its shape.
        label: the first of its labels that the config knows and that is not background, or None.
        background: whether a label of it is called background.
    """

    region_id: str | None
    control: Control
    kind: Kind
    result: Mapping[str, Any]
    label: str | None = None
    background: bool = False

    @property
    def positive(self) -> bool:
        """Whether it is about the object, not about what is beside it."""
        # Alt+click is at the top of the result, not in its value.
        return self.result.get("is_positive") is not False and not self.background


@dataclass(frozen=True, eq=False)
class Mark:
    """What was drawn, in pixels; one of the three is not None.

    Attributes:
        drawn: the region.
        point: x and y.
        box: around a rectangle or an ellipse.
        mask: of the image, not empty: a polygon's inside, or a brush's.
    """

    drawn: Drawn
    point: tuple[float, float] | None = None
    box: TurnedBox | None = None
    mask: CroppedMask | None = None


@dataclass
class _Region:
    drawn: Drawn | None = None
    labels: list[str] = field(default_factory=list)
    background: bool = False


def drawn_regions(results: object, config: LabelingConfig, image: str | None) -> list[Drawn]:
    """The regions with a shape among results, in their order.

    Args:
        results: a list of results.
        config: the project's config.
        image: the name of the image; None: that of the first result with a shape.

    Raises:
        PromptDataError: not a list.
    """
    if not isinstance(results, list | tuple):
        raise PromptDataError(f"The results must be a list, not {type(results).__name__}.")
    on_images = list(_known(results, config))
    if image is None:
        image = next((on for _, on, control, _ in on_images if _kind(control)), None)
    regions: dict[object, _Region] = {}
    for index, on, control, result in on_images:
        if on != image:
            continue
        region_id = result.get("id")
        key = region_id if isinstance(region_id, str) and region_id else index
        region = regions.setdefault(key, _Region())
        if control.type.endswith("labels"):
            _add_labels(region, result, control)
        kind = _kind(control)
        if kind and region.drawn is None:
            region.drawn = Drawn(key if isinstance(key, str) else None, control, kind, result)
    return [_finished(region.drawn, region) for region in regions.values() if region.drawn]


def read_mark(drawn: Drawn, size: Size) -> Mark:
    """A region in pixels of the image of `size` = (width, height).

    Percents are of this size; `original_width` and `original_height` only matter for the masks of
    brushes, which are resized where they differ.

    Raises:
        PromptDataError: its geometry is no geometry, or outside the image.
    """
    value = drawn.result.get("value")
    name = describe(drawn.control)
    if not isinstance(value, Mapping):
        raise PromptDataError(f"{name}: the result has no value.")
    try:
        match drawn.kind:
            case "keypoint":
                return Mark(drawn, point=read_point(value, size))
            case "rectangle":
                return Mark(drawn, box=read_rectangle(value, size))
            case "ellipse":
                return Mark(drawn, box=read_ellipse(value, size))
            case "polygon":
                return Mark(drawn, mask=_polygon_mask(value, size))
            case _:
                return Mark(drawn, mask=_brush_mask(drawn.result, value, size))
    except (GeometryError, MaskError, PromptError) as error:
        raise PromptDataError(f"{name}: {error}") from error


def _known(
    results: Sequence[object], config: LabelingConfig
) -> Iterator[tuple[int, str, Control, Mapping[str, Any]]]:
    """Results of the config's tags: number, image, tag, result."""
    for index, result in enumerate(results):
        if not isinstance(result, Mapping) or result.get("item_index") not in (None, 0):
            continue
        name = result.get("from_name")
        control = config.control(name) if isinstance(name, str) else None
        if control is not None:
            yield index, _image(result, control, config), control, result


def _kind(control: Control) -> Kind | None:
    return _KINDS.get(control.type.removesuffix("labels"))


def _image(result: Mapping[str, Any], control: Control, config: LabelingConfig) -> str:
    # A tag may be on several images; the result says which.
    name = result.get("to_name")
    known = isinstance(name, str) and config.image(name) is not None
    return str(name) if known else control.to_name


def _add_labels(region: _Region, result: Mapping[str, Any], control: Control) -> None:
    value = result.get("value")
    if not isinstance(value, Mapping):
        return
    for key in (control.type, "labels"):
        texts = value.get(key)
        for text in texts if isinstance(texts, list) else ():
            if not isinstance(text, str):
                continue
            label = next((label for label in control.labels if label.value == text), None)
            if is_background(text) or (label is not None and label.background):
                region.background = True
            elif label is not None:
                region.labels.append(text)


def _finished(drawn: Drawn, region: _Region) -> Drawn:
    drawn.label = region.labels[0] if region.labels else None
    drawn.background = region.background
    return drawn


def _polygon_mask(value: Mapping[str, Any], size: Size) -> CroppedMask:
    mask = Prompt.from_polygon(read_polygon(value, size).tolist(), size).cropped
    if mask is None or mask.is_empty:
        raise GeometryError("The polygon is outside the image.")
    return mask


def _brush_mask(result: Mapping[str, Any], value: Mapping[str, Any], size: Size) -> CroppedMask:
    rle = value.get("rle")
    if not rle:
        raise GeometryError("The brush has no mask yet.")
    original = _original_size(result)
    if original is None or pixels(rle) == size[0] * size[1] != original[0] * original[1]:
        original = size
    mask = decode(rle, size=original)
    if not mask.any():
        raise GeometryError("The brush's mask is empty.")
    return CroppedMask.from_mask(fit_mask(mask, size))


def _original_size(result: Mapping[str, Any]) -> Size | None:
    width, height = result.get("original_width"), result.get("original_height")
    for side in (width, height):
        if isinstance(side, bool) or not isinstance(side, int) or not 0 < side < 2**31:
            return None
    assert isinstance(width, int)
    assert isinstance(height, int)
    return width, height
