"""Measure how well a PAM segments and names objects of known images.

answers = ask(pam, (known_scene(HELD_OUT_SEED + n) for n in range(500)))
for measure in scene_measures(answers):
    print(measure)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from pam_model.nano import texts, words
from pam_model.nano.known import KnownImage, KnownObject
from pam_model.nano.texts import QUESTIONS, Facts
from pam_model.options import GenerationOptions
from pam_model.pam import PAM
from pam_model.segments import Segments
from pam_model.tasks import LANGUAGES, Language, Question, Task

FLAT_QUESTIONS = tuple(q for q in QUESTIONS if q.task in (Task.LABEL, Task.BRIEF))
NAMES = (*words.SHAPES, *words.OTHER_NOUNS)
"""The labels that `classify` chooses from: the shapes and things that are never drawn."""
_IMAGES_AT_ONCE = 16
_OPTIONS = GenerationOptions(max_new_tokens=96)
_LABELS = tuple(Question(Task.LABEL, language) for language in LANGUAGES)

# The scores that a trained nano should reach.
_AIMS = {
    "box IoU": 0.95,
    "click IoU": 0.93,
    "label, from a box": 0.96,
    "label, from a click": 0.96,
    "classify, of 20 names": 0.97,
    "brief": 0.94,
    "detailed": 0.8,
    "empty click refused": 0.95,
    "flat: box IoU": 0.95,
    "flat: label, from a box": 0.98,
}


class Measure(NamedTuple):
    """A mean over objects.

    Attributes:
        name: what is measured.
        value: 0 to 1; NaN where `objects` is 0.
        objects: how many objects (or empty clicks) the mean is over.
        aim: what `value` should reach, or None.
    """

    name: str
    value: float
    objects: int
    aim: float | None


@dataclass(frozen=True, eq=False)
class ObjectAnswers:
    """A PAM's results for one object.

    Attributes:
        known: the object.
        box_iou: the IoU, in the image's pixels, of the visible mask and the mask from the box.
        click_iou: the same for the mask from the click.
        from_box: the answer to each question about the region from the box.
        from_click: the label in each language for the region from the click.
        chosen: the index into `NAMES` of the likeliest name in each language, from the box.
    """

    known: KnownObject
    box_iou: float
    click_iou: float
    from_box: dict[Question, str]
    from_click: dict[Question, str]
    chosen: dict[Language, int]

    @property
    def facts(self) -> Facts:
        """The truth about the object."""
        return self.known.drawn.facts

    def is_right(self, question: Question) -> bool:
        """Whether the answer from the box states all that is asked for, and nothing false."""
        places = self.known.drawn.places
        return texts.is_right(self.from_box[question], question, self.facts, places)

    def states(self, field: str, question: Question) -> bool:
        """Whether the answer from the box states the fact, and no other value of the field."""
        stated = texts.stated(self.from_box[question], question.language)[field]
        accepted = texts.accepted(field, self.facts, self.known.drawn.places)
        return len(stated) == 1 and stated <= accepted


@dataclass(frozen=True, eq=False)
class Answers:
    """A PAM's results for some images.

    Attributes:
        objects: the answers about each object.
        refused: for each click on the ground, whether the object score was 0 or less.
    """

    objects: tuple[ObjectAnswers, ...]
    refused: tuple[bool, ...]


def ask(
    pam: PAM, images: Iterable[KnownImage], questions: Sequence[Question] = QUESTIONS
) -> Answers:
    """Ask about the objects of images, several images at a time.

    Args:
        pam: the model to measure.
        images: the images; an iterator may draw them when they are needed.
        questions: the questions about each object. Labels are always asked for.
    """
    asked = tuple(dict.fromkeys((*_LABELS, *questions)))
    objects: list[ObjectAnswers] = []
    refused: list[bool] = []
    stream = iter(images)
    while group := list(islice(stream, _IMAGES_AT_ONCE)):
        segments = _segment(pam, group)
        known = [thing for image in group for thing in image.objects]
        count = len(known)
        objects += _about_objects(pam, known, segments.select(range(2 * count)), asked)
        refused += (segments.object_scores[2 * count :] <= 0).tolist()
    return Answers(tuple(objects), tuple(refused))


def scene_measures(answers: Answers) -> list[Measure]:
    """All measures of scenes of the drawn world."""
    measures = _mask_measures(answers)
    for language in LANGUAGES:
        measures += _label_measures(answers, language)
        for task in (Task.BRIEF, Task.DETAILED, Task.DEFINITION):
            question = Question(task, language)
            right = [thing.is_right(question) for thing in answers.objects]
            measures.append(_mean(task.value, right, language))
    return [*measures, _mean("empty click refused", answers.refused)]


def flat_measures(answers: Answers) -> list[Measure]:
    """All measures of flat images."""
    measures = _mask_measures(answers, "flat: ")
    for language in LANGUAGES:
        measures += _label_measures(answers, language, "flat: ")
        brief = Question(Task.BRIEF, language)
        right = [thing.states("colour", brief) for thing in answers.objects]
        measures.append(_mean("flat: colour, in brief", right, language))
    return [*measures, _mean("flat: empty click refused", answers.refused)]


class GroupReport(NamedTuple):
    """How well the objects of a group are found and named.

    Attributes:
        group: what its objects have in common.
        objects: the number of objects.
        box_iou: the mean IoU from a box.
        click_iou: the mean IoU from a click.
        label_right: the fraction of right English labels, from a box.
        taken_for: the wrong English labels and how often each was given, most frequent first.
    """

    group: str
    objects: int
    box_iou: float
    click_iou: float
    label_right: float
    taken_for: dict[str, int]


def by_shape(answers: Answers) -> list[GroupReport]:
    """Group masks and English labels by shape: which shape is taken for which."""
    return _by_field(answers, "shape")


def by_circumstance(answers: Answers) -> list[GroupReport]:
    """Group masks and English labels by texture, size, ground and whether a part is hidden."""
    return [
        _report("whole", [t for t in answers.objects if t.known.drawn.visible >= 0.99]),
        _report("partly hidden", [t for t in answers.objects if t.known.drawn.visible < 0.99]),
        *(
            report._replace(group=f"{field} {report.group}")
            for field in ("texture", "size", "ground")
            for report in _by_field(answers, field)
        ),
    ]


def _by_field(answers: Answers, field: str) -> list[GroupReport]:
    """A report for each value of a fact."""
    return [
        _report(word.en, [t for t in answers.objects if getattr(t.facts, field) == index])
        for index, word in enumerate(texts.FIELDS[field])
    ]


def _report(group: str, things: Sequence[ObjectAnswers]) -> GroupReport:
    question = Question(Task.LABEL, "en")
    wrong = Counter(t.from_box[question] for t in things if not t.is_right(question))
    return GroupReport(
        group,
        len(things),
        _average([thing.box_iou for thing in things]),
        _average([thing.click_iou for thing in things]),
        _average([thing.is_right(question) for thing in things]),
        dict(wrong.most_common()),
    )


def by_fact(answers: Answers) -> list[Measure]:
    """For each fact, the fraction of detailed captions that state it rightly."""
    return [
        _mean(
            f"{field} in detailed",
            [thing.states(field, Question(Task.DETAILED, language)) for thing in answers.objects],
            language,
        )
        for language in LANGUAGES
        for field in texts.FIELDS
    ]


def _segment(pam: PAM, group: Sequence[KnownImage]) -> Segments:
    """The segments of all boxes, then of all clicks, then of all empty clicks."""
    parts: tuple[list[Segments], ...] = ([], [], [])
    features = pam.encode_batch([image.image for image in group])
    for seen, image in zip(features, group, strict=True):
        things, empty = image.objects, image.empty_click
        prompts = [thing.box for thing in things] + [thing.click for thing in things]
        found = pam.segment(seen, prompts if empty is None else [*prompts, empty])
        ends = (0, len(things), len(prompts), len(found))
        for part, start, end in zip(parts, ends, ends[1:], strict=False):
            part.append(found.select(range(start, end)))
    return Segments.concatenate([segments for part in parts for segments in part])


def _about_objects(
    pam: PAM, known: Sequence[KnownObject], segments: Segments, questions: Sequence[Question]
) -> list[ObjectAnswers]:
    """The answers about each object; `segments` are those of all boxes, then of all clicks."""
    count = len(known)
    if not count:
        return []
    contexts = pam.prefill(segments)
    boxes, clicks = contexts.select(range(count)), contexts.select(range(count, 2 * count))
    from_box = pam.describe(boxes, questions, _OPTIONS)
    from_click = pam.describe(clicks, _LABELS, _OPTIONS)
    chosen = {
        language: pam.classify(
            boxes, [word.name(language) for word in NAMES], language=language
        ).argmax(axis=1)
        for language in LANGUAGES
    }
    return [
        ObjectAnswers(
            thing,
            box_iou=mask_iou(segments.mask(index), thing.drawn.mask),
            click_iou=mask_iou(segments.mask(count + index), thing.drawn.mask),
            from_box=dict(zip(questions, from_box[index], strict=True)),
            from_click=dict(zip(_LABELS, from_click[index], strict=True)),
            chosen={language: int(best[index]) for language, best in chosen.items()},
        )
        for index, thing in enumerate(known)
    ]


def mask_iou(first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> float:
    """The intersection over union of two masks of one size; 1 if both are empty."""
    either = int((first | second).sum())
    return int((first & second).sum()) / either if either else 1.0


def _mask_measures(answers: Answers, prefix: str = "") -> list[Measure]:
    return [
        _mean(f"{prefix}box IoU", [thing.box_iou for thing in answers.objects]),
        _mean(f"{prefix}click IoU", [thing.click_iou for thing in answers.objects]),
    ]


def _label_measures(answers: Answers, language: Language, prefix: str = "") -> list[Measure]:
    question = Question(Task.LABEL, language)
    things = answers.objects
    from_click = [texts.is_right(t.from_click[question], question, t.facts) for t in things]
    chosen = [thing.chosen[language] == thing.facts.shape for thing in things]
    return [
        _mean(f"{prefix}label, from a box", [t.is_right(question) for t in things], language),
        _mean(f"{prefix}label, from a click", from_click, language),
        _mean(f"{prefix}classify, of 20 names", chosen, language),
    ]


def _mean(name: str, values: Sequence[float], language: Language | None = None) -> Measure:
    full_name = name if language is None else f"{name} ({language})"
    return Measure(full_name, _average(values), len(values), _AIMS.get(name))


def _average(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")
