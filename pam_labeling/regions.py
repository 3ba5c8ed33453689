"""Annotated regions and refusals, the types that platforms translate to their own.

Boxes and masks are in pixels of the **upright** image (EXIF orientation applied). x runs right and
y down from the top-left corner of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from pam_labeling.errors import MaskError
from pam_labeling.masks import check_mask
from pam_labeling.vocabulary import Choice
from pam_model.cropped_mask import CroppedMask
from pam_model.errors import PromptError
from pam_model.prompts import Prompt
from pam_model.tasks import Language, Task

__all__ = ["Annotation", "Prompt", "PromptError", "Provenance", "Refusal", "Region", "Scores"]


@dataclass(frozen=True)
class Scores:
    """How sure the model is, each from 0 to 1.

    Attributes:
        iou: the overlap with the true mask, as the segmenter predicts it.
        object: the probability that there is an object at the prompt.
        label: how well the best of the project's own labels fits, chosen or not, see
            `pam_labeling.vocabulary.Choice`; None for an open label.
    """

    iou: float
    object: float
    label: float | None = None

    @property
    def sees_object(self) -> bool:
        """Whether there is an object at the prompt.

        If not, the result is a refusal; only a mask that a person gave stays a region, without
        label and texts, whose labels all score 0.
        """
        return self.object > 0.5


@dataclass(frozen=True)
class Provenance:
    """Which model and prompt made a region.

    Attributes:
        model: the checkpoint's name.
        version: the version of pam-labeling.
        prompt: the prompt, or None if everything was looked for.
    """

    model: str
    version: str
    prompt: Prompt | None = None


@dataclass(frozen=True, eq=False)
class Region:
    """One object of an image: its mask and what is said about it. Build it with `from_mask`.

    Attributes:
        cropped: the mask, not empty; `size`, `box`, `crop`, `mask` and `area` come from it.
        scores: see `Scores`.
        provenance: see `Provenance`.
        label: an open label, or one of the project's own. None if no label was asked for, no label
            of the project fits well enough, or the model sees no object in a given mask.
        open_label: what the model itself calls the object, where `label` is, or was to be, one of
            the project's own and says something else; else None.
        texts: the answers by (task, language). A definition is kept without its label, which
            becomes `label` if no other was asked for.
        choices: the label chosen from each further list of the request, by the list's name.
        embedding: float32 `(dimensions,)` of length 1, see `PAM.embed`; None if none was asked for.
    """

    cropped: CroppedMask
    scores: Scores
    provenance: Provenance
    label: str | None = None
    texts: Mapping[tuple[Task, Language], str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    open_label: str | None = None
    embedding: npt.NDArray[np.float32] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "texts", MappingProxyType(dict(self.texts)))
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))

    @classmethod
    def from_mask(
        cls,
        mask: npt.NDArray[np.bool_],
        scores: Scores,
        provenance: Provenance,
        *,
        label: str | None = None,
        texts: Mapping[tuple[Task, Language], str] | None = None,
        choices: Mapping[str, Choice] | None = None,
        open_label: str | None = None,
    ) -> Region:
        """A region with this mask, bool `(height, width)` of the whole image.

        Raises:
            MaskError: the mask is empty, or not a two-dimensional bool array.
        """
        check_mask(mask)
        cropped = CroppedMask.from_mask(mask)
        if cropped.is_empty:
            raise MaskError("an empty mask is no region")
        return cls(cropped, scores, provenance, label, texts or {}, choices or {}, open_label)

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)` of the image in pixels."""
        return self.cropped.size

    @property
    def box(self) -> tuple[int, int, int, int]:
        """`(x1, y1, x2, y2)` in pixels, tight around the mask; x2 and y2 are exclusive."""
        return self.cropped.box

    @property
    def crop(self) -> npt.NDArray[np.bool_]:
        """The mask inside the box, bool `(y2 - y1, x2 - x1)`, read-only."""
        return self.cropped.crop

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask of the whole image, bool `(height, width)`; a new array each time."""
        return self.cropped.mask

    @property
    def area(self) -> int:
        """The number of pixels in the mask."""
        return self.cropped.area


@dataclass(frozen=True)
class Refusal:
    """A prompt without a region, because the model sees no object there.

    Attributes:
        prompt: the prompt.
        reason: a sentence for the person who gave the prompt.
        scores: the segmenter's scores; `label` is None.
    """

    prompt: Prompt
    reason: str
    scores: Scores


@dataclass(frozen=True)
class Annotation:
    """Everything that was found in one image.

    Attributes:
        size: `(width, height)` of the upright image in pixels.
        results: one for each prompt, in their order; without prompts, the regions found, those
            with the best score first.
        note: what people must know about the answers; None: nothing.
    """

    size: tuple[int, int]
    results: tuple[Region | Refusal, ...]
    note: str | None = None

    @property
    def regions(self) -> tuple[Region, ...]:
        """The regions among the results, in their order."""
        return tuple(result for result in self.results if isinstance(result, Region))

    @property
    def refusals(self) -> tuple[Refusal, ...]:
        """The prompts without a region, in their order."""
        return tuple(result for result in self.results if isinstance(result, Refusal))
