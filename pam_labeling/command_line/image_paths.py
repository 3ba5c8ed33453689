"""Find the image files in folders, and remember what was passed over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pam_labeling.media import SUFFIXES

OVERLAY_END = ".overlay.png"
"""How the names of overlays end; they are no images to annotate."""

_NAMED = 10  # of each kind of what was passed over


@dataclass
class ImagePaths:
    """The files to annotate, and what is not among them.

    Attributes:
        files: the named files, and the images in the named folders, each once. Those of a folder
            are sorted by name, and come before those of its sub-folders.
        unread: why a folder could not be listed, by its path. Its path is also among the files:
            it fails as an image fails.
        passed_over: the number of files and folders that were passed over, and the names of the
            first ones, by reason.
    """

    files: dict[str, None] = field(default_factory=dict)  # a set that keeps its order
    unread: dict[str, str] = field(default_factory=dict)
    passed_over: dict[str, tuple[int, list[str]]] = field(default_factory=dict)

    @property
    def notes(self) -> list[str]:
        """A sentence for each reason to pass something over."""
        return [
            f"passed over {reason} ({count:,}): {', '.join(names)}"
            + (f" and {count - len(names):,} more" if count > len(names) else "")
            for reason, (count, names) in self.passed_over.items()
        ]

    def pass_over(self, path: str, reason: str) -> None:
        """Count a file or folder that is left out."""
        count, names = self.passed_over.get(reason, (0, []))
        self.passed_over[reason] = (count + 1, names if count >= _NAMED else [*names, path])


def find_images(paths: Iterable[Path], *, recursive: bool = False) -> ImagePaths:
    """The image files that people named, or that are in the folders that they named.

    Args:
        paths: files, which are taken whatever they are called, and folders.
        recursive: whether to look into folders in folders. Links to folders are followed; a folder
            that several paths lead to is looked into once.
    """
    found = ImagePaths()
    seen: set[tuple[int, int]] = set()
    for path in map(str, paths):
        if os.path.isdir(path):  # noqa: PTH112 - Path.is_dir raises an error on some paths
            _add_folder(path, found, seen, recursive=recursive)
        else:
            found.files[path] = None
    return found


def _add_folder(
    top: str, found: ImagePaths, seen: set[tuple[int, int]], *, recursive: bool
) -> None:
    waiting = [top]  # not a recursion: people nest folders deeper than Python allows calls
    while waiting:
        folder = waiting.pop()
        try:
            status = os.stat(folder)  # noqa: PTH116 - plain paths, as everywhere here
            if (status.st_dev, status.st_ino) in seen:
                found.pass_over(folder, "folders that were looked into already")
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            found.unread[folder] = f"the folder cannot be read ({error.strerror})"
            found.files[folder] = None
            continue
        inside = [entry.path for entry in entries if _is_folder(entry, found, recursive=recursive)]
        waiting += reversed(inside)
        for entry in entries:
            _add_file(entry, found)


def _is_folder(entry: os.DirEntry[str], found: ImagePaths, *, recursive: bool) -> bool:
    """Whether to look into an entry."""
    if not _checked(entry.is_dir):
        return False
    if entry.name.startswith("."):
        found.pass_over(entry.path, "hidden folders")
        return False
    if not recursive:
        found.pass_over(entry.path, "folders, which --recursive looks into")
    return recursive


def _add_file(entry: os.DirEntry[str], found: ImagePaths) -> None:
    if _checked(entry.is_dir):
        return
    if entry.name.startswith("."):
        found.pass_over(entry.path, "hidden files")
    elif entry.name.endswith(OVERLAY_END):
        found.pass_over(entry.path, "overlays")
    elif Path(entry.name).suffix.lower() not in SUFFIXES:
        found.pass_over(entry.path, "files that are not named like images")
    elif _checked(entry.is_file):
        found.files[entry.path] = None
    elif entry.is_symlink():
        found.pass_over(entry.path, "links that lead nowhere")
    else:
        found.pass_over(entry.path, "pipes, sockets and devices")


def _checked(question: Callable[[], bool]) -> bool:
    """The answer of `DirEntry.is_file` or `is_dir`; false if the file system has none."""
    try:
        return question()
    except OSError:
        return False
