"""Requests to the annotator, and their outcomes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pam_labeling.media import LoadedImage
from pam_labeling.vocabulary import Vocabulary
from pam_model import AutomaticMaskOptions, GenerationOptions, Question, Task
from pam_model.renamed import renamed_argument

if TYPE_CHECKING:  # these load torch, and a request does not need it
    from pam_labeling.regions import Annotation
    from pam_model import Prompt


@renamed_argument("picture", "image")
@dataclass(frozen=True)
class Request:
    """A request to segment and describe regions of one image.

    Attributes:
        image: the image, the path of its file, or the file's content.
        prompts: what to segment, in pixels of the upright image. Without prompts, everything is
            looked for.
        questions: what to ask about each region. Without questions, regions get only masks and
            labels of the vocabulary.
        vocabulary: the project's own labels to choose from, or None for open labels.
        everything: how to find everything, if there are no prompts.
        generation: how to generate the answers.
        choices: further lists of the project, by name; each region gets a label of each list.
            Read-only.
        embed: whether each region gets an embedding.
        key: the caller's own name for the request; its outcome has the same key.
    """

    image: LoadedImage | Path | str | bytes
    prompts: tuple[Prompt, ...] = ()
    questions: tuple[Question, ...] = (Question(Task.LABEL),)
    vocabulary: Vocabulary | None = None
    everything: AutomaticMaskOptions = field(default_factory=AutomaticMaskOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    choices: Mapping[str, Vocabulary] = field(default_factory=dict)
    embed: bool = False
    key: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        # Copies: callers may pass lists that they change while the request waits.
        object.__setattr__(self, "prompts", tuple(self.prompts))
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))
        # A question that is asked twice is answered once.
        object.__setattr__(self, "questions", tuple(dict.fromkeys(self.questions)))


@dataclass(frozen=True)
class LazyRequest:
    """A request that a reader thread makes shortly before its turn.

    Attributes:
        key: the caller's own name for the request; its outcome has the same key.
        make: makes the request, for example from an image that it downloads. Several threads call
            such functions at the same time. An exception becomes the outcome's error.
    """

    key: Any
    make: Callable[[], Request]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one request of a batch: an annotation or an error, never both.

    Attributes:
        request: the request; None if a `LazyRequest` could not be made.
        annotation: what was found.
        error: why there is no annotation.
        key: the request's key.
    """

    request: Request | None
    annotation: Annotation | None = None
    error: Exception | None = None
    key: Any = None
