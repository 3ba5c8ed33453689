"""The work of `annotate`, `label-fit` and `download`; torch is loaded only with the model."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.interrupts import Terminated, terminable
from pam_labeling.command_line.journal import Journal
from pam_labeling.command_line.outputs import Output, OutputOptions
from pam_labeling.command_line.request_options import described
from pam_labeling.command_line.run import ImageOptions, Run
from pam_labeling.command_line.terminal import (
    Rows,
    label_fit_table,
    messages_console,
    results_console,
    results_table,
    shown,
)
from pam_labeling.documents import Header, ImageEntry, document_header
from pam_labeling.errors import CheckpointError
from pam_labeling.request import Request
from pam_labeling.settings import Settings
from pam_model.tasks import Question, Task

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator  # loads torch


def annotate(
    images: ImageOptions,
    request: Request,
    *,
    settings: Settings,
    language: str,
    output: OutputOptions,
) -> ExitCode:
    """Annotate image files, write the outputs and print the table.

    Raises:
        CommandError: nothing can be done at all.
    """
    target = Output(output)
    run = Run(images, request)
    rows = Rows()
    overlay = None if images.overlay is None else str(images.overlay)
    options = {**described(request, settings, language), "--overlay": overlay}
    with target.journal(options, run.files) as journal:
        todo = run.todo(journal)
        first = next(todo, None)
        if first is None:  # an earlier run has done everything
            assert journal is not None
            run.is_whole = True
            return _finish(target, journal, run)
        with _load(settings) as annotator, terminable():
            if journal is not None:
                journal.begin(_header(annotator, request, language, settings))
            code = run.annotate(annotator, chain([first], todo), journal, rows.add)
            # Before the annotator is closed, which waits for the step in progress.
            if journal is not None:
                code = max(code, _finish(target, journal, run))
    if not target.to_stdout:
        results_console().print(results_table(rows.entries))
        if rows.more:
            results_console().print(f"and {rows.more:,} more images, not in this table")
    return code


def label_fit(images: ImageOptions, request: Request, *, settings: Settings) -> ExitCode:
    """Print how well the request's labels fit the regions of image files, best first.

    Raises:
        CommandError: nothing can be done at all.
    """
    assert request.vocabulary is not None
    # Without a limit each region has its best label; the model's own is asked for beside it.
    own = Question(Task.LABEL, request.vocabulary.asked_in)
    always = replace(request.vocabulary, label_fit=0)
    run = Run(images, replace(request, questions=(own,), vocabulary=always))
    entries: list[ImageEntry] = []
    with _load(settings) as annotator:
        code = run.annotate(annotator, run.todo(None), None, entries.append)
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


def _header(annotator: Annotator, request: Request, language: str, settings: Settings) -> Header:
    return document_header(
        model=annotator.model_name,
        language=language,
        tasks=[question.task.value for question in request.questions],
        labels=None if request.vocabulary is None else request.vocabulary.labels,
        note=settings.note,
    )


def _finish(target: Output, journal: Journal, run: Run) -> ExitCode:
    """Write the output; errors are printed, because the table of the results must still be."""
    console = messages_console()
    code = ExitCode.OK
    try:
        for note in target.write(journal, list(run.files)):
            console.print(f"note: {shown(note)}")
    except CommandError as error:
        console.print(f"[red]error:[/] {shown(str(error))}")
        code = error.code
    except KeyboardInterrupt as interrupt:
        console.print("[red]interrupted[/] while writing the output")
        terminated = isinstance(interrupt, Terminated)
        code = ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
    if run.is_whole and code is ExitCode.OK:
        target.end(journal)
    elif not target.to_stdout:
        console.print(
            f"{shown(str(journal.path))} has the results so far: add --resume to go on with it"
        )
    return code
