"""Write a labelling config for a list of labels that works with the backend."""

from __future__ import annotations

import colorsys
import re
from typing import TYPE_CHECKING, Literal, get_args
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from label_studio_backend.config.labeling_config import LabelingConfigError, is_background
from label_studio_backend.config.task_tags import NOT_XML
from pam_labeling.spelling import language_of
from pam_model.tasks import LANGUAGES, Language, Task

if TYPE_CHECKING:
    from collections.abc import Sequence


Geometry = Literal["brush", "polygon", "rectangle", "ellipse"]
GEOMETRIES: tuple[Geometry, ...] = get_args(Geometry)

_SHAPES: dict[Geometry, tuple[str, str]] = {
    "brush": ("BrushLabels", "mask"),
    "polygon": ("PolygonLabels", "polygon"),
    "ellipse": ("EllipseLabels", "ellipse"),
}
_TITLES: dict[Language, dict[str, str]] = {
    "en": {
        "BrushLabels": "Mask",
        "PolygonLabels": "Polygon",
        "EllipseLabels": "Ellipse",
        "KeyPointLabels": "Click",
        "RectangleLabels": "Box",
    },
    "zh": {
        "BrushLabels": "掩码",
        "PolygonLabels": "多边形",
        "EllipseLabels": "椭圆",
        "KeyPointLabels": "点击",
        "RectangleLabels": "方框",
    },
}
_BACKGROUND: dict[Language, str] = {"en": "background", "zh": "背景"}
_BACKGROUND_COLOUR = "#808080"
_PLACEHOLDERS: dict[Language, dict[Task, str]] = {
    "en": {
        Task.LABEL: "What is it called?",
        Task.DEFINITION: "What is such a thing?",
        Task.BRIEF: "A short caption",
        Task.DETAILED: "A detailed caption",
    },
    "zh": {
        Task.LABEL: "名称",
        Task.DEFINITION: "名词解释",
        Task.BRIEF: "简短描述",
        Task.DETAILED: "详细描述",
    },
}
_NAMES = {
    Task.LABEL: "open_label",
    Task.DEFINITION: "definition",
    Task.BRIEF: "caption",
    Task.DETAILED: "detailed_caption",
}


def build_config(
    labels: Sequence[str],
    *,
    language: Language = "en",
    geometry: Geometry = "brush",
    texts: Sequence[Task] = (Task.BRIEF, Task.DEFINITION),
    background: bool = False,
    data_key: str = "image",
) -> str:
    """Write a labelling config for images that can be pasted into a project's settings.

    It has smart points and smart rectangles (and a smart brush) with every label for prompts, the
    tag for the shapes of answers, and a per-region text for every task of `texts`.

    Args:
        labels: the labels of regions, in this order; blanks around them are dropped.
        language: of the texts and of the labels.
        geometry: the shape of answers.
        texts: the tasks to write about each region; duplicates are dropped.
        background: whether points and brushes have a label "background" or "背景", or the one of
            the list with such a name. No region gets it as its label. It is for people who paint
            the background as a class of pixels, and for clients that send its points together with
            those on the object. Label Studio sends them alone, so there only Alt+click refines.
        data_key: the key of task data that holds the image.

    Returns:
        XML, indented, without a declaration.

    Raises:
        LabelingConfigError: there is no label besides the background; a label is called background
            without `background`; a label is empty or given twice, starts with "$" (Label Studio
            would take it for a key of task data) or cannot be held by XML; the language or geometry
            is unknown; or `data_key` is not a name.
    """
    _check_choices(language, geometry, data_key)
    things, named_background = _split_labels(labels)
    if background:
        named_background = named_background or _BACKGROUND[language]
    elif named_background is not None:
        raise LabelingConfigError(
            f'The label "{named_background}" is never given to a region, and Label Studio sends '
            "its clicks alone: leave it out and use Alt+click, or keep it with --background."
        )
    root = Element("View")
    # The labels come before the image: a tall image would push them out of sight.
    if geometry != "rectangle":
        tag, name = _SHAPES[geometry]
        is_brush = geometry == "brush"
        painted = named_background if is_brush else None
        _add_labels(root, tag, name, language, things, painted, smart=is_brush)
    _add_labels(root, "KeyPointLabels", "point", language, things, named_background)
    _add_labels(root, "RectangleLabels", "box", language, things)
    SubElement(root, "Image", name="image", value=f"${data_key}", zoom="true")
    for task in dict.fromkeys(texts):
        asked = {"name": _NAMES[task], "toName": "image", "pam": task.value, **_spoken(language)}
        shown = {"perRegion": "true", "editable": "true", "maxSubmissions": "1"}
        shown |= {"displayMode": "region-list", "placeholder": _PLACEHOLDERS[language][task]}
        SubElement(root, "TextArea", asked | shown)
    indent(root)
    return tostring(root, encoding="unicode") + "\n"


def read_tasks(text: str) -> list[Task]:
    """Read comma-separated names of tasks.

    Raises:
        LabelingConfigError: a name is unknown; the message lists the known ones.
    """
    known = {task.value: task for task in Task}
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise LabelingConfigError(f"A task must be one of {', '.join(known)}, not {name!r}.")
    return [known[name] for name in names]


def _check_choices(language: str, geometry: str, data_key: str) -> None:
    for noun, given, known in (
        ("language", language, LANGUAGES),
        ("geometry", geometry, GEOMETRIES),
    ):
        if given not in known:
            raise LabelingConfigError(f"The {noun} must be one of {', '.join(known)}, not {given}.")
    if not re.fullmatch(r"\w+", data_key):
        raise LabelingConfigError(
            f"The key of the image in task data must be letters, digits and _, not {data_key!r}."
        )


def _split_labels(labels: Sequence[str]) -> tuple[list[str], str | None]:
    """The labels of regions, and the one called background if there is one."""
    things: list[str] = []
    background = None
    for index, given in enumerate(labels):
        label = given.strip()
        if not label:
            raise LabelingConfigError(f"Label {index + 1} is empty.")
        if NOT_XML.search(label):
            raise LabelingConfigError(f"XML cannot hold a character of the label {label!r}.")
        if label.startswith("$"):
            raise LabelingConfigError(
                f'The label "{label}" starts with "$": Label Studio would read it from task data.'
            )
        if label in things or label == background:
            raise LabelingConfigError(f'The label "{label}" is given twice.')
        if is_background(label):
            background = label
        else:
            things.append(label)
    if not things:
        raise LabelingConfigError("A config needs at least one label besides the background.")
    return things, background


def _add_labels(
    root: Element,
    tag: str,
    name: str,
    language: Language,
    things: Sequence[str],
    background: str | None = None,
    *,
    smart: bool = True,
) -> None:
    # A row has a title, because Label Studio does not show to which tool its labels belong.
    row = SubElement(root, "View", style="display: flex; align-items: center")
    title = _TITLES[language][tag]
    SubElement(row, "Header", value=title, size="5", style="flex: 0 0 6em; margin: 0")
    smartly = {"smart": "true"} if smart else {}
    names = {"name": name, "toName": "image"}
    # Labels in another language than the texts are asked about in their own.
    spoken = _spoken(language) if language_of(things) == language else {}
    parent = SubElement(row, tag, names | smartly | spoken)
    for index, label in enumerate(things):
        SubElement(parent, "Label", value=label, background=_colour(index))
    if background is not None:
        SubElement(parent, "Label", value=background, background=_BACKGROUND_COLOUR)


def _spoken(language: Language) -> dict[str, str]:
    return {} if language == "en" else {"pam_language": language}


def _colour(index: int) -> str:
    # Hues a golden angle apart: neighbours differ, however long the list is.
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1.0, 0.75, 0.85)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
