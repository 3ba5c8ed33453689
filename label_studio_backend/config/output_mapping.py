"""Where answers go: which tag gets the shape, the label, each text and each choice.

The rules, all on the image that is asked about:

* The shape goes to the tag that the option `output` names, else to the first kind of `SHAPES`
  that the config has: masks are written to brushes rather than to boxes. Of one kind the first
  tag of the config is taken.
* The label goes to that tag where it has labels of its own, else to the first `<Labels>`.
* A TextArea with `perRegion="true"` gets the task that `pam="brief"` (detailed, label,
  definition) asks for, else the one that its name asks for (`TEXT_NAMES`).
* Choices and a Taxonomy with `perRegion="true"` get what the object is called if they have
  `pam="label"`, or a name that says so (`CHOICE_NAMES`): whether an image is sharp or a box is
  damaged is nothing that scoring names can judge. Of a Taxonomy only the leaves are scored.
* `pam="off"` keeps a tag as it is. Everything else is left alone.
* `pam_language` and `pam_threshold` on a tag win over the project's options.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

from label_studio_backend.config.labeling_config import LabelingConfigError
from pam_labeling.vocabulary import Vocabulary
from pam_model.tasks import LANGUAGES, Question, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from label_studio_backend.config.labeling_config import (
        Control,
        ImageTag,
        LabelingConfig,
        ProjectLabel,
    )
    from label_studio_backend.config.options import Options
    from pam_model.tasks import Language

SHAPES: tuple[tuple[str, str], ...] = (
    ("brushlabels", "brush"),
    ("polygonlabels", "polygon"),
    ("ellipselabels", "ellipse"),
    ("rectanglelabels", "rectangle"),
    ("keypointlabels", "keypoint"),
)
"""Kinds of tags that can hold a shape, the most faithful to a mask first."""

SHAPE_TYPES = frozenset(kind for kinds in SHAPES for kind in kinds)

TEXT_NAMES: tuple[tuple[Task, tuple[str, ...]], ...] = (
    (Task.DEFINITION, ("definition", "定义", "解释")),
    (Task.DETAILED, ("detail", "详细")),
    (Task.BRIEF, ("brief", "caption", "description", "描述", "说明")),
    (Task.LABEL, ("label", "标签", "名称", "类别")),
)
"""What a TextArea's name may contain, in any case, and the task that it asks for; first match."""

CHOICE_NAMES = ("label", "class", "category", "type", "object", "标签", "类别", "类型", "物体")
"""What the name of Choices or of a Taxonomy may contain, in any case, to be answered."""

MAX_CHOICES = 2000
"""The longest list that is scored for a region."""

PATH_SEPARATOR = " > "


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
        vocabulary: what is scored.
        paths: each of the vocabulary's labels -> what is sent: the one value of Choices, or the
            path from a Taxonomy's root to the leaf.
    """

    control: Control
    vocabulary: Vocabulary
    paths: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class AnswerPlan:
    """Where the answers about one image go.

    Attributes:
        image: the image.
        shape: the tag of the geometry.
        labels: the tag of the label: `shape` itself, a separate `<Labels>`, or None where no tag
            has a label to give.
        texts: the TextAreas, in the config's order.
        choices: the Choices and Taxonomies, in the config's order.
        vocabulary: the labels to choose from (never a background label); None in the open mode,
            and where there is no label to give.
        questions: of the texts, and of the open label; each once.
        spellings: for the open mode: what PAM may call it, in lower case -> the project's label.
            A label's own value wins over the option `mapping`, and that over its phrases.
    """

    image: ImageTag
    shape: Control
    labels: Control | None
    texts: tuple[TextTarget, ...]
    choices: tuple[ChoiceTarget, ...]
    vocabulary: Vocabulary | None
    questions: tuple[Question, ...]
    spellings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def label_values(self) -> frozenset[str]:
        """The labels that `labels` may be given."""
        return frozenset(label.value for label in answers(self.labels))

    def project_label(self, called: str) -> str | None:
        """The project's label for what PAM called a region in the open mode, or None."""
        return self.spellings.get(_folded(called))


def plan_answer(
    config: LabelingConfig, options: Options, *, prompt_control: Control | None = None
) -> AnswerPlan:
    """Decide where answers go; see the module for the rules.

    Args:
        config: the project's config, completed for the task (`LabelingConfig.for_task`).
        options: the project's options.
        prompt_control: the tag that was asked with, whose image is answered; None: the first
            image that has a tag for shapes.

    Raises:
        LabelingConfigError: no tag for shapes, an `output` that is none, a `pam...` attribute
            with an unknown value, a mapping to a label that there is not, or too many labels.
    """
    shape = _shape(config, options, prompt_control)
    image = next(image for image in config.images if image.name == shape.to_name)
    on_image = [
        control
        for control in config.controls
        if control.to_name == image.name and not is_off(control)
    ]
    labels = _label_control(shape, on_image)
    texts = tuple(_texts(on_image, options))
    choices = tuple(_choices(on_image, options))
    questions = [text.question for text in texts]
    vocabulary, spellings = None, dict[str, str]()
    if labels is not None and options.labels == "open":
        spellings = _spellings(labels, options)
        questions.append(Question(Task.LABEL, language_of(labels, options)))
    elif labels is not None:
        phrases = {label.value: label.phrases for label in answers(labels)}
        vocabulary = _vocabulary(labels, phrases, options)
    return AnswerPlan(
        image,
        shape,
        labels,
        texts,
        choices,
        vocabulary,
        tuple(dict.fromkeys(questions)),
        MappingProxyType(spellings),
    )


def answers(control: Control | None) -> tuple[ProjectLabel, ...]:
    """The labels of a tag that a region can be given: all but those called background."""
    if control is None:
        return ()
    return tuple(label for label in control.labels if not label.background)


def is_off(control: Control) -> bool:
    """Whether `pam="off"` keeps a tag as it is."""
    return _pam(control) == "off"


def task_of(control: Control) -> Task | None:
    """The task that a TextArea asks for by `pam`, else by its name; None: none.

    Raises:
        LabelingConfigError: `pam` is neither a task nor "off".
    """
    asked = _pam(control)
    if asked == "off":
        return None
    if asked is not None:
        tasks = [task.value for task in Task]
        if asked not in tasks:
            raise LabelingConfigError(_unknown(control, "pam", asked, [*tasks, "off"]))
        return Task(asked)
    name = control.name.lower()
    for task, words in TEXT_NAMES:
        if any(word in name for word in words):
            return task
    return None


def asks_for_label(control: Control) -> bool:
    """Whether Choices or a Taxonomy asks what the object is called, by `pam` or by its name.

    Raises:
        LabelingConfigError: `pam` is neither "label" nor "off".
    """
    asked = _pam(control)
    if asked is not None:
        if asked not in ("label", "off"):
            raise LabelingConfigError(_unknown(control, "pam", asked, ["label", "off"]))
        return asked == "label"
    return any(word in control.name.lower() for word in CHOICE_NAMES)


def language_of(control: Control, options: Options) -> Language:
    """The language that a tag asks for by `pam_language`, else the project's.

    Raises:
        LabelingConfigError: `pam_language` is none that PAM speaks.
    """
    asked = control.attribute("pam_language")
    if asked is None:
        return options.language
    for language in LANGUAGES:
        if language == asked:
            return language
    raise LabelingConfigError(_unknown(control, "pam_language", asked, LANGUAGES))


def threshold_of(control: Control, options: Options) -> float:
    """The least score of a label of this tag: its `pam_threshold`, else the project's.

    Raises:
        LabelingConfigError: `pam_threshold` is no number from 0 to 1.
    """
    asked = control.attribute("pam_threshold")
    if asked is None:
        return options.label_threshold
    try:
        threshold = float(asked)
    except ValueError:
        threshold = -1.0
    if not 0.0 <= threshold <= 1.0:
        raise LabelingConfigError(
            _unknown(control, "pam_threshold", asked, ["a number from 0 to 1"])
        )
    return threshold


def is_nested(control: Control) -> bool:
    """Whether it is Choices whose results are paths, which label_studio_sdk takes for errors."""
    return control.type == "choices" and control.attribute("allowNested") == "true"


def entries(control: Control) -> dict[str, tuple[str, ...]]:
    """What is scored for Choices or a Taxonomy -> what is sent: values, or paths to leaves."""
    if control.type != "taxonomy":
        return {label.value: (label.value,) for label in control.labels}
    inner = {path[:-1] for path in control.paths}
    return {PATH_SEPARATOR.join(path): path for path in control.paths if path not in inner}


def describe(control: Control) -> str:
    """A tag as sentences name it, such as `BrushLabels "mask"`."""
    return f'{control.tag} "{control.name}"'


def _shape(config: LabelingConfig, options: Options, prompt: Control | None) -> Control:
    shapes = [control for control in config.controls if control.type in SHAPE_TYPES]
    usable = [control for control in shapes if not is_off(control)]
    if options.output is not None:
        named = next((control for control in usable if control.name == options.output), None)
        if named is None:
            known = ", ".join(f'"{control.name}"' for control in usable) or "none"
            raise LabelingConfigError(
                f'The option output is "{options.output}", but the tags of the labelling config '
                f"that can hold a shape are: {known}."
            )
        if prompt is None or named.to_name == prompt.to_name:
            return named
    images = [prompt.to_name] if prompt else [image.name for image in config.images]
    for image in images:
        for kinds in SHAPES:
            for control in usable:
                if control.to_name == image and control.type in kinds:
                    return control
    raise LabelingConfigError(
        f'No tag on the image "{images[0]}" can hold a shape; the labelling config needs '
        "BrushLabels, PolygonLabels, EllipseLabels, RectangleLabels or KeyPointLabels "
        '(without pam="off").'
    )


def _label_control(shape: Control, on_image: Sequence[Control]) -> Control | None:
    if shape.type.endswith("labels"):
        return shape if answers(shape) else None
    separate = (control for control in on_image if control.type == "labels")
    return next((control for control in separate if answers(control)), None)


def _texts(on_image: Sequence[Control], options: Options) -> Iterable[TextTarget]:
    for control in on_image:
        if control.type != "textarea":
            continue
        task = task_of(control)
        if task is None or not control.per_region:
            continue
        if options.tasks is None or task in options.tasks:
            yield TextTarget(control, Question(task, language_of(control, options)))


def _choices(on_image: Sequence[Control], options: Options) -> Iterable[ChoiceTarget]:
    for control in on_image:
        if control.type not in ("choices", "taxonomy") or not asks_for_label(control):
            continue
        paths = entries(control)
        if not control.per_region or is_nested(control) or not 0 < len(paths) <= MAX_CHOICES:
            continue
        if control.type == "taxonomy":
            spoken = dict(zip(control.paths, control.path_phrases, strict=True))
            phrases = {entry: spoken[path] for entry, path in paths.items()}
        else:
            phrases = {label.value: label.phrases for label in control.labels}
        yield ChoiceTarget(control, _vocabulary(control, phrases, options), MappingProxyType(paths))


def _vocabulary(
    control: Control, phrases: Mapping[str, tuple[str, ...]], options: Options
) -> Vocabulary:
    if len(phrases) > MAX_CHOICES:
        raise LabelingConfigError(
            f"{describe(control)} has {len(phrases):,} labels, and at most {MAX_CHOICES:,} are "
            'scored for a region; set the option labels to "open".'
        )
    listed = tuple(phrases.items())
    return _checked(listed, language_of(control, options), threshold_of(control, options))


@lru_cache(maxsize=64)
def _checked(
    listed: tuple[tuple[str, tuple[str, ...]], ...], language: Language, threshold: float
) -> Vocabulary:
    # Every click plans anew, and to check a list of a thousand labels takes longer than the plan.
    phrases = dict(listed)
    return Vocabulary(tuple(phrases), language, threshold, phrases)


def _spellings(labels: Control, options: Options) -> dict[str, str]:
    values = {label.value for label in answers(labels)}
    spellings: dict[str, str] = {}
    for label in answers(labels):
        for phrase in label.phrases:
            spellings.setdefault(_folded(phrase), label.value)
    for called, value in options.mapping.items():
        if value not in values:
            raise LabelingConfigError(
                f'The option mapping makes "{called}" into "{value}", which is no label of '
                f"{describe(labels)}."
            )
        spellings[_folded(called)] = value
    return spellings | {_folded(label.value): label.value for label in answers(labels)}


def _pam(control: Control) -> str | None:
    asked = control.attribute("pam")
    return None if asked is None else asked.lower()


def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).strip(" .。")


def _unknown(control: Control, attribute: str, given: str, allowed: Iterable[str]) -> str:
    return f'{describe(control)} has {attribute}="{given}"; it may be: {", ".join(allowed)}.'
