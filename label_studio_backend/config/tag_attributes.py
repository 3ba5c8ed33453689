"""What a tag asks for: by `pam`, `pam_language`, `pam_label_fit`, by its name or its kind."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

from label_studio_backend.config.controls import Control, LabelingConfigError
from pam_labeling.vocabulary import replaced
from pam_model.tasks import LANGUAGES, Language, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from label_studio_backend.config.options import Options

SHAPES = ("brush", "bitmask", "polygon", "ellipse", "rectangle", "keypoint")
"""Kinds of tags that can hold a shape, in order of fidelity to a mask."""

TEXT_NAMES: tuple[tuple[Task, tuple[str, ...]], ...] = (
    (Task.DEFINITION, ("definition", "定义", "解释")),
    (Task.DETAILED, ("detail", "详细")),
    (Task.BRIEF, ("brief", "caption", "description", "描述", "说明")),
    (Task.LABEL, ("label", "标签", "名称", "类别")),
)
"""Tasks, and the words in a TextArea's name, in any case, that ask for them; first match wins."""

CHOICE_NAMES = (
    *("label", "class", "category", "type", "object", "choice"),
    *("标签", "类别", "类型", "物体"),
)
"""Words in the name of Choices or of a Taxonomy, in any case, that ask for the object's name."""

PATH_SEPARATOR = " > "

_Word = TypeVar("_Word", bound=str)


def is_off(control: Control) -> bool:
    """Whether a tag has `pam="off"`."""
    return (control.attribute("pam") or "").lower() == "off"


def task_of(control: Control) -> Task | None:
    """The task that a TextArea asks for by `pam`, else by its name; None if it asks for none.

    Raises:
        LabelingConfigError: `pam` is neither a task nor "off".
    """
    asked = one_of(control, "pam", [*(task.value for task in Task), "off"])
    if asked is not None:
        return None if asked == "off" else Task(asked)
    name = control.name.lower()
    return next((task for task, words in TEXT_NAMES if any(word in name for word in words)), None)


def asks_for_label(control: Control) -> bool:
    """Whether Choices or a Taxonomy asks what the object is called, by `pam` or by its name.

    Raises:
        LabelingConfigError: `pam` is neither "label" nor "off".
    """
    asked = one_of(control, "pam", ["label", "off"])
    if asked is not None:
        return asked == "label"
    return any(word in control.name.lower() for word in CHOICE_NAMES)


def language_of(control: Control, options: Options) -> Language:
    """The language that a tag asks for by `pam_language`, else the project's.

    Raises:
        LabelingConfigError: PAM does not speak `pam_language`.
    """
    return one_of(control, "pam_language", LANGUAGES) or options.language


def label_fit_of(control: Control, options: Options) -> float:
    """How well a label of this tag must fit: its `pam_label_fit`, else the project's.

    Raises:
        LabelingConfigError: `pam_label_fit` is no number from 0 to 1, or there is a `pam_threshold`
            of version 0.1.
    """
    if control.attribute("pam_threshold") is not None:
        raise LabelingConfigError(f"{control}: {replaced('pam_threshold', 'pam_label_fit')}")
    asked = control.attribute("pam_label_fit")
    if asked is None:
        return options.label_fit
    with suppress(ValueError):
        if 0.0 <= float(asked) <= 1.0:
            return float(asked)
    raise LabelingConfigError(
        f'{control} has pam_label_fit="{asked}"; it may be: a number from 0 to 1.'
    )


def one_of(control: Control, attribute: str, allowed: Sequence[_Word]) -> _Word | None:
    """The value of an attribute, in lower case; None if the tag does not have it."""
    asked = control.attribute(attribute)
    if asked is None:
        return None
    for word in allowed:
        if word == asked.lower():
            return word
    raise LabelingConfigError(
        f'In {control}, {attribute} must be one of {", ".join(allowed)}, not "{asked}".'
    )


def is_nested(control: Control) -> bool:
    """Whether it is Choices with paths as results, which label_studio_sdk treats as errors."""
    return control.type == "choices" and control.attribute("allowNested") == "true"


def entries(control: Control) -> dict[str, tuple[str, ...]]:
    """The labels to score for Choices or a Taxonomy -> what to send: values, or paths to leaves."""
    if control.type != "taxonomy":
        return {label.value: (label.value,) for label in control.labels}
    inner = {path[:-1] for path in control.nodes}
    return {PATH_SEPARATOR.join(path): path for path in control.nodes if path not in inner}


def holds_shape(control: Control) -> bool:
    """Whether shapes can be written to it."""
    return control.kind in SHAPES and not is_off(control)


def is_answered(control: Control) -> bool:
    """Whether its image is answered because of it: with shapes, or about the whole image."""
    return holds_shape(control) or is_whole(control)


def is_whole(control: Control) -> bool:
    """Whether it asks about the whole image; the labels of a list may be in task data."""
    if control.per_region or is_off(control):
        return False
    if control.type == "textarea":
        return task_of(control) is not None
    is_list = control.type in ("choices", "taxonomy") and not is_nested(control)
    return is_list and asks_for_label(control)
