"""A bounded disk cache of fetched files, shared by threads and processes, kept across restarts.

    ab/<content key>.media    the content as it came, named by its digest
    cd/<entry key>.json       the sidecar: names the content fetched for an entry, and its version

An entry's key is a digest of the address and of the rights with which it was fetched (`entry_key`),
so the disk holds neither addresses nor tokens. Files are written under another name and then moved
to their place, first the content, then the sidecar: even if a process is killed, no reader sees
half a file, and no sidecar names incomplete content. Content that was damaged later is recognised
by its size or, when it is read, by its digest, and is fetched again.

A sidecar's modification time says when the entry was last confirmed to be up to date; the access
times say when files were last used.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import msgspec

from label_studio_backend.media.downloads import Validators  # noqa: TC001 - msgspec reads it
from label_studio_backend.media.files import Incoming, MediaFile

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_CONTENT, _SIDECAR, _UNFINISHED = ".media", ".json", ".unfinished"
_ABANDONED = 3600.0  # an unfinished file of this age, in seconds, is left over
_ROOM = 0.9  # a full cache is cut down to this fraction of the limit
_RECOUNT = 20  # all files are counted again after 1/20 of the limit was written


def entry_key(*parts: str) -> str:
    """A digest of texts that does not reveal them: 40 hexadecimal digits."""
    return blake2b(msgspec.json.encode(parts), digest_size=20).hexdigest()


class _Sidecar(msgspec.Struct, frozen=True):
    # The pattern keeps a forged sidecar from naming a file elsewhere.
    content: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    size: int
    validators: Validators


@dataclass(frozen=True)
class Entry:
    """A kept file; `age` is in seconds since it was last confirmed to be up to date."""

    file: MediaFile
    validators: Validators
    age: float


class MediaCache:
    """Keeps at most `max_bytes` of files, those used most recently.

    The cache touches only files that it wrote. A file counts once it is complete. Up to a twentieth
    of the limit, written by other processes, may be uncounted for a moment.

    Args:
        directory: the cache's own; created for this user only if it does not exist.
        max_bytes: limit on all files together.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory = directory
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._uncounted_room = 0  # bytes that may be written before all files are counted again

    def get(self, key: str) -> Entry | None:
        """The file of an `entry_key`, if there is one; its content is not read."""
        path = self._path(key, _SIDECAR)
        try:
            confirmed = path.stat().st_mtime
            sidecar = msgspec.json.decode(path.read_bytes(), type=_Sidecar)
            content = self._path(sidecar.content, _CONTENT)
            complete = content.stat().st_size == sidecar.size
            now = time.time()
            os.utime(path, (now, confirmed))
            os.utime(content, follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("the media cache cannot be read: %s", error)
            return None
        except msgspec.MsgspecError:
            complete = False
        if not complete:
            _log.warning("a file of the media cache was damaged; it is fetched again")
            return None
        file = MediaFile(sidecar.content, content, sidecar.size, verified=False)
        # A time in the future (the clock was set back) says nothing about the age.
        age = now - confirmed if confirmed <= now else float("inf")
        return Entry(file, sidecar.validators, age)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A file to write to; it is removed at the end unless it was kept.

        Raises:
            OSError: the file cannot be written.
        """
        folder = self._directory / "incoming"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=_UNFINISHED, delete=False) as file:
            try:
                yield Incoming(file)
            finally:
                Path(file.name).unlink(missing_ok=True)  # missing if it was moved

    def keep(self, key: str, incoming: Incoming, validators: Validators) -> MediaFile:
        """Move a complete file to its place; it replaces the entry's earlier file.

        Returns:
            The file; if it is larger than the whole cache, its content in memory.

        Raises:
            OSError: the file cannot be written.
        """
        sidecar = msgspec.json.encode(_Sidecar(incoming.key, incoming.size, validators))
        if incoming.size + len(sidecar) > self._max_bytes:
            return incoming.in_memory()
        self._make_room(incoming.size + len(sidecar))
        content = self._path(incoming.key, _CONTENT)
        _move(incoming.file, content)
        with self.incoming() as beside:
            beside.file.write(sidecar)
            _move(beside.file, self._path(key, _SIDECAR))
        return MediaFile(incoming.key, content, incoming.size)

    def confirm(self, key: str) -> None:
        """Note that an entry is up to date: its age is zero again."""
        with suppress(FileNotFoundError):  # removed meanwhile: it will be fetched again
            os.utime(self._path(key, _SIDECAR))

    def _path(self, key: str, suffix: str) -> Path:
        return self._directory / key[:2] / f"{key}{suffix}"

    def _make_room(self, needed: int) -> None:
        """After enough was written, count all files; remove the least recently used if need be."""
        with self._lock:
            self._uncounted_room -= needed
            if self._uncounted_room >= 0:
                return
            total, found = needed, []
            for path in self._directory.glob("*/*"):
                with suppress(FileNotFoundError):  # another process removed it
                    status = path.stat()
                    if path.suffix in (_CONTENT, _SIDECAR):
                        found.append((status.st_atime, status.st_size, path))
                        total += status.st_size
                    elif path.suffix == _UNFINISHED and status.st_mtime < time.time() - _ABANDONED:
                        self._remove(path)
            wanted = self._max_bytes if total <= self._max_bytes else _ROOM * self._max_bytes
            for _, size, path in sorted(found):
                if total <= wanted:
                    break
                self._remove(path)
                total -= size
            self._uncounted_room = min(self._max_bytes - total, self._max_bytes // _RECOUNT)

    @staticmethod
    def _remove(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a file of the media cache cannot be removed: %s", error)


def _move(file: IO[bytes], place: Path) -> None:
    file.flush()
    place.parent.mkdir(mode=0o700, exist_ok=True)
    Path(file.name).replace(place)
