"""Where the results of a run go: a journal during the run, and a file or folder at its end."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typer

from pam_labeling import formats
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.journal import Journal

STDOUT = "-"
_WITH_POLYGONS = ("coco", "label-studio")


@dataclass(frozen=True)
class OutputOptions:
    """The options for the output, as written on the command line.

    Attributes:
        path: the file or folder, or "-" for JSON on stdout; None: only the table.
        format: the name of its format; None: by the end of its name.
        polygons: whether to write outlines instead of run lengths.
        resume: whether to go on with an earlier run.
    """

    path: str | None = None
    format: str | None = None
    polygons: bool = False
    resume: bool = False


class Output:
    """The output of a run. Making one checks what can be known before the work.

    Args:
        options: the options.

    Raises:
        CommandError, InputError: the options contradict each other, or the output cannot be
            written.
    """

    def __init__(self, options: OutputOptions) -> None:
        self._resume = options.resume
        self._polygons = options.polygons
        self.to_stdout = options.path == STDOUT
        self._path = Path(options.path) if options.path and not self.to_stdout else None
        self._format = "json"
        if self._path is not None:
            self._format = options.format or formats.format_of(self._path)
            self._check(self._path)
        for name in ("resume", "format", "polygons"):
            if getattr(options, name) and self._path is None:
                raise CommandError(f"--{name} needs a file or folder: name it with --output")
        if options.polygons and self._format not in _WITH_POLYGONS:
            known = " or ".join(_WITH_POLYGONS)
            raise CommandError(f"--polygons needs the format {known}, not {self._format}")

    def _check(self, path: Path) -> None:
        # What an interrupted run wrote is replaced when it is resumed.
        try:
            if not (self._resume and self._is_folder):
                formats.check_destination(self._format, path)
        except OSError as error:  # for example, the name is too long
            raise _not_written(path, error) from error
        prepare_folder(path.parent)

    @property
    def _is_folder(self) -> bool:
        return self._format in formats.FORMATS and formats.FORMATS[self._format].is_folder

    @contextmanager
    def journal(
        self, options: Mapping[str, Any], files: Collection[str]
    ) -> Iterator[Journal | None]:
        """The journal of the run, see `Journal`; None if there is no output.

        Raises:
            CommandError: there is no run to go on with, or see `Journal`.
        """
        if self._path is not None:
            with Journal(self._path, options, files, resume=self._resume) as journal:
                if self._resume and journal.header is None and _is_there(self._path):
                    raise CommandError(
                        f"--resume: {self._path} is there, but not {journal.path.name}, which a "
                        "run keeps until its end: leave out --resume to do all images anew"
                    )
                yield journal
        elif self.to_stdout:
            with (
                TemporaryDirectory() as folder,
                Journal(Path(folder, "stdout"), options, files, resume=False) as journal,
            ):
                yield journal
        else:
            yield None

    def write(self, journal: Journal, files: Collection[str]) -> tuple[str, ...]:
        """Write what the journal has of these files; returns notes for the person.

        Raises:
            CommandError: it cannot be written.
        """
        path = self._path or journal.path.with_suffix(".json")
        assert journal.header is not None
        try:
            with _aside(path, wanted=self._resume and self._is_folder):
                report = formats.write(
                    self._format,
                    path,
                    journal.entries(files),
                    journal.header,
                    polygons=self._polygons,
                )
        except OSError as error:
            raise _not_written(path, error) from error
        if self.to_stdout:
            with path.open(encoding="utf-8") as lines:
                for line in lines:
                    typer.echo(line, nl=False)
        return report.notes

    def end(self, journal: Journal) -> None:
        """All is written: delete the journal, unless further runs may go on with it."""
        if not self._resume:
            journal.remove()


def prepare_folder(folder: Path) -> None:
    """Make a folder for outputs.

    Raises:
        CommandError: it cannot be made or written into.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CommandError(f"cannot make the folder: {error}", ExitCode.NOT_WRITTEN) from error
    if not os.access(folder, os.W_OK):
        raise CommandError(f"cannot write into the folder {folder}", ExitCode.NOT_WRITTEN)


@contextmanager
def _aside(folder: Path, *, wanted: bool) -> Iterator[None]:
    """Move a folder away meanwhile; then delete it, or put it back if something is raised."""
    if not (wanted and folder.is_dir()):
        yield
        return
    aside = folder.rename(folder.with_name(f".{uuid.uuid4().hex}.part"))
    try:
        yield
    except BaseException:
        aside.rename(folder)
        raise
    shutil.rmtree(aside, ignore_errors=True)


def _is_there(path: Path) -> bool:
    """Whether there is a file, or a folder that is not empty."""
    return path.is_file() or (path.is_dir() and any(path.iterdir()))


def _not_written(path: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot write {path}: {error.strerror}", ExitCode.NOT_WRITTEN)
