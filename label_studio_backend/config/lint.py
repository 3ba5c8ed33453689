"""Check a project's labelling config, and tell its admin in sentences what is wrong.

An error means that nothing can be answered; a hint, that something will be missing or is probably
a mistake. `kept_checks` is for `/setup`, which Label Studio sends before nearly every task.
"""

from __future__ import annotations

import difflib
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from cachetools import LRUCache, cached

from label_studio_backend.config.controls import Control, LabelingConfigError
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.config.output_mapping import MAX_CHOICES, OutputMapping, map_images
from label_studio_backend.config.tag_attributes import (
    SHAPES,
    asks_for_label,
    entries,
    holds_shape,
    is_answered,
    is_nested,
    is_off,
    task_of,
)
from label_studio_backend.config.visibility import Shown
from pam_labeling.annotator import MOST_TOKENS
from pam_labeling.validation import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pam_labeling import Annotator

ATTRIBUTES = ("pam", "pam_language", "pam_label_fit")
"""The attributes that the backend reads besides Label Studio's own."""

_SMART_KINDS = frozenset({"keypoint", "rectangle"})
_UNANSWERED_SHAPES = frozenset({"magicwand", "vector"})
_NAMED_LABELS = 3  # at most so many are named in one sentence
_MOST = 32 << 20  # characters of the checks that are kept, each some hundred
_MOST_HINTS = 50
_encode = msgspec.json.Encoder(order="sorted", enc_hook=repr).encode


class LintReport(NamedTuple):
    """The faults of a config: errors (nothing can be answered), and hints."""

    errors: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()


def check_config(config: LabelingConfig, options: Options) -> LintReport:
    """Check a config that could be read, and a project's options for it."""
    has_shapes = any(holds_shape(one) for one in config.controls)
    hints = [*(_about_smart_tools(config) if has_shapes else ()), *_about_elements(config)]
    hints += _about_images(config)
    # Tags that are left alone for another reason are checked too. A dict, because several checks
    # may find the same error.
    errors: dict[str, None] = {}
    for control in config.controls:
        try:
            hints += _about_control(control, has_shapes=has_shapes)
        except LabelingConfigError as error:  # noqa: PERF203 - the next tag is checked all the same
            errors[str(error)] = None
    if options.output in config.repeated:
        errors[
            f'The option output names "{options.output}", which <Repeater> repeats under other '
            'names; give pam="off" to the tags that should get no shape.'
        ] = None
    try:
        mapped = map_images(config, options)
        for outputs in mapped:
            hints += _about_outputs(outputs, config)
        hints += _about_tasks(mapped, options)
    except LabelingConfigError as error:
        errors[str(error)] = None
    # A tag on several images is checked for each.
    return LintReport(tuple(errors), tuple(dict.fromkeys(hints)))


def _about_smart_tools(config: LabelingConfig) -> Iterator[str]:
    tools = [control for control in config.controls if control.kind in _SMART_KINDS]
    if not tools:
        yield (
            "Clicks cannot be answered, only pre-annotation works: Label Studio asks about "
            "smart key points and smart rectangles; add "
            f'<KeyPoint name="point" toName="{config.images[0].name}" smart="true"/>.'
        )
    said = [(control.attribute("smart") or "").lower() for control in tools]
    for control in tools:
        if not control.smart:
            yield f'{control} has smart="false", so annotators cannot prompt with it.'
        elif control.attribute("smart") is None and (
            "true" not in said or control.kind == "keypoint"
        ):
            yield (
                f'{control} has no smart="true", which Label Studio\'s manual requires '
                "for a smart tool."
            )
    for control in config.controls:
        if control.kind == "brush" and control.smart:
            yield (
                f"{control} has a smart brush, which Label Studio never asks about: its strokes "
                'stay empty. Set smart="false".'
            )


def _about_elements(config: LabelingConfig) -> Iterator[str]:
    """Check all tags of the XML, including those that are not a control of an image."""
    usable = {image.name for image in config.images}
    for element in config.root.iter():
        name, kind = element.get("name"), element.tag.lower()
        if kind == "video":
            yield f'{element.tag} "{name}" is not answered: video is not supported yet.'
        elif kind == "image" and name not in usable:
            yield (
                f'{element.tag} "{name}" is not answered: it needs a name, and value="$image" or '
                'valueList="$pages".'
            )
        for attribute in element.attrib:
            if attribute.lower().startswith("pam") and attribute.lower() not in ATTRIBUTES:
                near = difflib.get_close_matches(attribute.lower(), ATTRIBUTES, n=1, cutoff=0.0)
                yield (
                    f"<{element.tag}> has the unknown attribute {attribute}; "
                    f"did you mean {near[0]}? Use one of: {', '.join(ATTRIBUTES)}."
                )


def _about_images(config: LabelingConfig) -> Iterator[str]:
    for image in config.images:
        if not any(is_answered(control) for control in config.on(image).controls):
            yield f'Image "{image.name}" is not answered: no tag on it can hold a shape.'


def _about_control(control: Control, *, has_shapes: bool) -> Iterator[str]:
    if "," in (control.attribute("toName") or ""):
        yield (
            f'{control} is on several tags (toName="{control.attribute("toName")}"), for which '
            "Label Studio's editor offers no tools; give each image a tag of its own."
        )
    if control.type == "textarea" and not is_off(control):
        yield from _about_text(control, has_shapes=has_shapes)
    elif control.type in ("choices", "taxonomy") and asks_for_label(control):
        yield from _about_choices(control, has_shapes=has_shapes)
    elif control.kind in _UNANSWERED_SHAPES:
        yield f"{control} is not answered; for masks, use BrushLabels or BitmaskLabels."
    elif control.has_labels and (control.type == "labels" or control.kind in SHAPES):
        yield from _about_label_list(control)


def _about_text(control: Control, *, has_shapes: bool) -> Iterator[str]:
    asked = task_of(control)
    if asked:
        yield from _about_regions(control, "texts are written", has_shapes=has_shapes)
    elif control.per_region == has_shapes:
        yield (
            f"Neither the name of {control} nor an attribute says which text to write there, "
            'so it is left alone; add pam="brief", "detailed", "label" or '
            '"definition", or pam="off".'
        )


def _about_regions(control: Control, what: str, *, has_shapes: bool) -> Iterator[str]:
    if has_shapes and not control.per_region:
        yield (
            f'{control} has no perRegion="true", so it is left alone: {what} about regions where a '
            "tag can hold their shape."
        )
    elif control.per_region and not has_shapes:
        yield (
            f'{control} has perRegion="true", so it is left alone: no tag can hold the shape of a '
            f"region, and {what} about the whole image."
        )


def _about_choices(control: Control, *, has_shapes: bool) -> Iterator[str]:
    count = len(entries(control))
    if control.per_region != has_shapes:
        yield from _about_regions(control, "choices are made", has_shapes=has_shapes)
    elif is_nested(control):
        yield (f'{control} has allowNested="true", so it is left alone; use a <Taxonomy> instead.')
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
            "object: Label Studio sends its clicks alone. Use Alt+click instead."
        )
    if control.task_key:
        return
    if not control.labels:
        yield f"{control} has no <Label>, so its regions get no label."
    elif not control.region_labels:
        yield (
            f"{control} has only labels called background, and these are never given to a region."
        )


def _about_outputs(outputs: OutputMapping, config: LabelingConfig) -> Iterator[str]:
    if outputs.labels is not None:
        yield from _about_lost_labels(outputs, outputs.labels, config)
    elif outputs.shape is not None and not outputs.shape.has_labels:
        yield (
            f"{outputs.shape} has no labels, and no <Labels> with labels has "
            f'toName="{outputs.image.name}": regions get no label.'
        )
    if outputs.shape is not None and outputs.shape.kind == "keypoint":
        yield (
            f"Only {outputs.shape} can hold a shape, so answers are single points; "
            "add BrushLabels, PolygonLabels, EllipseLabels or RectangleLabels."
        )
    yield from _about_hidden(outputs)


def _about_tasks(mapped: Sequence[OutputMapping], options: Options) -> Iterator[str]:
    asked = {text.question.task for outputs in mapped for text in outputs.texts}
    for task in options.tasks or ():
        if task not in asked:
            yield (
                f'The option tasks has "{task.value}", but no TextArea that is answered '
                f'asks for it; add pam="{task.value}" to one.'
            )


def _about_hidden(outputs: OutputMapping) -> Iterator[str]:
    labels = outputs.labels
    if labels is not None and labels.task_key:
        return
    # At most, the editor shows what it shows for all labels and all choices, or for no choice.
    all_labels = tuple(outputs.label_values)
    all_choices: dict[str, Sequence[str]] = {
        target.control.name: [one for label in target.paths for one in target.spellings(label)]
        for target in outputs.choices
    }
    no_choices: dict[str, Sequence[str]] = {}
    name = labels.name if labels is not None else None
    answered = [text.control for text in outputs.texts]
    for control in answered + [target.control for target in outputs.choices]:
        possible = [
            Shown(name, all_labels, choices, is_region=outputs.shape is not None)
            for choices in (no_choices, all_choices)
        ]
        if not any(map(control.is_shown, possible)):
            yield (
                f"{control} is left alone: its visibleWhen, whenTagName, whenLabelValue or "
                "whenChoiceValue, or those of a View around it, hide it from all that is answered."
            )


def _about_lost_labels(
    outputs: OutputMapping, labels: Control, config: LabelingConfig
) -> Iterator[str]:
    known = {label.value for label in labels.labels}
    for control in config.on(outputs.image).controls:
        if control.kind not in SHAPES or labels.task_key:
            continue
        other = [label.value for label in control.region_labels if label.value not in known]
        if other:
            named = ", ".join(f'"{value}"' for value in other[:_NAMED_LABELS])
            more = "" if len(other) <= _NAMED_LABELS else f" and {len(other) - _NAMED_LABELS} more"
            noun = "label" if len(other) == 1 else "labels"
            yield (
                f"{labels} lacks the {noun} {named}{more} of {control}, "
                "so it only stands in the details of regions prompted with it."
            )


@dataclass(frozen=True)
class Checked:
    """The result of checking the config and the extra parameters that `/setup` sends.

    Attributes:
        options: the extra parameters; the defaults if they cannot be used.
        problem: why the extra parameters cannot be used, or None.
        findings: about parameters and config.
        long_phrases: texts to score that may have too many tokens.
    """

    options: Options
    problem: str | None
    findings: LintReport
    long_phrases: tuple[str, ...]

    def too_long(self, annotator: Annotator | None) -> str | None:
        """A sentence about a label with more tokens than the model can score, or None.

        Args:
            annotator: its tokenizer counts; None while it loads: no label is too long.
        """
        found = annotator.too_long(self.long_phrases) if annotator is not None else ()
        if not found:
            return None
        return (
            f"The label {shown(found[0])} has more tokens than the model can score: shorten it, "
            'or give it a shorter name for scoring, with predicted_values="...".'
        )


def kept_checks(
    slot: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> Callable[[str, Any], Checked]:
    """`check_project`, with a cache; safe to use from any thread.

    A thread waits for another one only if both make the same check.

    Args:
        slot: entered for each check that is really made, to limit how many are at once.
    """

    def check(xml: str, extra_params: Any) -> Checked:
        with slot():
            return check_project(xml, extra_params)

    kept = LRUCache[bytes, Checked](_MOST, getsizeof=lambda checked: len(repr(checked)))
    return cached(kept, key=_key, condition=threading.Condition())(check)


def _key(xml: str, extra_params: Any) -> bytes:
    # A digest: a config may have megabytes. XML has no character "\0".
    text = xml.encode("utf-8", "surrogatepass") + b"\0" + _encode(extra_params)
    return blake2b(text, digest_size=32).digest()


def check_project(xml: object, extra_params: object) -> Checked:
    """Check a config's XML and the extra parameters, valid or not."""
    options, problem = Options(), None
    try:
        options = Options.read(extra_params)
    except OptionsError as error:
        problem = str(error)
    phrases: tuple[str, ...] = ()
    try:
        config = LabelingConfig.parse(xml)
        report = check_config(config, options)
        if not report.errors:
            phrases = _long_phrases(config, options)
    except LabelingConfigError as error:
        report = LintReport((str(error),))
    errors = report.errors if problem is None else (problem, *report.errors)
    hints = report.hints
    if len(hints) > _MOST_HINTS:
        hints = (*hints[:_MOST_HINTS], f"There are {len(hints) - _MOST_HINTS:,} more hints.")
    return Checked(options, problem, LintReport(errors, hints), phrases)


def _long_phrases(config: LabelingConfig, options: Options) -> tuple[str, ...]:
    lists = [
        vocabulary
        for outputs in map_images(config, options)
        for vocabulary in (*(target.vocabulary for target in outputs.choices), outputs.vocabulary)
        if vocabulary is not None
    ]
    # A byte becomes at most one token; NFC may turn one letter into three.
    spoken = dict.fromkeys(phrase for vocabulary in lists for phrase in vocabulary.spoken)
    return tuple(phrase for phrase in spoken if 3 * len(phrase.encode()) > MOST_TOKENS)
