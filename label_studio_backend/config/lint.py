"""Check a project's labelling config, and say in sentences what its admin should know.

An error means that nothing can be answered; a hint, that something will be missing or is not
as it was probably meant.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, NamedTuple

from label_studio_backend.config.labeling_config import Control, LabelingConfig, LabelingConfigError
from label_studio_backend.config.output_mapping import (
    MAX_CHOICES,
    SHAPES,
    OutputMapping,
    asks_for_label,
    entries,
    is_nested,
    is_off,
    map_outputs,
    task_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from label_studio_backend.config.options import Options

ATTRIBUTES = ("pam", "pam_language", "pam_threshold")
"""The attributes that the backend reads besides Label Studio's own."""

_SMART_KINDS = frozenset({"keypoint", "rectangle", "brush"})
_UNANSWERED_SHAPES = frozenset({"bitmask", "magicwand", "vector"})
_NAMED_LABELS = 3  # at most so many are named in one sentence


class LintReport(NamedTuple):
    """What is wrong with a config: errors (nothing can be answered), and hints."""

    errors: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()

    @property
    def sentences(self) -> list[str]:
        """Errors first, then hints."""
        return [*self.errors, *self.hints]


def check_config(config: LabelingConfig, options: Options) -> LintReport:
    """What is wrong with a config that could be read, and a project's options for it."""
    hints = [*_about_smart_tools(config), *_about_elements(config)]
    # Also what is asked of tags that are left alone for another reason is checked. A dict, because
    # several checks find the same error.
    errors: dict[str, None] = {}
    for control in config.controls:
        try:
            hints += _about_control(control)
        except LabelingConfigError as error:  # noqa: PERF203 - the next tag is checked all the same
            errors[str(error)] = None
    try:
        outputs = map_outputs(config, options)
    except LabelingConfigError as error:
        errors[str(error)] = None
    if errors:
        return LintReport(tuple(errors), tuple(hints))
    hints += _about_outputs(outputs, config, options)
    return LintReport((), tuple(hints))


def _about_smart_tools(config: LabelingConfig) -> Iterator[str]:
    tools = [control for control in config.controls if control.kind in _SMART_KINDS]
    if not tools:
        yield (
            "Nothing can be asked by clicks, only pre-annotation works: Label Studio has smart "
            "tools for key points, rectangles and brushes; add "
            f'<KeyPointLabels name="point" toName="{config.images[0].name}" smart="true">.'
        )
    said = [(control.attribute("smart") or "").lower() for control in tools]
    for control in tools:
        if not control.smart:
            yield f'{control} has smart="false", so it cannot be asked with.'
        elif control.attribute("smart") is None and (
            "true" not in said or control.kind == "keypoint"
        ):
            yield (
                f'{control} has no smart="true", which Label Studio\'s manual asks for '
                "to show its smart tool."
            )


def _about_elements(config: LabelingConfig) -> Iterator[str]:
    """What is wrong with the tags of the XML, also those that are no control of an image."""
    answered = {image.name for image in config.images}
    for element in config.root.iter():
        name, kind = element.get("name"), element.tag.lower()
        if kind == "video":
            yield f'{element.tag} "{name}" is not answered: images only so far.'
        elif kind == "image" and name not in answered:
            yield (
                f'{element.tag} "{name}" is not answered: pages (valueList) and images inside '
                "<Repeater> have results of another form."
            )
        for attribute in element.attrib:
            if attribute.lower().startswith("pam") and attribute.lower() not in ATTRIBUTES:
                near = difflib.get_close_matches(attribute.lower(), ATTRIBUTES, n=1, cutoff=0.0)
                yield (
                    f"<{element.tag}> has the unknown attribute {attribute}; "
                    f"did you mean {near[0]}? There are: {', '.join(ATTRIBUTES)}."
                )


def _about_control(control: Control) -> Iterator[str]:
    if "," in (control.attribute("toName") or ""):
        yield (
            f'{control} is on several tags (toName="{control.attribute("toName")}"); '
            f'only "{control.to_name}" is answered.'
        )
    if control.type == "textarea" and not is_off(control):
        yield from _about_text(control)
    elif control.type in ("choices", "taxonomy") and asks_for_label(control):
        yield from _about_choices(control)
    elif control.kind in _UNANSWERED_SHAPES:
        yield f"{control} is not answered; BrushLabels can hold a mask."
    elif control.has_labels and (control.type == "labels" or control.kind in SHAPES):
        yield from _about_label_list(control)


def _about_text(control: Control) -> Iterator[str]:
    asked = task_of(control)
    if control.per_region and not asked:
        yield (
            f"Neither the name of {control} nor an attribute says what to write "
            'there, so it is left alone; add pam="brief", "detailed", "label" or '
            '"definition", or pam="off".'
        )
    elif asked and not control.per_region:
        yield (
            f'{control} has no perRegion="true", so it is left alone: '
            "texts are written about regions."
        )


def _about_choices(control: Control) -> Iterator[str]:
    count = len(entries(control))
    if not control.per_region:
        yield (
            f'{control} has no perRegion="true", so it is left alone: '
            "choices are made about regions."
        )
    elif is_nested(control):
        yield (
            f'{control} has allowNested="true", so it is left alone: a <Taxonomy> can be answered.'
        )
    elif not count and not control.task_key:
        yield f"{control} has no <Choice>, so it is left alone."
    elif count > MAX_CHOICES:
        yield (
            f"{control} has {count:,} choices, so it is left alone: "
            f"at most {MAX_CHOICES:,} are scored for a region."
        )


def _about_label_list(control: Control) -> Iterator[str]:
    background = next((label.value for label in control.labels if label.background), None)
    if control.kind == "keypoint" and control.smart and background is not None:
        yield (
            f'{control} has the label "{background}", which takes nothing away from an '
            "object: Label Studio sends its clicks alone. Alt+click instead."
        )
    if control.task_key:
        return
    if not control.labels:
        yield f"{control} has no <Label>, so its regions get no label."
    elif not control.region_labels:
        yield (
            f"{control} has only labels called background, and these are never given to a region."
        )


def _about_outputs(
    outputs: OutputMapping, config: LabelingConfig, options: Options
) -> Iterator[str]:
    if outputs.labels is not None:
        yield from _about_lost_labels(outputs, outputs.labels, config)
    elif not outputs.shape.has_labels:
        yield (
            f"{outputs.shape} has no labels, and there is no <Labels> with any "
            f'toName="{outputs.image.name}": regions get no label.'
        )
    if outputs.shape.kind == "keypoint":
        yield (
            f"{outputs.shape} is all that can hold a shape, so answers are single points; "
            "add BrushLabels, PolygonLabels, EllipseLabels or RectangleLabels."
        )
    asked = {text.question.task for text in outputs.texts}
    for task in options.tasks or ():
        if task not in asked:
            yield (
                f'The option tasks has "{task.value}", but no TextArea with perRegion="true" '
                f'asks for it; add pam="{task.value}" to one.'
            )


def _about_lost_labels(
    outputs: OutputMapping, labels: Control, config: LabelingConfig
) -> Iterator[str]:
    known = {label.value for label in labels.labels}
    for control in config.controls:
        if control.kind not in SHAPES or control.to_name != outputs.image.name or labels.task_key:
            continue
        other = [label.value for label in control.region_labels if label.value not in known]
        if other:
            named = ", ".join(f'"{value}"' for value in other[:_NAMED_LABELS])
            more = "" if len(other) <= _NAMED_LABELS else f" and {len(other) - _NAMED_LABELS} more"
            yield (
                f"{labels} has no label {named}{more} as {control} has, "
                "so what is asked with it cannot keep it."
            )
