"""Pieces of the model's work. The worker joins equal pieces of different jobs into one pass.

Pieces of one `kind` can share a pass; `tokens` is a piece's share of the pass's budget. The stages
follow one another: images are encoded, regions are read (prefill), answers are decoded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from pam_labeling.cache import DeviceCache

if TYPE_CHECKING:  # these load torch, which callers that only name a priority do not need
    from pam_model import (
        PAM,
        GenerationOptions,
        ImageFeatures,
        Language,
        PreparedImage,
        Question,
        RegionContexts,
        Segments,
    )

R = TypeVar("R")


class Work(ABC, Generic[R]):
    """A piece of the model's work whose result is an `R`.

    Attributes:
        stage: the piece's stage. In a batch, earlier stages go first, so that more pieces of later
            ones can be joined.
    """

    stage: ClassVar[int]

    @property
    def kind(self) -> Hashable:
        """Equal for pieces that can share a pass."""
        return type(self)

    @property
    @abstractmethod
    def tokens(self) -> int:
        """How many tokens the model holds at once for this piece."""

    @abstractmethod
    def run(self, pieces: Sequence[Any]) -> Generator[None, None, list[R]]:
        """Do all pieces in one pass; at each yield, other work may go first.

        Args:
            pieces: pieces of one kind, among them this one.

        Returns:
            The result of each piece, as the generator's return value.
        """


@dataclass(frozen=True, eq=False)
class Encode(Work["ImageFeatures"]):
    """Encode an image, unless the cache has its features by then.

    Attributes:
        model: the model.
        cache: where the features are kept.
        key: the image's content key.
        image: the image, resized for the encoder.
    """

    model: PAM
    cache: DeviceCache[ImageFeatures]
    key: str
    image: PreparedImage
    stage = 0

    @property
    def tokens(self) -> int:
        return self.model.image_tokens

    def run(self, pieces: Sequence[Encode]) -> Generator[None, None, list[ImageFeatures]]:
        # Several clicks on one image may be in one pass; the image is encoded once.
        found = {
            piece.key: features
            for piece in pieces
            if (features := self.cache.peek(piece.key)) is not None
        }
        new = {piece.key: piece.image for piece in pieces if piece.key not in found}
        waiting = iter(new.items())
        while some := dict(islice(waiting, self.model.images_per_pass)):
            for key, features in zip(some, self.model.encode_batch([*some.values()]), strict=True):
                self.cache.put(key, features)
                found[key] = features
            yield
        return [found[piece.key] for piece in pieces]


@dataclass(frozen=True, eq=False)
class Prefill(Work["RegionContexts"]):
    """Let the language model read regions once, for all questions about them.

    Attributes:
        model: the model.
        segments: N regions.
    """

    model: PAM
    segments: Segments
    stage = 1

    @property
    def tokens(self) -> int:
        return len(self.segments) * self.model.region_tokens

    def run(self, pieces: Sequence[Prefill]) -> Generator[None, None, list[RegionContexts]]:
        parts = [piece.segments for piece in pieces]
        contexts = self.model.prefill(parts[0] if len(parts) == 1 else parts[0].concatenate(parts))
        yield from ()
        return contexts.split([len(part) for part in parts])


@dataclass(frozen=True, eq=False)
class Describe(Work[list[list[str]]]):
    """Answer every question about every region; the result is `[region][question]`.

    Attributes:
        model: the model.
        contexts: N regions, as the language model has read them.
        questions: the questions about each region.
        options: how to generate.
    """

    model: PAM
    contexts: RegionContexts
    questions: Sequence[Question]
    options: GenerationOptions
    stage = 2

    @property
    def kind(self) -> Hashable:
        return Describe, self.contexts.tokens, self.options

    @property
    def tokens(self) -> int:
        return len(self.contexts) * len(self.questions) * self.contexts.tokens

    def run(self, pieces: Sequence[Describe]) -> Generator[None, None, list[list[list[str]]]]:
        asked = [piece.questions for piece in pieces for _ in range(len(piece.contexts))]
        answers = yield from self.model.describe_in_steps(_join(pieces), asked, self.options)
        return _shares(answers, pieces)


@dataclass(frozen=True, eq=False)
class Classify(Work["npt.NDArray[np.float32]"]):
    """The fit of a list of phrases for every region; the result is float32 `(N, phrases)`.

    Attributes:
        model: the model.
        contexts: N regions, as the language model has read them.
        phrases: the phrases to compare.
        language: the language of the question.
    """

    model: PAM
    contexts: RegionContexts
    phrases: tuple[str, ...]
    language: Language
    stage = 2

    @property
    def kind(self) -> Hashable:
        return Classify, self.contexts.tokens, self.phrases, self.language

    @property
    def tokens(self) -> int:
        return len(self.contexts) * self.contexts.tokens

    def run(
        self, pieces: Sequence[Classify]
    ) -> Generator[None, None, list[npt.NDArray[np.float32]]]:
        scores = yield from self.model.classify_in_steps(
            _join(pieces), self.phrases, language=self.language, score="fit"
        )
        return _shares(scores, pieces)


def _join(pieces: Sequence[Describe] | Sequence[Classify]) -> RegionContexts:
    parts = [piece.contexts for piece in pieces]
    return parts[0] if len(parts) == 1 else parts[0].concatenate(parts)


def _shares(rows: Any, pieces: Sequence[Describe] | Sequence[Classify]) -> list[Any]:
    """Cut the rows of all regions into one part for each piece, in their order."""
    bounds = accumulate((len(piece.contexts) for piece in pieces), initial=0)
    return [rows[start:end] for start, end in pairwise(bounds)]
