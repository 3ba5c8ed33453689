"""Choose a region's label from a project's own list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pam_labeling.errors import VocabularyError
from pam_labeling.validation import as_utf8
from pam_model.tasks import Language


@dataclass(frozen=True)
class Choice:
    """The label chosen for one region.

    Attributes:
        label: the likeliest label, or None if its score is below the threshold.
        score: the likeliest label's score, chosen or not.
        scores: float32 `(labels,)`, one score for each label of the list; they add up to 1.
    """

    label: str | None
    score: float
    scores: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Vocabulary:
    """A project's own labels.

    Attributes:
        labels: the labels as the project spells them, each once.
        language: the language of the question that they answer.
        threshold: the least score, from 0 to 1; a region whose best score is lower gets no label.
        phrases: the words that the model scores for a label, instead of the label itself:
            "Airplane" for "cls_07", or several names of one class. Read-only.

    Raises:
        VocabularyError: there is no label; a label is empty, repeated or not valid UTF-8; there are
            phrases for a label outside the list; or the threshold is not from 0 to 1.
    """

    labels: tuple[str, ...]
    language: Language = "en"
    threshold: float = 0.0
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Copies: callers may pass lists and dictionaries that they change later.
        object.__setattr__(self, "labels", tuple(self.labels))
        phrases = {label: tuple(phrases) for label, phrases in self.phrases.items()}
        object.__setattr__(self, "phrases", MappingProxyType(phrases))
        if not self.labels:
            raise VocabularyError("the label list is empty")
        seen: set[str] = set()
        for index, label in enumerate(self.labels):
            if not label.strip():
                raise VocabularyError(f"label {index + 1} of the list is empty")
            if label != as_utf8(label):
                raise VocabularyError(
                    f"label {index + 1} of the list, {label!r}, is not valid UTF-8"
                )
            if label in seen:
                raise VocabularyError(f"the label {label!r} is in the list twice")
            seen.add(label)
        self._check_phrases()
        if not 0 <= self.threshold <= 1:
            raise VocabularyError(f"the threshold must be from 0 to 1, not {self.threshold}")

    def _check_phrases(self) -> None:
        known = set(self.labels)
        for label, phrases in self.phrases.items():
            if label not in known:
                raise VocabularyError(f"there are phrases for {label!r}, which is not in the list")
            if not phrases:
                raise VocabularyError(f"the list of phrases for {label!r} is empty: leave it out")
            for phrase in phrases:
                if not phrase.strip() or phrase != as_utf8(phrase):
                    raise VocabularyError(
                        f"the phrase {phrase!r} for {label!r} is empty or not valid UTF-8"
                    )

    def phrases_of(self, label: str) -> tuple[str, ...]:
        """The phrases that the model scores for a label of the list."""
        return self.phrases.get(label, (label,))

    @property
    def spoken(self) -> tuple[str, ...]:
        """All phrases that the model scores, each once; they are the columns for `choose`."""
        return tuple(dict.fromkeys(p for label in self.labels for p in self.phrases_of(label)))

    def choose(self, log_likelihoods: npt.NDArray[np.floating]) -> list[Choice]:
        """Choose for each region from `(regions, phrases)` mean log-likelihoods per token.

        The columns are those of `spoken`. A label is as likely as the likeliest of its phrases. Its
        score is its share (softmax) among the list. Among equal labels, the first wins.

        Raises:
            VocabularyError: the array has another shape, or a region has no finite number.
        """
        spoken = self.spoken
        values = np.asarray(log_likelihoods, dtype=np.float64)  # [regions, phrases]
        if values.ndim != 2 or values.shape[1] != len(spoken):
            raise VocabularyError(
                f"the log-likelihoods of {len(spoken)} phrases must have the shape (regions, "
                f"{len(spoken)}), not {values.shape}"
            )
        if not np.isfinite(values.max(axis=1)).all():
            raise VocabularyError("the model gave log-likelihoods that are not finite numbers")
        if self.phrases:
            column = {phrase: index for index, phrase in enumerate(spoken)}
            # [regions, labels]: each label takes its best phrase.
            values = np.stack(
                [
                    values[:, [column[phrase] for phrase in self.phrases_of(label)]].max(axis=1)
                    for label in self.labels
                ],
                axis=1,
            )
        # [regions, labels]; minus the maximum, so that exp cannot underflow to 0 everywhere.
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        return [self._choose(row) for row in shares]

    def _choose(self, shares: npt.NDArray[np.float64]) -> Choice:
        best = int(shares.argmax())
        score = float(shares[best])
        label = self.labels[best] if score >= self.threshold else None
        return Choice(label, score, shares.astype(np.float32))
