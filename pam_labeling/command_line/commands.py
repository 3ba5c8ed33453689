"""The work of `annotate`, `label-fit` and `download`. This module loads torch."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import typer

from pam_labeling.annotator import Annotator
from pam_labeling.command_line.batch import annotate_files, image_files
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.prompt_options import parse_prompts
from pam_labeling.command_line.terminal import (
    label_fit_table,
    messages_console,
    progress_bar,
    results_console,
    results_table,
    shown,
)
from pam_labeling.documents import Document, ImageEntry, coco_document, document, write_json
from pam_labeling.errors import CheckpointError, VocabularyError
from pam_labeling.request import Request
from pam_labeling.settings import Settings
from pam_labeling.vocabulary import LABEL_FIT, Vocabulary
from pam_model import (
    LANGUAGES,
    AutomaticMaskOptions,
    GenerationOptions,
    Language,
    Question,
    Task,
)

STDOUT = "-"


@dataclass(frozen=True)
class QuestionOptions:
    """The options for texts about every region, as written on the command line.

    Attributes:
        tasks: comma-separated; None means label and brief, or only brief if there is a label list.
        labels: comma-separated, or None for open labels.
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
    prompts = parse_prompts(where.boxes, where.points, where.masks)
    if prompts and where.everything:
        raise CommandError("--everything takes no prompts: leave out --box, --point and --mask")
    if prompts and where.max_regions is not None:
        raise CommandError("--max-regions needs --everything: leave out --box, --point and --mask")
    if what.label_fit is not None and what.labels is None:
        raise CommandError("--label-fit needs labels of your own: name them with --labels")
    if what.language not in LANGUAGES:
        raise CommandError(f"--language must be {' or '.join(LANGUAGES)}, not {what.language!r}")
    language: Language = what.language
    vocabulary = None
    if what.labels is not None:
        labels = tuple(label.strip() for label in what.labels.split(","))
        label_fit = LABEL_FIT if what.label_fit is None else what.label_fit
        try:
            vocabulary = Vocabulary(labels, label_fit=label_fit)
        except VocabularyError as error:
            raise CommandError(f"--labels, --label-fit: {error}") from error
    return Request(
        "",
        prompts,
        _questions(what, language),
        vocabulary,
        AutomaticMaskOptions(max_regions=where.max_regions),
        GenerationOptions(max_new_tokens=what.max_new_tokens),
    )


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


def annotate(
    images: Sequence[Path],
    request: Request,
    *,
    settings: Settings,
    language: str,
    output: str | None,
    overlay: Path | None,
) -> ExitCode:
    """Annotate image files, write the outputs and print the table.

    Raises:
        CommandError: nothing can be done at all.
    """
    files = _files(images)
    # Check before loading the model: nobody should wait for results that cannot be written.
    path = None if output in (None, STDOUT) else _output_path(str(output))
    if overlay is not None:
        _prepare_folder(overlay)
    with _load(settings) as annotator:
        entries, code = _collect(annotator, files, request, overlay)
        result = document(
            entries,
            model=annotator.model_name,
            language=language,
            tasks=[question.task.value for question in request.questions],
            labels=None if request.vocabulary is None else request.vocabulary.labels,
            note=settings.note,
        )
    if path is not None:
        code = max(code, _write(path, result))
    if output == STDOUT:
        typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
    else:
        results_console().print(results_table(entries))
    return code


def label_fit(
    images: Sequence[Path], request: Request, *, settings: Settings, overlay: Path | None
) -> ExitCode:
    """Print how well the request's labels fit the regions of image files, best first.

    Raises:
        CommandError: nothing can be done at all.
    """
    files = _files(images)
    if overlay is not None:
        _prepare_folder(overlay)
    assert request.vocabulary is not None
    # Without a limit each region has its best label; the model's own is asked for beside it.
    own = Question(Task.LABEL, request.vocabulary.asked_in)
    always = replace(request.vocabulary, label_fit=0)
    with _load(settings) as annotator:
        asked = replace(request, questions=(own,), vocabulary=always)
        entries, code = _collect(annotator, files, asked, overlay)
    results_console().print(label_fit_table(entries))
    return code


def download(name: str, *, cache_dir: Path | None) -> ExitCode:
    """Fetch a checkpoint and its SAM 2.1, and print its folder.

    Raises:
        CommandError: the checkpoint is unknown, or cannot be fetched.
    """
    from pam_model.checkpoints import hub  # noqa: PLC0415 - only this command talks to the hub

    try:
        folder = hub.download(name, cache_dir=cache_dir, progress=True)
    except (CheckpointError, OSError) as error:
        raise CommandError(f"cannot download {name}: {error}", ExitCode.NO_MODEL) from error
    typer.echo(folder)
    return ExitCode.OK


def _files(images: Sequence[Path]) -> list[str]:
    files = image_files(images)
    if not files:
        raise CommandError("there are no image files in the folders you named")
    return files


def _output_path(output: str) -> Path:
    path = Path(output)
    if path.suffix.lower() != ".json":
        raise CommandError(f"--output must be FILE.json or FILE.coco.json, not {output}")
    if path.is_dir():
        raise CommandError(f"--output {output} is a folder: name a file in it")
    _prepare_folder(path.parent)
    return path


def _prepare_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the folder: {error}", ExitCode.NOT_WRITTEN) from error
    if not os.access(folder, os.W_OK):
        raise CommandError(f"cannot write into the folder {folder}", ExitCode.NOT_WRITTEN)


def _load(settings: Settings) -> Annotator:
    if settings.note is not None:
        messages_console().print(f"[yellow]note:[/] {settings.note}")
    try:
        with messages_console().status(f"loading {shown(settings.model)}"):
            return settings.open_annotator()
    # The errors of torch and transformers for a model that this machine cannot run vary in class.
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise CommandError(
            f"cannot load the model {settings.model}: {error}", ExitCode.NO_MODEL
        ) from error


def _write(path: Path, result: Document) -> ExitCode:
    coco = path.name.lower().endswith(".coco.json")
    try:
        write_json(path, coco_document(result) if coco else result)
    except OSError as error:
        # Printed, not raised: the table of the results must still be printed.
        messages_console().print(f"[red]error:[/] cannot write {shown(str(error))}")
        return ExitCode.NOT_WRITTEN
    return ExitCode.OK


def _collect(
    annotator: Annotator, files: Sequence[str], request: Request, overlay: Path | None
) -> tuple[list[ImageEntry], ExitCode]:
    """The entries of the images that were annotated or failed, and the exit code so far."""
    entries: list[ImageEntry] = []
    code = ExitCode.OK
    console = messages_console()
    for first, second in () if request.vocabulary is None else request.vocabulary.alike:
        console.print(
            f"[yellow]warning:[/] to the model {shown(repr(first))} and {shown(repr(second))} are "
            "the same label: it chooses the first"
        )
    done = annotate_files(annotator, files, request, overlays=overlay)
    with progress_bar(console, len(files)) as progress, closing(done):
        bar = progress.add_task("annotating", total=len(files))
        try:
            for entry, overlay_error in done:
                entries.append(entry)
                progress.advance(bar)
                if entry["error"] is not None:
                    # Most errors already begin with the file's name.
                    named = entry["error"].removeprefix(f"{entry['file']}: ")
                    console.print(f"[red]failed:[/] {shown(entry['file'])}: {shown(named)}")
                    code = max(code, ExitCode.IMAGES_FAILED)
                if overlay_error is not None:
                    console.print(f"[red]error:[/] {shown(str(overlay_error))}")
                    code = max(code, ExitCode.NOT_WRITTEN)
        except KeyboardInterrupt:
            console.print(f"[red]interrupted[/] after {len(entries)} of {len(files)} images")
            return entries, ExitCode.INTERRUPTED
    return entries, code
