"""What the commands do, apart from how they are spelled; torch is loaded with this module."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import typer

from pam_labeling.annotator import Annotator
from pam_labeling.command_line.batch import annotate_files, image_files
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.prompt_options import parse_prompts
from pam_labeling.command_line.terminal import (
    messages_console,
    progress_bar,
    results_console,
    results_table,
    shown,
)
from pam_labeling.documents import Document, ImageEntry, coco_document, document, write_json
from pam_labeling.errors import SettingsError, VocabularyError
from pam_labeling.request import Request
from pam_labeling.settings import Settings
from pam_labeling.vocabulary import Vocabulary
from pam_model import (
    LANGUAGES,
    AutomaticMaskOptions,
    GenerationOptions,
    Language,
    PromptError,
    Question,
    Task,
)

STDOUT = "-"


@dataclass(frozen=True)
class Asked:
    """What is asked about every region, as it is written on the command line.

    Attributes:
        tasks: comma-separated; None: label and brief, or only brief beside a label list.
        labels: comma-separated, or None for open labels.
        language: of questions and answers.
        threshold: the score under which no label of the list is chosen.
        max_new_tokens: the longest answer in tokens.
    """

    tasks: str | None = None
    labels: str | None = None
    language: str = "en"
    threshold: float | None = None
    max_new_tokens: int = 128


@dataclass(frozen=True)
class Pointed:
    """What is pointed at in every image, as it is written on the command line.

    Attributes:
        boxes: see `parse_prompts`; points and masks likewise.
        everything: whether everything is to be found.
        max_regions: of everything, the most regions.
    """

    boxes: Sequence[str] = ()
    points: Sequence[str] = ()
    masks: Sequence[str] = ()
    everything: bool = False
    max_regions: int | None = None


def build_request(pointed: Pointed, asked: Asked) -> Request:
    """The request for every image; it has no image yet.

    Raises:
        CommandError: an option that makes no sense; the message names it.
    """
    try:
        prompts = parse_prompts(pointed.boxes, pointed.points, pointed.masks)
        if prompts and pointed.everything:
            raise CommandError("--everything stands alone: leave out --box, --point and --mask")
        if prompts and pointed.max_regions is not None:
            raise CommandError(
                "--max-regions is for everything: leave out --box, --point and --mask"
            )
        if asked.threshold is not None and asked.labels is None:
            raise CommandError("--threshold is for labels of your own: name them with --labels")
        language = _language(asked.language)
        return Request(
            "",
            prompts,
            _questions(asked, language),
            _vocabulary(asked, language),
            AutomaticMaskOptions(max_regions=pointed.max_regions),
            GenerationOptions(max_new_tokens=asked.max_new_tokens),
        )
    except PromptError as error:
        raise CommandError(str(error)) from error
    except VocabularyError as error:
        raise CommandError(f"--labels, --threshold: {error}") from error
    except ValueError as error:
        raise CommandError(str(error)) from error


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
        CommandError: nothing could be done at all.
    """
    files = image_files(images)
    if not files:
        raise CommandError("there are no image files in the folders you named")
    writer = _Writer(output)
    _prepare_folder(overlay)
    with _open_annotator(settings) as annotator:
        entries, code = _collect(annotator, files, request, overlay)
        result = document(
            entries,
            model=annotator.model_name,
            language=language,
            tasks=[question.task.value for question in request.questions],
            labels=None if request.vocabulary is None else request.vocabulary.labels,
        )
    code = max(code, writer.write(result))
    if output != STDOUT:
        results_console().print(results_table(entries))
    return code


def download(name: str, *, cache_dir: Path | None) -> ExitCode:
    """Fetch a checkpoint with both its parts, and print its folder.

    Raises:
        CommandError: it is unknown, or cannot be fetched.
    """
    from pam_model.checkpoints import hub  # noqa: PLC0415 - only this command talks to the hub

    try:
        folder = hub.download(name, cache_dir=cache_dir, progress=True)
    except (ValueError, OSError, RuntimeError) as error:
        raise CommandError(f"cannot download {name}: {error}", ExitCode.NO_MODEL) from error
    typer.echo(folder)
    return ExitCode.OK


def read_settings(**options: str | None) -> Settings:
    """The settings of the environment, overridden by options that are not None.

    Raises:
        CommandError: a setting that cannot be used.
    """
    try:
        return Settings.from_environment(None, **options)
    except SettingsError as error:
        raise CommandError(str(error)) from error


class _Writer:
    """Where the document goes: checked before the work, written after it."""

    def __init__(self, output: str | None) -> None:
        self.path = None if output in (None, STDOUT) else _output_path(str(output))
        self.to_stdout = output == STDOUT

    def write(self, result: Document) -> ExitCode:
        if self.to_stdout:
            typer.echo(json.dumps(result, ensure_ascii=False, allow_nan=False))
        if self.path is None:
            return ExitCode.OK
        coco = self.path.name.lower().endswith(".coco.json")
        try:
            write_json(self.path, coco_document(result) if coco else result)
        except OSError as error:
            messages_console().print(f"[red]error:[/] cannot write {shown(str(error))}")
            return ExitCode.NOT_WRITTEN
        return ExitCode.OK


def _output_path(output: str) -> Path:
    path = Path(output)
    if path.suffix.lower() != ".json":
        raise CommandError(f"--output is FILE.json or FILE.coco.json, not {output}")
    if path.is_dir():
        raise CommandError(f"--output {output} is a folder: name a file in it")
    _prepare_folder(path.parent)
    return path


def _prepare_folder(folder: Path | None) -> None:
    if folder is None:
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the folder: {error}", ExitCode.NOT_WRITTEN) from error
    if not os.access(folder, os.W_OK):
        raise CommandError(f"cannot write into the folder {folder}", ExitCode.NOT_WRITTEN)


@contextmanager
def _open_annotator(settings: Settings) -> Iterator[Annotator]:
    try:
        with messages_console().status(f"loading {shown(settings.model)}"):
            annotator = settings.open_annotator()
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        raise CommandError(
            f"cannot load the model {settings.model}: {error}", ExitCode.NO_MODEL
        ) from error
    with annotator:
        yield annotator


def _collect(
    annotator: Annotator, files: Sequence[str], request: Request, overlay: Path | None
) -> tuple[list[ImageEntry], ExitCode]:
    """The entries of all images that were come to, and how it went."""
    entries: list[ImageEntry] = []
    code = ExitCode.OK
    console = messages_console()
    done = annotate_files(annotator, files, request, overlays=overlay)
    with progress_bar(console, len(files)) as progress, closing(done):
        bar = progress.add_task("annotating", total=len(files))
        try:
            for entry, overlay_error in done:
                entries.append(entry)
                progress.advance(bar)
                if entry["error"] is not None:
                    console.print(f"[red]failed:[/] {shown(_naming(entry))}")
                    code = max(code, ExitCode.IMAGES_FAILED)
                if overlay_error is not None:
                    console.print(f"[red]error:[/] {shown(str(overlay_error))}")
                    code = max(code, ExitCode.NOT_WRITTEN)
        except KeyboardInterrupt:
            console.print(f"[red]interrupted[/] after {len(entries)} of {len(files)} images")
            return entries, ExitCode.INTERRUPTED
    return entries, code


def _naming(entry: ImageEntry) -> str:
    """The error of an image with the file's name, once."""
    error = entry["error"] or ""
    return error if error.startswith(entry["file"]) else f"{entry['file']}: {error}"


def _language(text: str) -> Language:
    for language in LANGUAGES:
        if text == language:
            return language
    raise CommandError(f"--language is one of {', '.join(LANGUAGES)}, not {text!r}")


def _questions(asked: Asked, language: Language) -> tuple[Question, ...]:
    tasks = asked.tasks
    if tasks is None:
        tasks = "label,brief" if asked.labels is None else "brief"
    known = [task.value for task in Task]
    names = [name.strip() for name in tasks.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise CommandError(f"--tasks are among {', '.join(known)}, not {name!r}")
    return tuple(Question(Task(name), language) for name in names)


def _vocabulary(asked: Asked, language: Language) -> Vocabulary | None:
    if asked.labels is None:
        return None
    labels = tuple(label.strip() for label in asked.labels.split(","))
    return Vocabulary(labels, language, asked.threshold or 0.0)
