"""From an image and prompts to annotated regions: the model's work, cut into steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pam_labeling.masks import without_specks
from pam_labeling.regions import Annotation, Provenance, Refusal, Region, Scores
from pam_labeling.version import VERSION
from pam_model import Task, split_definition

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from pam_labeling.cache import FeatureCache
    from pam_labeling.media import LoadedImage
    from pam_labeling.request import Request
    from pam_labeling.vocabulary import Choice, Vocabulary
    from pam_model import (
        PAM,
        CroppedMask,
        ImageFeatures,
        Language,
        Prompt,
        Question,
        RegionContexts,
        Segments,
    )

T = TypeVar("T")

_PROMPTS_PER_STEP = 64  # the region features of one prompt take some 10 MB in the decoder


class Pipeline:
    """Runs requests on a model. Not thread-safe.

    Args:
        model: PAM.
        cache: where image features are kept between requests.
        regions_per_step: how many regions the language model describes in one batch.
    """

    def __init__(self, model: PAM, cache: FeatureCache, *, regions_per_step: int = 16) -> None:
        if regions_per_step < 1:
            raise ValueError(f"regions_per_step is a number from 1, not {regions_per_step}")
        self._model = model
        self._cache = cache
        self._regions_per_step = regions_per_step

    def annotate(
        self, request: Request, image: LoadedImage, deadline: float | None = None
    ) -> Generator[None, None, Annotation]:
        """The work of one request; others may go first at each yield.

        Args:
            request: what to do.
            image: the request's image, read; its prompts were checked against it.
            deadline: `time.monotonic()` at which the model gives up, or None.

        Returns:
            The annotation, as the generator's return value.

        Raises:
            TimeoutError: the deadline passed while the model was writing.
        """
        features = self._features(image)
        yield
        results: list[Region | Refusal] = []
        if not request.prompts:
            segments = yield from self._model.everything_in_steps(features, request.everything)
            yield
            results += yield from self._results(request, [None] * len(segments), segments, deadline)
        for prompts in _chunks(request.prompts, _PROMPTS_PER_STEP):
            segments = self._model.segment(features, prompts)
            yield
            results += yield from self._results(request, prompts, segments, deadline)
        return Annotation(image.size, tuple(results))

    def _features(self, image: LoadedImage) -> ImageFeatures:
        features = self._cache.get(image.key)
        if features is None:
            features = self._model.encode(image.pixels)
            self._cache.put(image.key, features)
        return features

    def _results(
        self,
        request: Request,
        prompts: Sequence[Prompt | None],
        segments: Segments,
        deadline: float | None,
    ) -> Generator[None, None, list[Region | Refusal]]:
        results: list[Region | Refusal] = []
        for chunk in _chunks(range(len(segments)), self._regions_per_step):
            part = segments.select(chunk)
            results += self._chunk(request, [prompts[index] for index in chunk], part, deadline)
            yield
        return results

    def _chunk(
        self,
        request: Request,
        prompts: Sequence[Prompt | None],
        segments: Segments,
        deadline: float | None,
    ) -> list[Region | Refusal]:
        """A result for each prompt; none for what was found without one and is not there."""
        masks = [
            segments.cropped(index)
            if _gives_mask(prompt)
            else without_specks(segments.cropped(index))
            for index, prompt in enumerate(prompts)
        ]
        there = [
            index
            for index, mask in enumerate(masks)
            if segments.object_scores[index] > 0 and not mask.is_empty
        ]
        words = dict(
            zip(there, self._words(request, segments.select(there), deadline), strict=True)
        )
        results: list[Region | Refusal] = []
        for index, (prompt, scores) in enumerate(zip(prompts, _scores(segments), strict=True)):
            if index in words:
                results.append(self._region(masks[index], prompt, scores, words[index]))
            elif prompt is not None:
                results.append(
                    _refusal(prompt, scores, there=bool(segments.object_scores[index] > 0))
                )
        return results

    def _region(
        self, mask: CroppedMask, prompt: Prompt | None, scores: Scores, words: _Words
    ) -> Region:
        return Region(
            mask,
            replace(scores, label=words.label_score),
            Provenance(self._model.name, VERSION, prompt),
            label=words.label,
            texts=words.texts,
            choices=words.choices,
        )

    def _words(self, request: Request, segments: Segments, deadline: float | None) -> list[_Words]:
        """The words for each region: one prefill, shared by all questions and labels."""
        questions = request.questions
        if len(segments) == 0 or not (questions or request.vocabulary or request.choices):
            return [_Words()] * len(segments)
        contexts = self._model.prefill(segments)
        answers: list[list[str]] = [[]] * len(segments)
        if questions:
            options = replace(
                request.generation, deadline=_sooner(request.generation.deadline, deadline)
            )
            answers = self._model.describe(contexts, questions, options)
        words = [_read_answers(questions, texts) for texts in answers]
        for name, choices in self._choices(contexts, request, deadline):
            words = [
                said.with_choice(name, choice) for said, choice in zip(words, choices, strict=True)
            ]
        return words

    def _choices(
        self, contexts: RegionContexts, request: Request, deadline: float | None
    ) -> Iterator[tuple[str | None, list[Choice]]]:
        """What is chosen of each list, by its name, or None for the labels.

        Phrases that lists of one language share are scored once.
        """
        lists: list[tuple[str | None, Vocabulary]] = [*request.choices.items()]
        if request.vocabulary is not None:
            lists.append((None, request.vocabulary))
        for language in dict.fromkeys(vocabulary.language for _, vocabulary in lists):
            alike = [entry for entry in lists if entry[1].language == language]
            column: dict[str, int] = {}
            for _, vocabulary in alike:
                for phrase in vocabulary.spoken:
                    column.setdefault(phrase, len(column))
            scores = self._model.classify(
                contexts, list(column), language=language, deadline=deadline
            )
            for name, vocabulary in alike:
                columns = [column[phrase] for phrase in vocabulary.spoken]
                yield name, vocabulary.choose(scores[:, columns])


@dataclass(frozen=True)
class _Words:
    label: str | None = None
    label_score: float | None = None
    texts: Mapping[tuple[Task, Language], str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)

    def with_choice(self, name: str | None, choice: Choice) -> _Words:
        if name is None:
            return replace(self, label=choice.label, label_score=choice.score)
        return replace(self, choices={**self.choices, name: choice})


def _read_answers(questions: Sequence[Question], answers: Sequence[str]) -> _Words:
    texts: dict[tuple[Task, Language], str] = {}
    labels: list[str] = []
    implied: list[str] = []
    for (task, language), answer in zip(questions, answers, strict=True):
        text = answer.strip()
        if task is Task.DEFINITION:
            label, text = split_definition(text)
            implied.append(label)
        elif task is Task.LABEL:
            labels.append(text)
        texts[task, language] = text
    return _Words(label=next((label for label in labels + implied if label), None), texts=texts)


def _scores(segments: Segments) -> list[Scores]:
    if not (np.isfinite(segments.iou_scores).all() and np.isfinite(segments.object_scores).all()):
        raise ArithmeticError(
            "the model's scores are not finite numbers: the checkpoint is damaged, or float32 is "
            "needed instead of float16"
        )
    return [
        Scores(iou=min(max(float(iou), 0.0), 1.0), object=_sigmoid(float(logit)))
        for iou, logit in zip(segments.iou_scores, segments.object_scores, strict=True)
    ]


def _refusal(prompt: Prompt, scores: Scores, *, there: bool) -> Refusal:
    if there:
        reason = "something is here, but its mask is empty at the image's size: draw a larger box"
        return Refusal(prompt, reason, scores)
    reason = (
        f"the model sees no object here (probability {scores.object:.2f}): "
        "point inside the object, or draw a box around it"
    )
    return Refusal(prompt, reason, scores)


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))


def _gives_mask(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.cropped is not None


def _sooner(*deadlines: float | None) -> float | None:
    return min((deadline for deadline in deadlines if deadline is not None), default=None)


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
