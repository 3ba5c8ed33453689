"""Write files and folders completely or not at all."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to; the file becomes `path` at the end, unless something is raised.

    An older file stays until then.

    Raises:
        OSError: the folder cannot be written to, or the disk is full; it names `path`.
    """
    partial = _partial(path)
    try:
        with naming(path):
            yield partial
            # Flush to the disk before replacing: a power cut must not leave an empty file.
            with partial.open("rb+") as stream:
                os.fsync(stream.fileno())
            partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into; it becomes `path` at the end, unless something is raised.

    Raises:
        OSError: `path` is there and not empty, or cannot be written; it names `path`.
    """
    partial = _partial(path)
    try:
        with naming(path):
            partial.mkdir()
            yield partial
            if path.is_dir():
                path.rmdir()  # only if it is empty
            partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _partial(path: Path) -> Path:
    return path.with_name(f".{uuid.uuid4().hex}.part")


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name `path`, not the partial file, in errors of the file system.

    Raises:
        OSError: an error of the file system was raised; this one has `path` as its file name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not an error of the file system
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
