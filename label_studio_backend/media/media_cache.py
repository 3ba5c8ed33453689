"""Fetched files kept on the disk: bounded, for several threads and processes, across restarts.

    ab/<content key>.media    the content as it came, named by its digest
    cd/<entry key>.json       its sidecar: which content was fetched for an entry, and its version

An entry's key is a digest of an address and of whose rights it was fetched with (`entry_key`), so
neither addresses nor tokens are on the disk. Files are written under another name and then moved to
their place, the content first and the sidecar last: whenever a process is killed, nobody sees half
a file, and a sidecar never names content that was not complete. What a crash of the machine or a
stranger damaged is noticed by its size or, when it is read, by its digest; it is fetched again.

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
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file
_ROOM = 0.9  # what is left of the limit when a full cache has made room
_RECOUNT = 20  # other processes' files are counted after so many parts of the limit were written


def entry_key(*parts: str) -> str:
    """A digest of texts that tells nothing about them: 40 hexadecimal digits."""
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
    """Keeps at most `max_bytes` of files, those that were used last.

    The folder is this cache's own: only files that it wrote are touched. Files on their way count
    only when they are there; of the files that other processes write, up to a twentieth of the
    limit may stay uncounted for a moment.

    Args:
        directory: made if it is not there, for this user only.
        max_bytes: of all files together.
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
        # A time in the future (a clock was set back) says nothing about the age.
        age = now - confirmed if confirmed <= now else float("inf")
        return Entry(file, sidecar.validators, age)

    @contextmanager
    def incoming(self) -> Iterator[Incoming]:
        """A file to write to, which is removed at the end unless it was kept.

        Raises:
            OSError: the disk does not take it.
        """
        folder = self._directory / "incoming"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=folder, suffix=_UNFINISHED, delete=False) as file:
            try:
                yield Incoming(file)
            finally:
                Path(file.name).unlink(missing_ok=True)  # it is not there where it was moved

    def keep(self, key: str, incoming: Incoming, validators: Validators) -> MediaFile:
        """Put what has come in its place; another file under this entry's key is replaced.

        Returns:
            The file; where it is larger than the whole cache, its content in memory.

        Raises:
            OSError: the disk does not take it.
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
        with suppress(FileNotFoundError):  # removed in the meantime: it will be fetched again
            os.utime(self._path(key, _SIDECAR))

    def _path(self, key: str, suffix: str) -> Path:
        return self._directory / key[:2] / f"{key}{suffix}"

    def _make_room(self, needed: int) -> None:
        """Count the files when so much was written; remove those used longest ago if need be."""
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
