"""Decide where answers go: which tag gets the shape, the label, each text and each choice.

The rules, for the tags on one image:

* The shape goes to the tag that the option `output` names, else to the first kind of `SHAPES`
  that the config has: masks are written to brushes rather than to boxes. If the config has several
  tags of that kind, the first gets the shape.
* The label goes to that tag if it has labels of its own, else to the first `<Labels>`.
* If no tag can hold a shape, the image itself is the region: the tags for texts and choices without
  `perRegion="true"` are answered. Otherwise those with it are.
* A TextArea with `perRegion="true"` gets the task that `pam="brief"` (detailed, label,
  definition) asks for, else the one that its name asks for (`TEXT_NAMES`).
* Choices and a Taxonomy with `perRegion="true"` get the object's name if they have `pam="label"`,
  or a name that says so (`CHOICE_NAMES`). Scoring names cannot judge whether an image is sharp or
  a box is damaged. Of a Taxonomy only the leaves are scored.
* A tag with `pam="off"` is left alone, as are all other tags.
* `pam_language` and `pam_label_fit` on a tag override the project's options. Without
  `pam_language`, a list is asked about in the language of its labels.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from label_studio_backend.config.controls import Control, ImageTag, LabelingConfigError
from label_studio_backend.config.tag_attributes import (
    SHAPES,
    asks_for_label,
    entries,
    holds_shape,
    is_answered,
    is_nested,
    is_off,
    is_whole,
    label_fit_of,
    language_of,
    one_of,
    task_of,
)
from pam_labeling.vocabulary import Vocabulary
from pam_model.tasks import LANGUAGES, Language, Question, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.config.options import Options

MAX_CHOICES = 2000
"""The longest list that is scored for a region."""


@dataclass(frozen=True)
class TextTarget:
    """A TextArea and the question whose answer goes there."""

    control: Control
    question: Question


@dataclass(frozen=True)
class ChoiceTarget:
    """Choices or a Taxonomy, and the list that is scored for it.

    Attributes:
        control: the tag.
        vocabulary: the labels that are scored.
        paths: label of the vocabulary -> the value to send: that of Choices, or the path from a
            Taxonomy's root to the leaf.
    """

    control: Control
    vocabulary: Vocabulary
    paths: Mapping[str, tuple[str, ...]]

    def spellings(self, label: str) -> tuple[str, ...]:
        """How `whenChoiceValue` may spell a label: as results do, or as the value of an alias."""
        return self.paths[label][-1:] + self.vocabulary.phrases_of(label)


@dataclass(frozen=True)
class OutputMapping:
    """The tags that get the answers about one image.

    Attributes:
        image: the image.
        shape: the tag of the geometry; None if the image itself is the region.
        labels: the tag of the label: `shape` itself, a separate `<Labels>`, or None if no tag has
            a label to give.
        texts: the TextAreas, in the config's order.
        choices: the Choices and Taxonomies, in the config's order.
        vocabulary: the labels to choose from (never a background label); None in the open mode,
            and if there is no label to give.
        questions: for the texts and the open label; each once.
        spellings: for the open mode: PAM's name for a region, in lower case -> the project's label.
            A label's own value overrides the option `mapping`, which overrides its phrases.
    """

    image: ImageTag
    shape: Control | None
    labels: Control | None
    texts: tuple[TextTarget, ...]
    choices: tuple[ChoiceTarget, ...]
    vocabulary: Vocabulary | None
    questions: tuple[Question, ...]
    spellings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def label_values(self) -> frozenset[str]:
        """The labels that a region may get."""
        labels = self.labels.region_labels if self.labels else ()
        return frozenset(label.value for label in labels)

    def kept(self, labels: Iterable[str]) -> tuple[str, ...]:
        """A person's labels that the tag can hold: its own, and all if they are in task data."""
        takes_all = self.labels is not None and self.labels.task_key is not None
        return tuple(label for label in labels if takes_all or label in self.label_values)

    def project_label(self, called: str) -> str | None:
        """The project's label for PAM's name of a region in the open mode, or None."""
        return self.spellings.get(folded(called))


def map_outputs(
    config: LabelingConfig, options: Options, *, prompt_control: Control | None = None
) -> OutputMapping:
    """Decide where answers go; see the module for the rules.

    Args:
        config: the project's config, completed for the task (`LabelingConfig.for_task`).
        options: the project's options.
        prompt_control: the tag of the prompt, whose image is answered; None: the first image that
            has a tag for shapes, or for texts and choices about the whole image.

    Raises:
        LabelingConfigError: there is no tag to answer, `output` names none, a `pam...` attribute
            has an unknown value, the option `mapping` names an unknown label, or there are too
            many labels.
    """
    shape = _shape(config, options, prompt_control)
    if shape is not None:
        answered = [shape.to_name]
    else:  # a click needs a shape
        answered = [one.to_name for one in config.controls if not prompt_control and is_whole(one)]
    if not answered:
        name = prompt_control.to_name if prompt_control else config.images[0].name
        raise LabelingConfigError(
            f'No tag on the image "{name}" can hold a shape; the labelling config needs '
            "BrushLabels, BitmaskLabels, PolygonLabels, EllipseLabels, RectangleLabels or "
            'KeyPointLabels (without pam="off"); or, about the whole image, a TextArea with '
            'pam="brief" or Choices with pam="label" (without perRegion).'
        )
    image = next(image for image in config.images if image.name in answered)
    on_image = [
        control
        for control in config.controls
        if control.to_name == image.name and not is_off(control)
    ]
    holders = [one for one in on_image if one.type == "labels"] if shape is not None else []
    if shape is not None and shape.has_labels:
        holders = [shape]  # a shape that has a place for labels takes them itself
    labels = next((one for one in holders if one.region_labels or one.task_key), None)
    per_region = shape is not None
    texts = tuple(_texts(on_image, options, per_region=per_region))
    choices = tuple(_choices(on_image, options, per_region=per_region))
    questions = [text.question for text in texts]
    vocabulary, spellings = None, dict[str, str]()
    if labels is not None and options.labels == "open":
        spellings = _spellings(labels, options)
        questions.append(Question(Task.LABEL, language_of(labels, options)))
    elif labels is not None and labels.region_labels:
        phrases = {label.value: label.phrases for label in labels.region_labels}
        vocabulary = _vocabulary(labels, phrases, options)
    return OutputMapping(
        image,
        shape,
        labels,
        texts,
        choices,
        vocabulary,
        tuple(dict.fromkeys(questions)),
        MappingProxyType(spellings),
    )


def map_image(
    config: LabelingConfig, options: Options, image: ImageTag, prompt: Control | None = None
) -> OutputMapping:
    """Decide where the answers about one of several images go.

    If the option `output` names a tag of another image, it does not matter here.

    Args:
        config, options: as for `map_outputs`.
        image: the image.
        prompt: the tag of the prompt; None if there is none.

    Raises:
        LabelingConfigError: as `map_outputs` does.
    """
    own = config.on(image)
    if options.output and config.control(options.output) and not own.control(options.output):
        options = options.model_copy(update={"output": None})
    return map_outputs(own, options, prompt_control=prompt)


def map_images(config: LabelingConfig, options: Options) -> tuple[OutputMapping, ...]:
    """Decide where the answers about each image go that has a tag for shapes; at least one has.

    Raises:
        LabelingConfigError: as `map_outputs` does.
    """
    answered = {control.to_name for control in config.controls if is_answered(control)}
    images = [image for image in config.images if image.name in answered]
    # Without any, there is an error to raise.
    return tuple(map_image(config, options, image) for image in images or config.images)


def _shape(config: LabelingConfig, options: Options, prompt: Control | None) -> Control | None:
    usable = [control for control in config.controls if holds_shape(control)]
    if options.output is not None:
        named = next((control for control in usable if control.name == options.output), None)
        if named is None:
            known = ", ".join(f'"{control.name}"' for control in usable) or "none"
            raise LabelingConfigError(
                f"The option output must name a tag of the labelling config that can hold a shape "
                f'({known}), not "{options.output}".'
            )
        if prompt is None or named.to_name == prompt.to_name:
            return named
    # A click is answered on its own image, a task on the first image with a tag for shapes.
    images = [prompt.to_name] if prompt else [image.name for image in config.images]
    possible = [control for control in usable if control.to_name in images]
    if possible:
        # min() takes the first of equals, in the config's order.
        return min(possible, key=lambda one: (images.index(one.to_name), SHAPES.index(one.kind)))
    return None


def _texts(
    on_image: Sequence[Control], options: Options, *, per_region: bool
) -> Iterable[TextTarget]:
    wanted = tuple(Task) if options.tasks is None else options.tasks
    for control in on_image:
        task = task_of(control) if control.type == "textarea" else None
        if task is not None and task in wanted and control.per_region == per_region:
            yield TextTarget(control, Question(task, language_of(control, options)))


def _choices(
    on_image: Sequence[Control], options: Options, *, per_region: bool
) -> Iterable[ChoiceTarget]:
    for control in on_image:
        is_list = control.type in ("choices", "taxonomy") and control.per_region == per_region
        if not is_list or not asks_for_label(control):
            continue
        # `lint` has a hint for each tag that is skipped here.
        paths = entries(control)
        if is_nested(control) or not 0 < len(paths) <= MAX_CHOICES:
            continue
        phrases = {label.value: label.phrases for label in control.labels}
        if control.type == "taxonomy":
            phrases = {entry: control.nodes[path] for entry, path in paths.items()}
        yield ChoiceTarget(control, _vocabulary(control, phrases, options), MappingProxyType(paths))


def _vocabulary(
    control: Control, phrases: Mapping[str, tuple[str, ...]], options: Options
) -> Vocabulary:
    if len(phrases) > MAX_CHOICES:
        raise LabelingConfigError(
            f"{control} must have at most {MAX_CHOICES:,} labels, not {len(phrases):,}; "
            'or set the option labels to "open".'
        )
    language = one_of(control, "pam_language", LANGUAGES)
    return _checked(tuple(phrases.items()), language, label_fit_of(control, options))


@lru_cache(maxsize=64)
def _checked(
    listed: tuple[tuple[str, tuple[str, ...]], ...], language: Language | None, label_fit: float
) -> Vocabulary:
    # Every click maps anew, and checking a thousand labels takes longer than the rest.
    phrases = dict(listed)
    return Vocabulary(tuple(phrases), language, label_fit=label_fit, phrases=phrases)


def _spellings(labels: Control, options: Options) -> dict[str, str]:
    given = labels.region_labels
    values = {label.value for label in given}
    own = {folded(label.value): label.value for label in given}
    # If labels share a phrase, the first label gets it.
    spellings = {
        folded(phrase): label.value for label in reversed(given) for phrase in label.phrases
    }
    for called, value in options.mapping.items():
        if value not in values:
            raise LabelingConfigError(
                f'The option mapping turns "{called}" into "{value}", which is not a label of '
                f"{labels}."
            )
        spellings[folded(called)] = value
    return spellings | own


def folded(text: str) -> str:
    """A name without what makes no difference: capitals, blanks and full stops around it."""
    return " ".join(text.casefold().split()).strip(" .。")
