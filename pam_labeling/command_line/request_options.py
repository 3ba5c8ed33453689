"""Make the request for every image from the options of the command line. No torch is needed."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pam_labeling.command_line.exit_codes import CommandError
from pam_labeling.command_line.prompt_options import parse_prompts
from pam_labeling.documents import prompt_entry
from pam_labeling.errors import VocabularyError
from pam_labeling.request import Request
from pam_labeling.settings import Settings
from pam_labeling.vocabulary import LABEL_FIT, Vocabulary
from pam_model.options import AutomaticMaskOptions, GenerationOptions
from pam_model.tasks import LANGUAGES, Language, Question, Task

_FILE = "@"  # what the value of --labels begins with if it names a file


@dataclass(frozen=True)
class QuestionOptions:
    """The options for texts about every region, as written on the command line.

    Attributes:
        tasks: comma-separated; None means label and brief, or only brief if there is a label list.
        labels: see `parse_labels`; None for open labels.
        language: of questions and answers.
        label_fit: how well a label of the list must fit; None: as `Vocabulary` has it.
        max_new_tokens: the longest answer in tokens.
    """

    tasks: str | None = None
    labels: str | None = None
    language: str = "en"
    label_fit: float | None = None
    max_new_tokens: int = 128


@dataclass(frozen=True)
class PromptOptions:
    """The options for segmenting every image, as written on the command line.

    Attributes:
        boxes: see `parse_prompts`; points and masks likewise.
        everything: whether to find everything.
        max_regions: the most regions to keep of everything, or None for all.
    """

    boxes: Sequence[str] = ()
    points: Sequence[str] = ()
    masks: Sequence[str] = ()
    everything: bool = False
    max_regions: int | None = None


def build_request(where: PromptOptions, what: QuestionOptions) -> Request:
    """The request for every image; it has no image yet.

    Raises:
        CommandError: options contradict each other, or a task or language is unknown.
        InputError: a prompt, a label list or a number cannot be used.
    """
    if what.label_fit is not None and what.labels is None:
        raise CommandError("--label-fit needs labels of your own: name them with --labels")
    if what.language not in LANGUAGES:
        raise CommandError(f"--language must be {' or '.join(LANGUAGES)}, not {what.language!r}")
    questions = _questions(what, what.language)
    vocabulary = None
    if what.labels is not None:
        label_fit = LABEL_FIT if what.label_fit is None else what.label_fit
        try:
            vocabulary = Vocabulary(tuple(parse_labels(what.labels)), label_fit=label_fit)
        except VocabularyError as error:
            raise CommandError(f"--labels, --label-fit: {error}") from error
    prompts = parse_prompts(where.boxes, where.points, where.masks)
    if prompts and where.everything:
        raise CommandError("--everything takes no prompts: leave out --box, --point and --mask")
    if prompts and where.max_regions is not None:
        raise CommandError("--max-regions needs --everything: leave out --box, --point and --mask")
    return Request(
        "",
        prompts,
        questions,
        vocabulary,
        AutomaticMaskOptions(max_regions=where.max_regions),
        GenerationOptions(max_new_tokens=what.max_new_tokens),
    )


def parse_labels(text: str) -> list[str]:
    """The labels of `--labels`.

    Args:
        text: `a,b,c`, where a label with a comma is in quotes as in a CSV file: `a,"b, c"`; or
            `@FILE`, a UTF-8 text file with a label in each line.

    Raises:
        CommandError: the file cannot be read, or a quote does not end.
    """
    if not text.startswith(_FILE):
        if Path(text).suffix and os.path.isfile(text):  # noqa: PTH113 - Path.is_file may raise
            raise CommandError(
                f"--labels {text} is a file: write --labels {_FILE}{text} to read it"
            )
        try:
            # Strict: a quote that does not end would swallow the labels after it.
            (labels,) = csv.reader([text.strip()], skipinitialspace=True, strict=True)
        except (csv.Error, ValueError) as error:  # ValueError: no line, or several
            raise CommandError('--labels must be like A,B,"C, D", not ' + repr(text)) from error
        return [label.strip() for label in labels]
    path = text.removeprefix(_FILE)
    try:
        lines = Path(path).read_text("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise CommandError(f"--labels {text}: the file is not UTF-8 text ({error})") from error
    except OSError as error:
        raise CommandError(f"--labels {text}: cannot be read ({error.strerror})") from error
    return [line.strip() for line in lines if line.strip()]


def described(request: Request, settings: Settings, language: str) -> dict[str, Any]:
    """What decides the results of a run, by the names of the options, as JSON can hold it.

    Runs with equal values give the same results for the same image.
    """
    vocabulary = request.vocabulary
    return {
        "--box, --point and --mask": [prompt_entry(prompt) for prompt in request.prompts],
        "--max-regions": request.everything.max_regions,
        "--tasks": [question.task.value for question in request.questions],
        "--language": language,
        "--labels": None if vocabulary is None else list(vocabulary.labels),
        "--label-fit": None if vocabulary is None else vocabulary.label_fit,
        "--max-new-tokens": request.generation.max_new_tokens,
        "--model": settings.model,
        "--sam2": settings.sam2,
        "PAM_REVISION": settings.revision,
        "--range": str(settings.range),
    }


def _questions(what: QuestionOptions, language: Language) -> tuple[Question, ...]:
    tasks = what.tasks
    if tasks is None:
        tasks = "label,brief" if what.labels is None else "brief"
    known = [task.value for task in Task]
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise CommandError(f"--tasks must be among {', '.join(known)}, not {unknown[0]!r}")
    return tuple(Question(Task(name), language) for name in names)
