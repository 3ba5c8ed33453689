"""What callers ask of the annotator, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from pam_model import AutomaticMaskOptions, GenerationOptions, Question, Task

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pam_labeling.media import LoadedImage
    from pam_labeling.regions import Annotation
    from pam_labeling.vocabulary import Vocabulary
    from pam_model import Prompt


@dataclass(frozen=True)
class Request:
    """What to do with one image.

    Attributes:
        image: the image, the path of its file, or the file's content.
        prompts: what to segment, in pixels of the upright image; none: find everything.
        questions: what to say about each region; none: only masks (and labels of the vocabulary).
        vocabulary: the project's own labels to choose from, or None for open labels.
        everything: how to find everything.
        generation: how to generate the answers.
        choices: further lists of the project, by any name; one of each is chosen for every region.
            Read-only.
    """

    image: LoadedImage | Path | str | bytes
    prompts: tuple[Prompt, ...] = ()
    questions: tuple[Question, ...] = (Question(Task.LABEL),)
    vocabulary: Vocabulary | None = None
    everything: AutomaticMaskOptions = field(default_factory=AutomaticMaskOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    choices: Mapping[str, Vocabulary] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))
        object.__setattr__(self, "questions", tuple(dict.fromkeys(self.questions)))


@dataclass(frozen=True)
class Outcome:
    """What became of one request of a batch: an annotation or an error, never both.

    Attributes:
        request: the request.
        annotation: what was found.
        error: why nothing was.
    """

    request: Request
    annotation: Annotation | None = None
    error: Exception | None = None
