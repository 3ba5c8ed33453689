"""The steps of a request, which turn an image and prompts into regions with texts."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np

from pam_labeling.cache import DeviceCache
from pam_labeling.jobs import Emit, Step
from pam_labeling.masks import remove_small_components
from pam_labeling.media import LoadedImage
from pam_labeling.regions import Annotation, Provenance, Refusal, Region, Scores
from pam_labeling.request import Request
from pam_labeling.version import VERSION
from pam_labeling.vocabulary import Choice, Vocabulary
from pam_labeling.work import Classify, Describe, Encode, Prefill
from pam_model import (
    PAM,
    CroppedMask,
    ImageFeatures,
    Language,
    PreparedImage,
    Prompt,
    Question,
    RegionContexts,
    Segments,
    Task,
    split_definition,
)
from pam_model.nano.outside import is_outside

_log = logging.getLogger(__name__)

Result = Region | Refusal
Steps = Generator[Step[Result], Any, "T"]

T = TypeVar("T")

PROMPTS_PER_STEP = 64
"""How many prompts are segmented at once; each takes some 10 MB in the decoder."""

OUTSIDE = (
    "nano only knows drawings of coloured shapes: masks and words about other images, such as "
    "photographs, mean nothing. Name PAM-1.5B or PAM-3B for them."
)
"""The note of an annotation by nano, if the image is not of its drawn world."""


class Pipeline:
    """Turns requests into the steps of jobs. It keeps nothing of a request.

    Args:
        model: the model.
        cache: where image features are kept between requests.
        regions_per_step: how many regions of one request the language model reads at once.
    """

    def __init__(
        self, model: PAM, cache: DeviceCache[ImageFeatures], *, regions_per_step: int = 16
    ) -> None:
        if regions_per_step < 1:
            raise ValueError(f"regions_per_step must be 1 or more, not {regions_per_step}")
        self._model = model
        self._cache = cache
        self._regions_per_step = regions_per_step
        self._warned = False

    def annotate(
        self, request: Request, image: LoadedImage, prepared: PreparedImage | None
    ) -> Steps[Annotation]:
        """The steps of one request; each result is emitted as it is found.

        Args:
            request: what to do.
            image: the request's image; the prompts were checked against it.
            prepared: the image resized for the encoder, or None if its features were in the cache.

        Returns:
            The annotation, as the generator's return value.
        """
        features = self._cache.get(image.key)
        if features is None:
            if prepared is None:  # the cache had the features, but has dropped them since
                prepared = self._model.prepare(image.pixels)
            features = yield Encode(self._model, self._cache, image.key, prepared)
        note = self._note(features)
        results: list[Result] = []
        if not request.prompts:
            segments = yield from self._model.everything_in_steps(features, request.everything)
            yield None
            results += yield from self._results(request, [None] * len(segments), segments)
        for prompts in _chunks(request.prompts, PROMPTS_PER_STEP):
            segments = self._segment(features, prompts)
            yield None
            results += yield from self._results(request, prompts, segments)
        return Annotation(image.size, tuple(results), note)

    def _note(self, features: ImageFeatures) -> str | None:
        """What is to be said about an image; it is logged once."""
        if self._model.name != "nano" or not is_outside(features):
            return None
        if not self._warned:
            self._warned = True
            _log.warning("An image is unlike those that nano knows. %s", OUTSIDE)
        return OUTSIDE

    def _segment(self, features: ImageFeatures, prompts: Sequence[Prompt]) -> Segments:
        """Segment; the object scores of given masks are those of a click at their deepest point.

        The decoder takes a given mask as its answer, and so is always sure of it.
        """
        segments = self._model.segment(features, prompts)
        points = {
            index: prompt.cropped.deepest_point
            for index, prompt in enumerate(prompts)
            if prompt.cropped is not None
        }
        if not points:
            return segments
        scores = segments.object_scores.copy()
        scores[[*points]] = self._model.object_scores(features, [*points.values()])
        return replace(segments, object_scores=scores)

    def _results(
        self, request: Request, prompts: Sequence[Prompt | None], segments: Segments
    ) -> Steps[list[Result]]:
        results: list[Result] = []
        for chunk in _chunks(range(len(segments)), self._regions_per_step):
            part = segments.select(chunk)
            found = yield from self._chunk(request, [prompts[index] for index in chunk], part)
            for result in found:
                yield Emit(result)
            results += found
        return results

    def _chunk(
        self, request: Request, prompts: Sequence[Prompt | None], segments: Segments
    ) -> Steps[list[Result]]:
        """A result for each prompt; if everything is looked for, only the regions found."""
        # A mask that a person gave keeps its small components.
        masks = [
            segments.cropped(index)
            if _gives_mask(prompt)
            else remove_small_components(segments.cropped(index))
            for index, prompt in enumerate(prompts)
        ]
        scores = _scores(segments)
        seen = [
            index
            for index, mask in enumerate(masks)
            if scores[index].sees_object
            and not mask.is_empty
            and not _misses_box(mask, prompts[index])
        ]
        words = yield from self._words(request, segments.select(seen))
        said = dict(zip(seen, words, strict=True))
        results: list[Result] = []
        for index, (prompt, mask) in enumerate(zip(prompts, masks, strict=True)):
            if index in said:
                results.append(self._region(mask, prompt, scores[index], said[index]))
            elif _gives_mask(prompt):  # a person's mask is never dropped
                results.append(self._region(mask, prompt, scores[index], _no_words(request)))
            elif prompt is not None:  # a click of the grid gets no refusal
                results.append(_refusal(prompt, scores[index], mask))
        return results

    def _region(
        self, mask: CroppedMask, prompt: Prompt | None, scores: Scores, words: _Words
    ) -> Region:
        return Region(
            mask,
            replace(scores, label=words.label_score),
            Provenance(self._model.name, VERSION, prompt),
            label=words.label,
            open_label=words.open_label,
            texts=words.texts,
            choices=words.choices,
        )

    def _words(self, request: Request, segments: Segments) -> Steps[list[_Words]]:
        """The words for each region, from one prefill for all questions and labels."""
        questions = request.questions
        if len(segments) == 0 or not (questions or request.vocabulary or request.choices):
            return [_Words()] * len(segments)
        contexts: RegionContexts = yield Prefill(self._model, segments)
        answers: list[list[str]] = [[]] * len(segments)
        if questions:
            answers = yield Describe(self._model, contexts, questions, request.generation)
        words = [_read_answers(questions, texts) for texts in answers]
        # The vocabulary, which chooses the label itself, is the list without a name.
        lists: list[tuple[str | None, Vocabulary]] = [*request.choices.items()]
        if request.vocabulary is not None:
            lists.append((None, request.vocabulary))
        for language in dict.fromkeys(vocabulary.asked_in for _, vocabulary in lists):
            alike = [entry for entry in lists if entry[1].asked_in == language]
            words = yield from self._choose(request, contexts, language, alike, words)
        return words

    def _choose(
        self,
        request: Request,
        contexts: RegionContexts,
        language: Language,
        lists: Sequence[tuple[str | None, Vocabulary]],
        words: Sequence[_Words],
    ) -> Steps[list[_Words]]:
        """Add what is chosen from lists of one language."""
        # Spellings that the lists share are scored once.
        column: dict[str, int] = {}
        for _, vocabulary in lists:
            for form in vocabulary.spoken:
                column.setdefault(form, len(column))
        # [regions, spellings]
        found = yield Classify(self._model, contexts, tuple(column), language)
        fits = [found[:, [column[form] for form in vocabulary.spoken]] for _, vocabulary in lists]
        unsure = np.any(
            [vocabulary.unsure(own) for (_, vocabulary), own in zip(lists, fits, strict=True)],
            axis=0,
        )
        answers = yield from self._own_labels(
            request, contexts, language, words, np.flatnonzero(unsure).tolist()
        )
        # A model that begins its words with a capital knows the list in this spelling only.
        capital = [row for row, answer in enumerate(answers) if unsure[row] and _capital(answer)]
        if capital:
            again = tuple(form.capitalize() for form in column)
            found[capital] = yield Classify(self._model, contexts.select(capital), again, language)
        for (name, vocabulary), own in zip(lists, fits, strict=True):
            either = np.maximum(own, found[:, [column[form] for form in vocabulary.spoken]])
            choices = vocabulary.choose(
                np.where(vocabulary.unsure(own)[:, None], either, own), answers
            )
            words = [
                said.with_choice(name, choice, _other_words(vocabulary, choice.label, answer))
                for said, choice, answer in zip(words, choices, answers, strict=True)
            ]
        return list(words)

    def _own_labels(
        self,
        request: Request,
        contexts: RegionContexts,
        language: Language,
        words: Sequence[_Words],
        rows: Sequence[int],
    ) -> Steps[list[str | None]]:
        """What the model itself calls the regions `rows`; None for others, unless it was asked."""
        question = Question(Task.LABEL, language)
        # Never a sample: a label of the list must not depend on a seed.
        options = replace(request.generation, temperature=0.0)
        if question in request.questions and options == request.generation:
            return [said.texts[question] for said in words]
        answers: list[str | None] = [None] * len(contexts)
        if rows:
            asked = contexts if len(rows) == len(contexts) else contexts.select(rows)
            found = yield Describe(self._model, asked, (question,), options)
            for row, (answer,) in zip(rows, found, strict=True):
                answers[row] = answer.strip()
        return answers


@dataclass(frozen=True)
class _Words:
    """The answers about one region, before they become a `Region`."""

    label: str | None = None
    label_score: float | None = None
    open_label: str | None = None
    texts: Mapping[tuple[Task, Language], str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def with_choice(self, name: str | None, choice: Choice, open_label: str | None) -> _Words:
        if name is None:
            return replace(
                self, label=choice.label, label_score=choice.score, open_label=open_label
            )
        return replace(self, choices={**self.choices, name: choice})


def _capital(answer: str | None) -> bool:
    return answer is not None and answer[:1].isupper()


def _other_words(vocabulary: Vocabulary, label: str | None, answer: str | None) -> str | None:
    """The model's own label, where it is known and is not the chosen one in other spelling."""
    return None if not answer or vocabulary.says(label, answer) else answer


def _read_answers(questions: Sequence[Question], answers: Sequence[str]) -> _Words:
    texts: dict[tuple[Task, Language], str] = {}
    labels: list[str] = []
    implied: list[str] = []  # labels in the answers about definitions
    for (task, language), answer in zip(questions, answers, strict=True):
        text = answer.strip()
        if task is Task.DEFINITION:
            label, text = split_definition(text)
            implied.append(label)
        elif task is Task.LABEL:
            labels.append(text)
        texts[task, language] = text
    # The answer about the label takes precedence over the label in a definition.
    return _Words(label=next((label for label in labels + implied if label), None), texts=texts)


def _scores(segments: Segments) -> list[Scores]:
    if not (np.isfinite(segments.iou_scores).all() and np.isfinite(segments.object_scores).all()):
        raise ArithmeticError(
            "the model's scores are not finite numbers: the checkpoint is damaged, or float16 is "
            "too small for it (use float32)"
        )
    return [
        # The head that predicts the IoU may exceed 0 to 1.
        Scores(iou=min(max(float(iou), 0.0), 1.0), object=_sigmoid(float(logit)))
        for iou, logit in zip(segments.iou_scores, segments.object_scores, strict=True)
    ]


def _refusal(prompt: Prompt, scores: Scores, mask: CroppedMask) -> Refusal:
    if not scores.sees_object:
        reason = (
            f"the model sees no object here (probability {scores.object:.2f}): "
            "point inside the object, or draw a box around it"
        )
    elif mask.is_empty:
        reason = "the model sees an object here, but its mask is empty: draw a larger box"
    else:
        reason = (
            "the model sees an object beside the box, but none in it: "
            "draw the box around the object"
        )
    return Refusal(prompt, reason, scores)


def _misses_box(mask: CroppedMask, prompt: Prompt | None) -> bool:
    """Whether the mask has no pixel in the prompt's box: it is that of a neighbour."""
    corners = None if prompt is None else prompt.box_corners
    if corners is None:
        return False
    # Masks of turned boxes are confined to them; here the upright box around them is enough.
    low, high = np.floor(corners.min(axis=0)), np.ceil(corners.max(axis=0))
    x1, y1 = np.maximum(low - mask.box[:2], 0).astype(int)
    x2, y2 = np.maximum(high - mask.box[:2], 0).astype(int)
    return not mask.crop[y1:y2, x1:x2].any()


def _no_words(request: Request) -> _Words:
    """What is said about a given mask in which the model sees no object: nothing."""
    return _Words(
        label_score=None if request.vocabulary is None else 0.0,
        choices={name: vocabulary.nothing for name, vocabulary in request.choices.items()},
    )


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))  # exp overflows above 709


def _gives_mask(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.cropped is not None


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
