"""What callers ask of the annotator, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pam_labeling.media import LoadedImage
from pam_labeling.regions import Annotation
from pam_labeling.vocabulary import Vocabulary
from pam_model import AutomaticMaskOptions, GenerationOptions, Prompt, Question, Task
from pam_model.renamed import renamed_argument


@renamed_argument("picture", "image")
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
        key: whatever the caller knows the request by; its outcome gives it back.
    """

    image: LoadedImage | Path | str | bytes
    prompts: tuple[Prompt, ...] = ()
    questions: tuple[Question, ...] = (Question(Task.LABEL),)
    vocabulary: Vocabulary | None = None
    everything: AutomaticMaskOptions = field(default_factory=AutomaticMaskOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    choices: Mapping[str, Vocabulary] = field(default_factory=dict)
    key: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompts", tuple(self.prompts))
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))
        object.__setattr__(self, "questions", tuple(dict.fromkeys(self.questions)))


@dataclass(frozen=True)
class LazyRequest:
    """A request that is made when its turn comes near, by a thread that reads images.

    Attributes:
        key: whatever the caller knows the request by; its outcome gives it back.
        make: makes the request: downloads an image, turns labels into prompts. Several threads
            call such functions at the same time. What it raises is the outcome's error.
    """

    key: Any
    make: Callable[[], Request]


@dataclass(frozen=True)
class Outcome:
    """What became of one request of a batch: an annotation or an error, never both.

    Attributes:
        request: the request; None if a `LazyRequest` could not be made.
        annotation: what was found.
        error: why nothing was.
        key: of the request.
    """

    request: Request | None
    annotation: Annotation | None = None
    error: Exception | None = None
    key: Any = None
