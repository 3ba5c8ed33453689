"""The results of a run on the disk: they survive the end of the program, however it comes.

`OUTPUT.partial.jsonl` has a line of JSON for the run, and then a line for each image or page as it
is done: an `ImageEntry` and, under "resume", its `Source`.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import astuple, dataclass
from io import FileIO
from pathlib import Path
from typing import Any, cast

from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.documents import FORMAT, EntryFile, Header, ImageEntry

if sys.platform != "win32":
    import fcntl

_OPTIONS = "options"  # the key of what decides the results, in the first line
_SOURCE = "resume"  # the key of an entry's `Source`


@dataclass(frozen=True)
class Source:
    """An image file, or a page of one, as it is when it is read.

    Attributes:
        path: the file's path as it was given.
        page: from 1, in a file of several pages; else None.
        version: the file's size in bytes and its time of change in ns; None: there is no file.
        overlay: the file name of its overlay; "" if none was drawn.
    """

    path: str
    page: int | None = None
    version: tuple[int, int] | None = None
    overlay: str = ""


def version_of(path: str) -> tuple[int, int] | None:
    """Tells whether a file has changed: its size in bytes, and its time of change in ns."""
    try:
        status = os.stat(path)  # noqa: PTH116 - Path may raise other errors
    except (OSError, ValueError):
        return None
    return status.st_size, status.st_mtime_ns


@dataclass(frozen=True)
class Resumed:
    """What a run finds from an earlier one: numbers of images, of those that it is to annotate.

    Attributes:
        done: done, and unchanged since.
        changed: the file has changed since; it is done again.
        failed: failed; it is tried again.
    """

    done: int = 0
    changed: int = 0
    failed: int = 0


class Journal:
    """The results of a run in a file. Only their places in it are kept in memory.

    Args:
        output: the run's output; the journal is beside it.
        options: what decides the results, by option, as JSON can hold it.
        files: the images to annotate. What the journal has of other images stays as it is.
        resume: whether to go on with the journal of an earlier run, which had the same options. If
            not, no earlier run may have left results.

    Attributes:
        path: the journal's file.
        resumed: what an earlier run has done.
        overlays: the names of the overlays that it has drawn.
        header: what the document says about all images; None until `begin`.

    Raises:
        CommandError: the file cannot be opened, or is not that of such a run.
    """

    def __init__(
        self, output: Path, options: Mapping[str, Any], files: Collection[str], *, resume: bool
    ) -> None:
        self.path = output.with_name(f"{output.name}.partial.jsonl")
        self.resumed = Resumed()
        self.overlays: list[str] = []
        self.header: Header | None = None
        self._options = json.loads(json.dumps(options))  # tuples become lists, as in the file
        self._places: dict[str, dict[int | None, int]] = {}  # path, page -> offset in the file
        self._end = 0  # where the last whole line ends
        try:
            # Without a buffer, a line is in the file as soon as it is written.
            self._file = self.path.open("ab", buffering=0)
            try:
                _lock(self._file, self.path)
                lines = _lines(self.path)
                self.header = self._read_header(lines, resume=resume)
                self._read_entries(lines, set(files))
                self._file.truncate(self._end)  # without a line that was not finished
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise _not_written(self.path, error) from error

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._end == 0:
            self.path.unlink()

    def begin(self, header: Header) -> None:
        """Write the first line, unless an earlier run has.

        Raises:
            CommandError: it cannot be written.
        """
        if self.header is None:
            self.header = header
            self._write({**header, _OPTIONS: self._options})

    def has(self, path: str, page: int | None) -> bool:
        """Whether an image or page is done."""
        return page in self._places.get(path, ())

    def append(self, source: Source, entry: ImageEntry) -> None:
        """Add the entry of an image or page.

        Raises:
            CommandError: it cannot be written; for example, the disk is full.
        """
        place = self._write({**entry, _SOURCE: astuple(source)})
        self._places.setdefault(source.path, {})[source.page] = place

    def entries(self, files: Collection[str]) -> EntryFile:
        """The entries of files, in their order and that of their pages."""
        return _Entries(self.path, files, self._places)

    def remove(self) -> None:
        """Delete the file; all results are elsewhere."""
        self._end = 0

    def _read_header(self, lines: Iterator[_Line], *, resume: bool) -> Header | None:
        """The header of the run to go on with; None: there is none, and no line is left."""
        first = next(lines, None)
        if first is None:  # a new file, or that of a run that was killed as it began
            return None
        options = first.content.pop(_OPTIONS, None)
        if first.content.get("format") != FORMAT or not isinstance(options, dict):
            raise CommandError(f"{self.path} is not the file of an earlier run: rename it")
        if not resume:
            if next(lines, None) is None:
                return None
            raise CommandError(
                f"{self.path} has the results of a run that did not end: add --resume to go on "
                "with it, or delete it"
            )
        other = [name for name in self._options if self._options[name] != options.get(name)]
        if other:
            raise CommandError(
                f"--resume: {self.path} is of a run with other values of {', '.join(other)}: give "
                "the same ones, or another --output"
            )
        self._end = first.end
        return cast("Header", first.content)

    def _read_entries(self, lines: Iterator[_Line], files: Collection[str]) -> None:
        """Find the images that are done already."""
        changed, failed = set[str](), set[tuple[str, int | None]]()
        now: dict[str, tuple[int, int] | None] = {}
        for line in lines:
            self._end = line.end
            source = line.source
            if source.path not in files:
                continue
            if source.path not in now:
                now[source.path] = version_of(source.path)
            if source.version != now[source.path]:
                changed.add(source.path)
            elif line.content["error"] is not None:
                failed.add((source.path, source.page))
            else:
                self._places.setdefault(source.path, {})[source.page] = line.start
                self.overlays.append(source.overlay)
        again = {path for path, page in failed if not self.has(path, page)}
        changed -= self._places.keys()
        self.resumed = Resumed(len(self._places.keys() - again), len(changed), len(again - changed))

    def _write(self, content: Mapping[str, Any]) -> int:
        """Add a line; returns where it begins."""
        place = self._end
        # Only ASCII letters: a path need not be valid UTF-8.
        left = memoryview(json.dumps(content, allow_nan=False).encode("ascii") + b"\n")
        try:
            while left:
                left = left[self._file.write(left) :]
        except OSError as error:
            raise _not_written(self.path, error) from error
        self._end = self._file.tell()
        return place


@dataclass(frozen=True)
class _Line:
    """A line of a journal: where it begins and ends in the file, and its content."""

    start: int
    end: int
    content: dict[str, Any]

    @property
    def source(self) -> Source:
        path, page, version, overlay = self.content[_SOURCE]
        return Source(path, page, None if version is None else tuple(version), overlay)


def _lines(path: Path) -> Iterator[_Line]:
    """The lines of a journal, without a last one that was not finished."""
    start = 0
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.endswith(b"\n"):
                return
            end = start + len(line)
            try:
                content = json.loads(line)
            except ValueError as error:
                raise CommandError(
                    f"{path}, line {number}, is damaged ({error}): delete this line or the file"
                ) from error
            if not isinstance(content, dict):
                raise CommandError(f"{path} is not the file of an earlier run: rename it")
            yield _Line(start, end, content)
            start = end


@dataclass(frozen=True)
class _Entries(EntryFile):
    """Entries of a journal in the order of files, which need not be that of the lines."""

    files: Collection[str]
    places: Mapping[str, Mapping[int | None, int]]

    def placed(self) -> Iterator[tuple[int, ImageEntry]]:
        with self.path.open("rb") as stream:
            for file in self.files:
                pages = self.places.get(file, {})
                for page in sorted(pages, key=lambda page: page or 0):
                    stream.seek(pages[page])
                    entry = json.loads(stream.readline())
                    del entry[_SOURCE]
                    yield pages[page], entry


def _lock(file: FileIO, path: Path) -> None:
    """Lock a file until it is closed, or the program ends.

    Raises:
        CommandError: another program has locked it.
    """
    if sys.platform == "win32":
        return  # where a second program cannot delete it, at least
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise CommandError(
            f"another run is writing {path}: wait for its end, or name another --output"
        ) from error
    except OSError:
        return  # a network file system without locks


def _not_written(path: Path, error: OSError) -> CommandError:
    return CommandError(f"cannot write {path}: {error.strerror}", ExitCode.NOT_WRITTEN)
