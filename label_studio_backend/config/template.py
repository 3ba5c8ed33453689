"""Write a labelling config for a list of labels that works with the backend."""

from __future__ import annotations

import colorsys
import re
from typing import TYPE_CHECKING, Literal, get_args
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from label_studio_backend.config.controls import LabelingConfigError
from label_studio_backend.config.labeling_config import is_background
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
_NO_KEY = "–"  # no keyboard has it; without a hotkey, Label Studio would assign one
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
    data_key: str = "image",
) -> str:
    """Write a labelling config for images that can be pasted into a project's settings.

    It has one row of labels, smart points and smart rectangles for prompts, the tag for the shapes
    of answers, and a per-region text for every task of `texts`.

    Label Studio keeps a label taken only if it is one of `<Labels>`, and exports brushes and
    polygons only with labels of their own. So there are two lists: `<Labels>` for prompts, and the
    list of the shapes, which is shown instead while a region is selected and changes its label.
    Rectangles need only `<Labels>`.

    Args:
        labels: the labels of regions, in this order; blanks around them are dropped.
        language: of the texts and of the labels.
        geometry: the shape of answers.
        texts: the tasks to write about each region; duplicates are dropped.
        data_key: the key of task data that holds the image.

    Returns:
        XML, indented, without a declaration.

    Raises:
        LabelingConfigError: there is no label; a label is called background, is empty or given
            twice, starts with "$" (Label Studio would take it for a key of task data) or cannot be
            held by XML; the language or geometry is unknown; or `data_key` is not a name.
    """
    _check_choices(language, geometry, data_key)
    # Labels in another language than the texts are asked about in their own.
    names = _checked_labels(labels)
    spoken = _spoken(language) if language_of(names) == language else {}
    root = Element("View")
    # The labels come before the image, which may be tall, and leave it room if they are many.
    row = SubElement(root, "View", style="max-height: 9em; overflow-y: auto")
    shown = row
    if geometry != "rectangle":
        shown = SubElement(row, "View", visibleWhen="no-region-selected")
        tag, name = _SHAPES[geometry]
        selected = SubElement(row, "View", visibleWhen="region-selected")
        # Without a brush, which would need a label of this list and paint nothing. (Tools for
        # outlines do not show without smartOnly, and show with it.)
        shape = {"name": name, "toName": "image", "smart": "false"}
        if geometry == "brush":
            shape["smartOnly"] = "true"
        _add_labels(SubElement(selected, tag, shape | spoken), names, hotkey=_NO_KEY)
    _add_labels(SubElement(shown, "Labels", {"name": "label", "toName": "image"} | spoken), names)
    SubElement(root, "Image", name="image", value=f"${data_key}", zoom="true")
    smart = {"toName": "image", "smart": "true", "smartOnly": "true"}
    SubElement(root, "KeyPoint", {"name": "point"} | smart)
    SubElement(root, "Rectangle", {"name": "box"} | smart)
    for task in dict.fromkeys(texts):
        asked = {"name": _NAMES[task], "toName": "image", "pam": task.value, **_spoken(language)}
        # A field of several rows grows with its text.
        field = {"perRegion": "true", "editable": "true", "maxSubmissions": "1", "rows": "2"}
        field |= {"displayMode": "region-list", "placeholder": _PLACEHOLDERS[language][task]}
        SubElement(root, "TextArea", asked | field)
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


def _checked_labels(labels: Sequence[str]) -> list[str]:
    """The labels without blanks around them."""
    names: list[str] = []
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
        if label in names:
            raise LabelingConfigError(f'The label "{label}" is given twice.')
        if is_background(label):
            raise LabelingConfigError(
                f'The label "{label}" is never given to a region, and Label Studio sends its '
                "clicks alone: leave it out and use Alt+click."
            )
        names.append(label)
    if not names:
        raise LabelingConfigError("A config needs at least one label.")
    return names


def _add_labels(parent: Element, labels: Sequence[str], **attributes: str) -> None:
    for index, label in enumerate(labels):
        SubElement(parent, "Label", attributes, value=label, background=_colour(index))


def _spoken(language: Language) -> dict[str, str]:
    return {} if language == "en" else {"pam_language": language}


def _colour(index: int) -> str:
    # Hues a golden angle apart: neighbours differ, however long the list is.
    red, green, blue = colorsys.hsv_to_rgb((index * 0.618034) % 1.0, 0.75, 0.85)
    return f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
