"""A run over image files: what is to be done, what was done, and what people are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pam_labeling.command_line.batch import Done, OverlayNames, annotate_files
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.image_paths import find_images
from pam_labeling.command_line.interrupts import Terminated
from pam_labeling.command_line.journal import Journal, Source, version_of
from pam_labeling.command_line.outputs import prepare_folder
from pam_labeling.command_line.terminal import RunProgress, messages_console, shown
from pam_labeling.documents import ImageEntry
from pam_labeling.errors import ImageError
from pam_labeling.media import count_pages
from pam_labeling.request import Request

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator  # loads torch

_PAGED = (".tif", ".tiff")  # what files of several pages are called


@dataclass(frozen=True)
class ImageOptions:
    """The options for images, as written on the command line.

    Attributes:
        paths: files and folders.
        recursive: whether to look into folders in folders.
        overlay: the folder for overlays, or None.
    """

    paths: Sequence[Path]
    recursive: bool = False
    overlay: Path | None = None


class Run:
    """A run over image files. Making one finds the files.

    Args:
        images: the images, and the folder for their overlays.
        request: the request for every image.

    Attributes:
        files: the files to annotate, in their order.
        is_whole: whether the run came to its end.

    Raises:
        CommandError: there are no images, or no place for overlays.
    """

    def __init__(self, images: ImageOptions, request: Request) -> None:
        self._console = messages_console()
        self._request = request
        self._overlay = images.overlay
        found = find_images(images.paths, recursive=images.recursive)
        for note in found.notes:
            self._console.print(shown(note))
        if not found.files:
            raise CommandError("there are no image files in the folders you named")
        if found.files.keys() == found.unread.keys():
            reasons = "; ".join(f"{folder}: {why}" for folder, why in found.unread.items())
            raise CommandError(f"there are no image files: {reasons}", ExitCode.IMAGES_FAILED)
        if images.overlay is not None:
            prepare_folder(images.overlay)
        self.files = found.files
        self.is_whole = False
        self._unread = found.unread
        self._numbers = {path: number for number, path in enumerate(found.files, start=1)}
        self._done = 0  # images

    def todo(self, journal: Journal | None) -> Iterator[Source]:
        """The images and pages that are to be done; a journal knows which are done already."""
        if journal is not None:
            self._tell_of_resumed(journal)
        for path in self.files:
            for page in _pages(path):
                if journal is None or not journal.has(path, page):
                    yield Source(path, page, version_of(path))

    def annotate(
        self,
        annotator: Annotator,
        todo: Iterable[Source],
        journal: Journal | None,
        keep: Callable[[ImageEntry], None],
    ) -> ExitCode:
        """Annotate images, and tell people of progress and failures.

        Args:
            annotator: the annotator that does the work.
            todo: the images and pages.
            journal: gets each entry at once.
            keep: is called with each entry.

        Returns:
            The exit code so far. A run that is interrupted, or whose journal cannot be written,
            has no more entries, and is not whole.
        """
        self._warn_of_alike_labels()
        names = OverlayNames(() if journal is None else journal.overlays)
        code = ExitCode.OK
        results = annotate_files(
            annotator,
            todo,
            self._request,
            overlays=self._overlay,
            names=names,
            unread=self._unread,
        )
        with RunProgress(self._console, len(self.files)) as progress, closing(results):
            try:
                for done in results:
                    if journal is not None:
                        journal.append(done.source, done.entry)
                    keep(done.entry)
                    self._done += done.source.page in (None, 1)
                    progress.reached(self._numbers[done.source.path])
                    code = max(code, self._tell_of_faults(done))
                self.is_whole = True
            except CommandError as error:
                self._console.print(f"[red]error:[/] {shown(str(error))}")
                code = max(code, error.code)
            except KeyboardInterrupt as interrupt:
                terminated = isinstance(interrupt, Terminated)
                self._console.print(
                    f"[red]{'terminated' if terminated else 'interrupted'}[/] after {self._done:,} "
                    f"of {len(self.files):,} images"
                )
                code = ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED
        return code

    def _tell_of_resumed(self, journal: Journal) -> None:
        resumed = journal.resumed
        self._done = resumed.done
        told = (
            (resumed.done, "done already"),
            (resumed.changed, "changed since, and done again"),
            (resumed.failed, "failed, and tried again"),
        )
        parts = [f"{number:,} {what}" for number, what in told if number]
        if parts:
            self._console.print(f"--resume: of {len(self.files):,} images {'; '.join(parts)}")

    def _warn_of_alike_labels(self) -> None:
        vocabulary = self._request.vocabulary
        for first, second in () if vocabulary is None else vocabulary.alike:
            self._console.print(
                f"[yellow]warning:[/] to the model {shown(repr(first))} and {shown(repr(second))} "
                "are the same label: it chooses the first"
            )

    def _tell_of_faults(self, done: Done) -> ExitCode:
        code, entry = ExitCode.OK, done.entry
        if entry["error"] is not None:
            # Most errors already begin with the file's name.
            reason = entry["error"].removeprefix(f"{entry['file']}: ")
            self._console.print(f"[red]failed:[/] {shown(entry['file'])}: {shown(reason)}")
            code = ExitCode.IMAGES_FAILED
        if done.overlay_error is not None:
            self._console.print(f"[red]error:[/] {shown(str(done.overlay_error))}")
            code = ExitCode.NOT_WRITTEN
        return code


def _pages(path: str) -> Iterable[int | None]:
    """The numbers of a file's pages; only None if it has but one."""
    if not path.lower().endswith(_PAGED):
        return (None,)
    try:
        count = count_pages(path)
    except ImageError:
        return (None,)  # reading it will fail in the same way, which is told then
    return (None,) if count == 1 else range(1, count + 1)
