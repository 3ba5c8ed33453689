"""The steps of a request, which turn an image and prompts into regions with texts."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from pam_labeling.cache import DeviceCache
from pam_labeling.jobs import Emit, Step
from pam_labeling.masks import remove_small_components
from pam_labeling.media import LoadedImage
from pam_labeling.regions import Annotation, Provenance, Refusal, Region, Scores
from pam_labeling.request import Request
from pam_labeling.version import VERSION
from pam_labeling.words import Words, no_words, words_in_steps
from pam_labeling.work import Encode, Prefill
from pam_model import (
    PAM,
    CroppedMask,
    ImageFeatures,
    PreparedImage,
    Prompt,
    RegionContexts,
    Segments,
)
from pam_model.nano.outside import is_outside

_log = logging.getLogger(__name__)

Result = Region | Refusal
Steps = Generator[Step[Result], Any, "T"]

T = TypeVar("T")

PROMPTS_PER_STEP = 64
"""How many prompts are segmented at once; each takes some 10 MB in the decoder."""

_MOST_LOGGED = 100  # different remarks about images

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
        self._logged: set[str] = set()

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
        note = self._note(image, features)
        results: list[Result] = []
        if not request.prompts:
            segments = yield from self._model.everything_in_steps(features, request.everything)
            yield None
            results += yield from self._results(request, features, [None] * len(segments), segments)
        for prompts in _chunks(request.prompts, PROMPTS_PER_STEP):
            segments = self._segment(features, prompts)
            yield None
            results += yield from self._results(request, features, prompts, segments)
        return Annotation(image.size, tuple(results), note)

    def _note(self, image: LoadedImage, features: ImageFeatures) -> str | None:
        """What is to be said about an image. Each remark is logged once, for its first image."""
        remarks = [] if image.note is None else [image.note]
        if self._model.name == "nano" and is_outside(features):
            remarks.append(OUTSIDE)
        for remark in remarks:
            if remark not in self._logged and len(self._logged) < _MOST_LOGGED:
                self._logged.add(remark)
                _log.warning("%r: %s", image.name, remark)
        return "; ".join(remarks) or None

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
        self,
        request: Request,
        features: ImageFeatures,
        prompts: Sequence[Prompt | None],
        segments: Segments,
    ) -> Steps[list[Result]]:
        results: list[Result] = []
        for chunk in _chunks(range(len(segments)), self._regions_per_step):
            part = segments.select(chunk)
            asked = [prompts[index] for index in chunk]
            found = yield from self._chunk(request, features, asked, part)
            for result in found:
                yield Emit(result)
            results += found
        return results

    def _chunk(
        self,
        request: Request,
        features: ImageFeatures,
        prompts: Sequence[Prompt | None],
        segments: Segments,
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
        # A person's mask is never dropped.
        unseen = [i for i, prompt in enumerate(prompts) if i not in seen and _gives_mask(prompt)]
        said = yield from self._answers(request, features, segments, seen, unseen)
        results: list[Result] = []
        for index, (prompt, mask) in enumerate(zip(prompts, masks, strict=True)):
            if index in said:
                results.append(self._region(mask, prompt, scores[index], said[index]))
            elif prompt is not None:  # a click of the grid gets no refusal
                results.append(_refusal(prompt, scores[index], mask))
        return results

    def _region(
        self, mask: CroppedMask, prompt: Prompt | None, scores: Scores, words: Words
    ) -> Region:
        return Region(
            mask,
            replace(scores, label=words.label_score),
            Provenance(self._model.name, VERSION, prompt),
            label=words.label,
            open_label=words.open_label,
            texts=words.texts,
            choices=words.choices,
            embedding=words.embedding,
        )

    def _answers(
        self,
        request: Request,
        features: ImageFeatures,
        segments: Segments,
        seen: Sequence[int],
        unseen: Sequence[int],
    ) -> Steps[dict[int, Words]]:
        """Words, but not for the regions `unseen`, and embeddings by index, from one prefill."""
        said = dict.fromkeys(seen, Words()) | dict.fromkeys(unseen, no_words(request))
        asks = bool(request.questions or request.vocabulary or request.choices)
        read = [*said] if request.embed else [*seen] if asks else []
        if not read:
            return said
        regions = segments.select(read)
        contexts: RegionContexts = yield Prefill(self._model, regions)
        if asks and seen:
            about = contexts if len(seen) == len(read) else contexts.select(range(len(seen)))
            said |= zip(seen, (yield from words_in_steps(self._model, request, about)), strict=True)
        if request.embed:
            vectors = self._model.embed(features, regions, contexts)
            yield None
            for index, vector in zip(read, vectors, strict=True):
                said[index] = replace(said[index], embedding=vector)
        return said


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


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(logit, -60.0), 60.0)))  # exp overflows above 709


def _gives_mask(prompt: Prompt | None) -> bool:
    return prompt is not None and prompt.cropped is not None


def _chunks(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    return (items[start : start + size] for start in range(0, len(items), size))
