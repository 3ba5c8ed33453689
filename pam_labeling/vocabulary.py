"""Choose a region's label from a project's own list, or none of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pam_labeling.errors import VocabularyError
from pam_labeling.spelling import ends_in, forms, language_of, words
from pam_labeling.validation import as_utf8
from pam_model.tasks import Language

LABEL_FIT = 0.05
"""The default of `Vocabulary.label_fit`: 20 times less likely than the model's own words."""
_SURE = 0.5  # e^fit from which the model's own answer is not needed


def replaced(threshold: str, label_fit: str = "label_fit") -> str:
    """What is said to whoever sets a threshold of version 0.1, by the names of both options."""
    return (
        f"{label_fit} replaces {threshold}: a region gets no label if the best one fits less well "
        f"than that, from 0 (always a label) to 1; {LABEL_FIT} by default. A threshold was a share "
        "of the list, which means something else: choose the number anew."
    )


@dataclass(frozen=True)
class Choice:
    """The label chosen for one region.

    Attributes:
        label: the label that fits best, or None where its score is under `label_fit`.
        score: the score of the label that fits best, chosen or not.
        scores: float32 `(labels,)`, one for each label of the list.
        none: the score of "none of these"; it and `scores` add up to 1.
    """

    label: str | None
    score: float
    scores: npt.NDArray[np.float32]
    none: float


@dataclass(frozen=True)
class Vocabulary:
    """A project's own labels.

    The fit of a label tells how near it is to the model's own words: 0 where they are the same, ln
    of how much less likely it is elsewhere (`pam_model.LabelScore`). A label fits as well as the
    best of its phrases and of their spellings: capitals, articles and plurals make no difference.

    Attributes:
        labels: the labels as the project spells them, each once.
        language: the language of the question that they answer; None: that of most phrases.
        label_fit: from 0 to 1; a region whose best score is lower gets no label. It means the same
            for lists of any length. 0: always a label.
        phrases: what the model is asked about a label, if not its spelling in the project:
            "Airplane" for "cls_07", or several names of one class. Read-only.

    Raises:
        VocabularyError: there is no label, a label is empty, is there twice or is not valid UTF-8,
            there are phrases for a label outside the list, or `label_fit` is not from 0 to 1.
    """

    labels: tuple[str, ...]
    language: Language | None = None
    label_fit: float = field(default=LABEL_FIT, kw_only=True)
    phrases: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)
    threshold: InitVar[None] = field(default=None, kw_only=True)

    def __post_init__(self, threshold: object) -> None:
        if threshold is not None:
            raise VocabularyError(replaced("threshold"))
        given: object = self.labels
        if isinstance(given, str):  # it would be a list of its letters
            raise VocabularyError(f'labels must be a list such as ("cat", "dog"), not {given!r}')
        # Frozen: callers may pass lists and dictionaries that they change later.
        object.__setattr__(self, "labels", tuple(self.labels))
        phrases = {label: tuple(phrases) for label, phrases in self.phrases.items()}
        object.__setattr__(self, "phrases", MappingProxyType(phrases))
        if not self.labels:
            raise VocabularyError("the label list is empty")
        seen: set[str] = set()
        for index, label in enumerate(self.labels):
            if not isinstance(label, str):
                raise VocabularyError(f"label {index + 1} of the list is no text: {label!r}")
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
        if not 0 <= self.label_fit <= 1:
            raise VocabularyError(f"label_fit is from 0 to 1, not {self.label_fit}")

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

    @cached_property
    def asked_in(self) -> Language:
        """The language of the question."""
        if self.language is not None:
            return self.language
        return language_of(phrase for label in self.labels for phrase in self.phrases_of(label))

    @cached_property
    def alike(self) -> tuple[tuple[str, str], ...]:
        """Pairs of labels that the model cannot tell apart, such as "Cup" and "cups".

        Both fit alike, so each gets half of the score, and the first one is chosen.
        """
        first: dict[str, str] = {}  # the first label with a spelling, without capitals
        pairs: dict[tuple[str, str], None] = {}
        for label, spelled in zip(self.labels, self._forms, strict=True):
            for form in map(str.casefold, spelled):
                if (other := first.setdefault(form, label)) != label:
                    pairs[other, label] = None
        return tuple(pairs)

    @cached_property
    def spoken(self) -> tuple[str, ...]:
        """All spellings that the model scores, each once: the columns that `choose` takes."""
        return tuple(dict.fromkeys(form for spelled in self._forms for form in spelled))

    @cached_property
    def _forms(self) -> tuple[tuple[str, ...], ...]:
        """The spellings of each label."""
        return tuple(
            tuple(
                form for phrase in self.phrases_of(label) for form in forms(phrase, self.asked_in)
            )
            for label in self.labels
        )

    @cached_property
    def _columns(self) -> tuple[list[int], ...]:
        """The places of each label's spellings in `spoken`."""
        column = {form: index for index, form in enumerate(self.spoken)}
        return tuple([column[form] for form in spelled] for spelled in self._forms)

    @property
    def nothing(self) -> Choice:
        """The choice where there is no object: none of the labels."""
        return Choice(None, 0.0, np.zeros(len(self.labels), dtype=np.float32), 1.0)

    def unsure(self, fits: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """For which regions `choose` needs the model's own answer: bool `(regions,)`.

        Args:
            fits: as for `choose`.

        Raises:
            VocabularyError: as `choose` does.
        """
        best: npt.NDArray[np.float64] = self._label_fits(fits).max(axis=1)
        return np.exp(best) < _SURE

    def choose(
        self, fits: npt.NDArray[np.floating], answers: Sequence[str | None] = ()
    ) -> list[Choice]:
        """Choose for each region.

        Where no label fits well, the longest label that the model's own answer ends in fits wholly
        ("ring", if the model says "yellow ring"). The score of a label is e^fit, divided by 1 plus
        the e^fit of all labels but the best. Of equal labels the first wins.

        Args:
            fits: `(regions, spellings)`, of `PAM.classify(..., score="fit")`; the columns are those
                of `spoken`.
            answers: the model's own label for each region in the language `asked_in`, or None; only
                those of `unsure` regions are read.

        Raises:
            VocabularyError: the array has another shape, or a region has no finite number.
        """
        values = self._label_fits(fits)  # [regions, labels]
        for row, answer in enumerate(answers):
            if answer is not None and np.exp(values[row].max()) < _SURE:
                matches = [self._ending(answer, label) for label in self.labels]
                if max(matches):
                    values[row, int(np.argmax(matches))] = 0.0
        return [self._choose(row) for row in values]

    def says(self, label: str | None, answer: str) -> bool:
        """Whether the model's own answer is a label of the list and no more."""
        if label is None:
            return False
        said = len(words(answer, self.asked_in))
        return said > 0 and self._ending(answer, label) == said

    def _ending(self, answer: str, label: str) -> int:
        return max(ends_in(answer, phrase, self.asked_in) for phrase in self.phrases_of(label))

    def _label_fits(self, fits: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The fit of each label, float64 `(regions, labels)`: that of its best spelling."""
        values = np.asarray(fits, dtype=np.float64)  # [regions, spellings]
        if values.ndim != 2 or values.shape[1] != len(self.spoken):
            count = len(self.spoken)
            raise VocabularyError(
                f"{count} spellings need (regions, {count}) fits, not {values.shape}"
            )
        if not np.isfinite(values.max(axis=1)).all():
            raise VocabularyError("the model gave fits that are not finite numbers")
        return np.stack([values[:, own].max(axis=1) for own in self._columns], axis=1)

    def _choose(self, fits: npt.NDArray[np.float64]) -> Choice:
        best = int(fits.argmax())  # of the fits: all e^fit may be 0
        weights = np.exp(fits)  # [labels], each from 0 to 1
        total = 1 + weights.sum() - weights[best]
        scores = weights / total
        score = float(scores[best])
        label = self.labels[best] if score >= self.label_fit else None
        none = float((1 - weights[best]) / total)
        return Choice(label, score, scores.astype(np.float32), none)
