"""What an admin should know about a project's labelling config, in sentences.

An error means that nothing can be answered; a hint, that something will be missing or is not
as it was probably meant.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from label_studio_backend.config.labeling_config import (
    LabelingConfig,
    LabelingConfigError,
    read_tree,
)
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.config.output_mapping import (
    MAX_CHOICES,
    SHAPE_TYPES,
    answers,
    asks_for_label,
    describe,
    entries,
    is_nested,
    is_off,
    plan_answer,
    task_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from label_studio_backend.config.labeling_config import Control
    from label_studio_backend.config.output_mapping import AnswerPlan

ATTRIBUTES = ("pam", "pam_language", "pam_threshold")
"""The attributes that the backend reads besides Label Studio's own."""

_SMART_TYPES = frozenset(
    {"keypointlabels", "keypoint", "rectanglelabels", "rectangle", "brushlabels", "brush"}
)
_UNANSWERED_SHAPES = frozenset({"bitmasklabels", "bitmask", "magicwand", "vectorlabels", "vector"})
_NAMED_LABELS = 3  # at most so many are named in one sentence


class Findings(NamedTuple):
    """What is wrong with a config: errors (nothing can be answered), and hints."""

    errors: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Errors first, then hints."""
        return [*self.errors, *self.hints]


def check_project(xml: object, extra_params: object) -> Findings:
    """Check what `/setup` brings: the config's XML and the extra parameters, valid or not."""
    errors: list[str] = []
    options, config = Options(), None
    try:
        options = Options.read(extra_params)
    except OptionsError as error:
        errors.append(str(error))
    try:
        config = LabelingConfig.parse(xml)
    except LabelingConfigError as error:
        errors.append(str(error))
    findings = Findings() if config is None else check_config(config, options)
    return Findings((*errors, *findings.errors), findings.hints)


def check_config(config: LabelingConfig, options: Options) -> Findings:
    """What is wrong with a config that could be read, and a project's options for it."""
    hints = [hint for hints in _OF_CONFIG for hint in hints(config)]
    try:
        plan = plan_answer(config, options)
        _read_all_attributes(config)
    except LabelingConfigError as error:
        return Findings((str(error),), tuple(hints))
    hints += _about_labels(plan, config)
    hints += _about_shape(plan)
    hints += _about_tasks(plan, options)
    return Findings((), tuple(hints))


def _read_all_attributes(config: LabelingConfig) -> None:
    # What is asked of tags that are left alone for another reason is checked as well.
    for control in config.controls:
        if control.type == "textarea":
            task_of(control)
        elif control.type in ("choices", "taxonomy"):
            asks_for_label(control)


def _about_smart_tools(config: LabelingConfig) -> Iterator[str]:
    tools = [control for control in config.controls if control.type in _SMART_TYPES]
    if not tools:
        yield (
            "Nothing can be asked by clicks, only pre-annotation works: Label Studio has smart "
            "tools for key points, rectangles and brushes; add "
            f'<KeyPointLabels name="point" toName="{config.images[0].name}" smart="true">.'
        )
    for control in tools:
        if not control.smart:
            yield f'{describe(control)} has smart="false", so it cannot be asked with.'
    unsaid = [control for control in tools if control.attribute("smart") is None]
    none_said = not any((control.attribute("smart") or "").lower() == "true" for control in tools)
    for control in unsaid:
        if none_said or control.type.startswith("keypoint"):
            yield (
                f'{describe(control)} has no smart="true", which Label Studio\'s manual asks for '
                "to show its smart tool."
            )


def _about_background(config: LabelingConfig) -> Iterator[str]:
    for control in config.controls:
        named = next((label.value for label in control.labels if label.background), None)
        if control.type == "keypointlabels" and control.smart and named is not None:
            yield (
                f'{describe(control)} has the label "{named}", which takes nothing away from an '
                "object: Label Studio sends its clicks alone. Alt+click instead."
            )


def _about_images(config: LabelingConfig) -> Iterator[str]:
    answered = {image.name for image in config.images}
    for element in read_tree(config.xml).iter():
        name, kind = element.get("name"), element.tag.lower()
        if kind == "video":
            yield f'{element.tag} "{name}" is not answered: images only so far.'
        elif kind == "image" and name not in answered:
            yield (
                f'{element.tag} "{name}" is not answered: pages (valueList) and images inside '
                "<Repeater> have results of another form."
            )
    for control in config.controls:
        if "," in (control.attribute("toName") or ""):
            yield (
                f'{describe(control)} is on several tags (toName="{control.attribute("toName")}"); '
                f'only "{control.to_name}" is answered.'
            )


def _about_attributes(config: LabelingConfig) -> Iterator[str]:
    for element in read_tree(config.xml).iter():
        for attribute in element.attrib:
            if attribute.lower().startswith("pam") and attribute.lower() not in ATTRIBUTES:
                near = difflib.get_close_matches(attribute.lower(), ATTRIBUTES, n=1, cutoff=0.0)
                yield (
                    f"<{element.tag}> has the unknown attribute {attribute}; "
                    f"did you mean {near[0]}? There are: {', '.join(ATTRIBUTES)}."
                )


def _about_texts(config: LabelingConfig) -> Iterator[str]:
    for control in config.controls:
        if control.type != "textarea" or is_off(control):
            continue
        asked = _asked(task_of, control)
        if control.per_region and not asked:
            yield (
                f"Neither the name of {describe(control)} nor an attribute says what to write "
                'there, so it is left alone; add pam="brief", "detailed", "label" or '
                '"definition", or pam="off".'
            )
        elif asked and not control.per_region:
            yield (
                f'{describe(control)} has no perRegion="true", so it is left alone: '
                "texts are written about regions."
            )


def _about_choices(config: LabelingConfig) -> Iterator[str]:
    for control in config.controls:
        if control.type not in ("choices", "taxonomy") or not _asked(asks_for_label, control):
            continue
        count = len(entries(control))
        if not control.per_region:
            yield (
                f'{describe(control)} has no perRegion="true", so it is left alone: '
                "choices are made about regions."
            )
        elif is_nested(control):
            yield (
                f'{describe(control)} has allowNested="true", so it is left alone: '
                "a <Taxonomy> can be answered."
            )
        elif not count and not control.task_key:
            yield f"{describe(control)} has no <Choice>, so it is left alone."
        elif count > MAX_CHOICES:
            yield (
                f"{describe(control)} has {count:,} choices, so it is left alone: "
                f"at most {MAX_CHOICES:,} are scored for a region."
            )


def _about_other_shapes(config: LabelingConfig) -> Iterator[str]:
    for control in config.controls:
        if control.type in _UNANSWERED_SHAPES:
            yield f"{describe(control)} is not answered; BrushLabels can hold a mask."


def _about_label_lists(config: LabelingConfig) -> Iterator[str]:
    for control in config.controls:
        labelled = control.type == "labels" or control.type in SHAPE_TYPES
        if not labelled or not control.type.endswith("labels") or control.task_key:
            continue
        if not control.labels:
            yield f"{describe(control)} has no <Label>, so its regions get no label."
        elif not answers(control):
            yield (
                f"{describe(control)} has only labels called background, "
                "and these are never given to a region."
            )


def _about_labels(plan: AnswerPlan, config: LabelingConfig) -> Iterator[str]:
    if plan.labels is None:
        if not plan.shape.type.endswith("labels"):
            yield (
                f"{describe(plan.shape)} has no labels, and there is no <Labels> with any "
                f'toName="{plan.image.name}": regions get no label.'
            )
        return
    known = {label.value for label in plan.labels.labels}
    for control in config.controls:
        if control.type not in SHAPE_TYPES or control.to_name != plan.image.name:
            continue
        other = [label.value for label in answers(control) if label.value not in known]
        if other and not plan.labels.task_key:
            named = ", ".join(f'"{value}"' for value in other[:_NAMED_LABELS])
            more = "" if len(other) <= _NAMED_LABELS else f" and {len(other) - _NAMED_LABELS} more"
            yield (
                f"{describe(plan.labels)} has no label {named}{more} as {describe(control)} has, "
                "so what is asked with it cannot keep it."
            )


def _about_shape(plan: AnswerPlan) -> Iterator[str]:
    if plan.shape.type.startswith("keypoint"):
        yield (
            f"{describe(plan.shape)} is all that can hold a shape, so answers are single points; "
            "add BrushLabels, PolygonLabels, EllipseLabels or RectangleLabels."
        )


def _about_tasks(plan: AnswerPlan, options: Options) -> Iterator[str]:
    asked = {text.question.task for text in plan.texts}
    for task in options.tasks or ():
        if task not in asked:
            yield (
                f'The option tasks has "{task.value}", but no TextArea with perRegion="true" '
                f'asks for it; add pam="{task.value}" to one.'
            )


def _asked(read: Callable[[Control], object], control: Control) -> bool:
    try:
        return bool(read(control))
    except LabelingConfigError:
        return True  # an error of its own, told once


_OF_CONFIG: tuple[Callable[[LabelingConfig], Iterable[str]], ...] = (
    _about_smart_tools,
    _about_background,
    _about_images,
    _about_attributes,
    _about_label_lists,
    _about_other_shapes,
    _about_texts,
    _about_choices,
)
