"""Requests to the annotator, and their outcomes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pam_labeling.errors import ImageError, InputError
from pam_labeling.media import FROM_MEMORY, LoadedImage
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

    Raises:
        InputError: a value has another type; the message names what belongs there.
    """

    image: LoadedImage | os.PathLike[str] | str | bytes
    prompts: tuple[Prompt, ...] = ()
    questions: tuple[Question, ...] = (Question(Task.LABEL),)
    vocabulary: Vocabulary | None = None
    everything: AutomaticMaskOptions = field(default_factory=AutomaticMaskOptions)
    generation: GenerationOptions = field(default_factory=GenerationOptions)
    choices: Mapping[str, Vocabulary] = field(default_factory=dict)
    embed: bool = False
    key: Any = field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.image, (LoadedImage, os.PathLike, str, bytes)):
            raise ImageError(
                "an image is a path, the bytes of a file or a LoadedImage, not "
                f"{type(self.image).__name__}; {FROM_MEMORY}"
            )
        _check_prompts(self.prompts)
        _check_all(self.questions, "questions", Question, "Question(Task.LABEL)")
        for name, known, example in (
            ("vocabulary", (Vocabulary, type(None)), 'Vocabulary(("cat", "dog"))'),
            ("everything", AutomaticMaskOptions, "AutomaticMaskOptions()"),
            ("generation", GenerationOptions, "GenerationOptions()"),
            ("choices", Mapping, '{"colour": Vocabulary(("red", "blue"))}'),
        ):
            if not isinstance(value := getattr(self, name), known):
                raise InputError(f"{name} must be like {example}, not {value!r}")
        _check_all(self.choices.values(), "choices", Vocabulary, 'Vocabulary(("red", "blue"))')
        # Copies: callers may pass lists that they change while the request waits.
        object.__setattr__(self, "prompts", tuple(self.prompts))
        object.__setattr__(self, "choices", MappingProxyType(dict(self.choices)))
        # A question that is asked twice is answered once.
        object.__setattr__(self, "questions", tuple(dict.fromkeys(self.questions)))


def _check_prompts(prompts: object) -> None:
    if prompts == ():
        return
    # Whoever has a prompt has loaded torch already.
    from pam_model.prompts import Prompt  # noqa: PLC0415

    _check_all(prompts, "prompts", Prompt, "Prompt.from_points([(120, 80)])")


def _check_all(values: object, name: str, kind: type, example: str) -> None:
    """Refuse what is not a list of objects of this class."""
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputError(f"{name} must be a list such as [{example}], not {values!r}")
    for value in values:
        if not isinstance(value, kind):
            raise InputError(f"each of the {name} must be like {example}, not {value!r}")


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
