"""Turn Label Studio's results into regions of a document.

Results that share an id are one region: its shape, its label, and what was said about it. Brushes
are masks, polygons, ellipses and turned rectangles are outlines, upright rectangles are boxes. A
keypoint has no extent, and an answer without a shape is about the whole image; only some formats
can hold these two.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from label_studio_backend.config.controls import Control
from label_studio_backend.config.tag_attributes import (
    PATH_SEPARATOR,
    SHAPES,
    asks_for_label,
    task_of,
)
from label_studio_backend.translation.drawn_regions import (
    DrawnRegion,
    PromptDataError,
    drawn_regions,
)
from label_studio_backend.translation.geometry import Size, number, read_polygon
from pam_labeling.masks import encode_rle

if TYPE_CHECKING:
    from label_studio_backend.config.labeling_config import LabelingConfig
    from pam_labeling.documents import RegionEntry
    from pam_model.prompts import Prompt

_WORDS = ("textarea", "choices", "taxonomy", "rating", "number", "datetime")
_READ = (*SHAPES, "magicwand", "", *_WORDS)  # kinds of tags; "" is that of Labels
_Said: TypeAlias = tuple[Control, Any]  # a tag, and a text, a number or a list of texts
_VERTICES = 72  # of an ellipse's outline, which is then within 0.1 % of its radius


@dataclass
class Unwritten:
    """What could not be written.

    Attributes:
        points: keypoints, in formats that hold none.
        whole: answers about whole images, in formats that hold none.
        others: results of tags that the config does not have on images, or that nobody can hold.
        unreadable: sentences about shapes that are none.
    """

    points: int = 0
    whole: int = 0
    others: int = 0
    unreadable: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Reader:
    """Reads the results of one task.

    Attributes:
        config: the config, completed for the task.
        name: what messages call the task.
        holds_all: whether keypoints and answers about whole images can be written.
        unwritten: counts what cannot.
    """

    config: LabelingConfig
    name: str
    holds_all: bool
    unwritten: Unwritten

    def regions(
        self, results: Sequence[Any], image: str, page: int, size: Size
    ) -> list[RegionEntry]:
        """The regions on one image, or one of its pages.

        Args:
            results: of one annotation, draft or prediction.
            image: the name of the image's tag.
            page: its number, from 0.
            size: `(width, height)` of the upright image.
        """
        words = self._words(results, image, page)
        regions = []
        for drawn in drawn_regions(results, self.config):
            if (drawn.image, drawn.page) != (image, page):
                continue
            said = words.pop(drawn.region_id, [])
            if drawn.kind == "keypoint" and not self.holds_all:
                self.unwritten.points += 1
                continue
            try:
                shape = _shape(drawn, size)
            except PromptDataError as error:
                self.unwritten.unreadable.append(f"{self.name}: {error}")
                continue
            labels = [*drawn.labels, *(["background"] if drawn.background else [])]
            regions.append(_entry(shape, labels, said, _score(drawn.result)))
        # What belongs to no shape is said about the whole image.
        rest = [one for said in words.values() for one in said if not one[0].per_region]
        if rest and not self.holds_all:
            self.unwritten.whole += 1
        elif rest:
            whole: dict[str, Any] = {"mask": None, "box": [0, 0, *size], "area": size[0] * size[1]}
            regions.append(_entry(whole, [], rest, {}))
        return regions

    def _words(
        self, results: Sequence[Any], image: str, page: int
    ) -> dict[str | None, list[_Said]]:
        """What was said about the regions of an image, by their ids."""
        words: dict[str | None, list[_Said]] = defaultdict(list)
        for result in results:
            if not isinstance(result, Mapping) or (result.get("item_index") or 0) != page:
                continue
            control = self.config.control(str(result.get("from_name")), result.get("to_name"))
            if control is not None and control.to_name == image and control.type in _WORDS:
                said = _said(control, result.get("value"))
                if said is not None:
                    words[result.get("id")].append((control, said))
        return words


def count_others(results: Sequence[Any], config: LabelingConfig) -> int:
    """How many results are of tags that the config does not have on images, or of other shapes."""
    named = [one for one in results if isinstance(one, Mapping) and one.get("from_name")]
    controls = (config.control(str(one["from_name"]), one.get("to_name")) for one in named)
    return sum(control is None or control.kind not in _READ for control in controls)


def _said(control: Control, value: object) -> Any:
    """What a result says: a text, a number, or a list of texts; None if nothing."""
    if not isinstance(value, Mapping):
        return None
    found = value.get("text" if control.type == "textarea" else control.type)
    if control.type == "textarea":
        texts = found if isinstance(found, list) else [found]
        return "\n".join(str(text) for text in texts if text) or None
    if not isinstance(found, list):
        return found
    paths = [
        PATH_SEPARATOR.join(map(str, one)) if isinstance(one, list) else str(one) for one in found
    ]
    return paths or None


def _entry(
    shape: dict[str, Any], labels: list[str], said: Sequence[_Said], scores: dict[str, Any]
) -> RegionEntry:
    texts: dict[str, str] = {}
    attributes: dict[str, Any] = {}
    for control, words in said:
        task = task_of(control) if control.type == "textarea" else None
        if task is not None and task.value not in texts:
            texts[task.value] = words
        elif control.type in ("choices", "taxonomy") and not labels and asks_for_label(control):
            labels = list(words)
        elif isinstance(words, list) and len(words) == 1:
            attributes[control.name] = words[0]
        else:
            attributes[control.name] = words
    if len(labels) > 1:
        attributes["labels"] = labels
    entry: RegionEntry = {
        "prompt": None,
        "label": labels[0] if labels else None,
        "open_label": None,
        "scores": scores,
        "texts": texts,
        **shape,  # type: ignore[typeddict-item]
    }
    if attributes:
        entry["attributes"] = attributes
    return entry


def _score(result: Mapping[str, Any]) -> dict[str, float | None]:
    score = result.get("score")
    is_share = isinstance(score, int | float) and 0 <= score <= 1
    return {"score": float(score)} if is_share and score is not None else {}


def _shape(drawn: DrawnRegion, size: Size) -> dict[str, Any]:
    """Mask, box, area and outlines of a region.

    Raises:
        PromptDataError: its geometry is no geometry, or outside the image.
    """
    prompt = drawn.prompt(size)  # checks the shape
    value = drawn.result["value"]
    match drawn.kind:
        case "brush":
            mask = prompt.cropped
            assert mask is not None
            return {"mask": encode_rle(mask.mask), "box": list(mask.box), "area": mask.area}
        case "polygon":
            return _outline(read_polygon(value, size), size)
        case "ellipse":
            return _outline(_ellipse(value, size), size)
        case "rectangle" if prompt.angle:
            return _outline(_corners(prompt), size)
        case "rectangle":
            assert prompt.box is not None
            x1, y1, x2, y2 = prompt.box
            return {"mask": None, "box": [x1, y1, x2, y2], "area": (x2 - x1) * (y2 - y1)}
        case _:  # keypoint
            x, y = prompt.points[0].tolist()
            pointed = {"points": [[x, y, drawn.positive]], "box": None, "angle": 0.0, "mask": None}
            return {"prompt": pointed, "mask": None, "box": [x, y, x, y], "area": 0}


def _outline(points: npt.NDArray[np.float64], size: Size) -> dict[str, Any]:
    """An outline `[K, 2]` in pixels, moved into the image where it leaves it."""
    inside = np.clip(points, 0, size)
    xs, ys = inside.T
    # The area by the shoelace formula.
    area = abs(float(xs @ np.roll(ys, -1) - ys @ np.roll(xs, -1))) / 2
    box = [float(edge) for edge in (xs.min(), ys.min(), xs.max(), ys.max())]
    return {"mask": None, "polygons": [inside.tolist()], "box": box, "area": area}


def _ellipse(value: Mapping[str, Any], size: Size) -> npt.NDArray[np.float64]:
    x, y = number(value, "x") * size[0] / 100, number(value, "y") * size[1] / 100
    across = number(value, "radiusX") * size[0] / 100
    down = number(value, "radiusY") * size[1] / 100
    around = np.linspace(0, 2 * math.pi, _VERTICES, endpoint=False)
    points = np.stack([across * np.cos(around), down * np.sin(around)], axis=1)
    return _turned(points, number(value, "rotation", 0.0), (x, y))


def _corners(prompt: Prompt) -> npt.NDArray[np.float64]:
    """The corners of a turned box."""
    assert prompt.box is not None
    x1, y1, x2, y2 = prompt.box
    across, down = (x2 - x1) / 2, (y2 - y1) / 2
    corners = np.array([(-across, -down), (across, -down), (across, down), (-across, down)])
    return _turned(corners, prompt.angle, ((x1 + x2) / 2, (y1 + y2) / 2))


def _turned(
    points: npt.NDArray[np.float64], degrees: float, centre: tuple[float, float]
) -> npt.NDArray[np.float64]:
    """Points around (0, 0), turned clockwise on the screen and moved to a centre."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    turned: npt.NDArray[np.float64] = points @ np.array([[cosine, sine], [-sine, cosine]])
    turned += centre
    return turned
