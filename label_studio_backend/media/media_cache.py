"""Fetched files kept on the disk: bounded, for several threads and processes, across restarts.

One file per entry, named by its key's digest: neither addresses nor tokens are on the disk. It is
written beside its place and moved there, so nobody reads half a file; what a crash, a full disk or
a stranger damaged is found by its checksum, removed and fetched again. A file's modification time
says when Label Studio last confirmed it, its access time when it was last used.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from label_studio_backend.media.downloads import Validators

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_MAGIC = b"pam-labeling media 1\n"
_SUFFIX, _UNFINISHED = ".media", ".unfinished"
_ABANDONED = 3600.0  # seconds after which nobody is still writing a file
_FULL, _EVICTED = 1.0, 0.9  # of the limit: from where to where it is emptied
_STEP = 20  # after so many parts of the limit were written, other processes' files are counted too


def cache_key(*parts: str) -> str:
    """A digest of texts, which says nothing about them: 40 hexadecimal digits."""
    digest = blake2b(digest_size=20)
    for part in parts:
        encoded = part.encode()
        digest.update(len(encoded).to_bytes(8, "big") + encoded)
    return digest.hexdigest()


@dataclass(frozen=True)
class Entry:
    """A kept file; `age` is in seconds since it was last confirmed to be the right one."""

    content: bytes
    validators: Validators
    age: float


class MediaCache:
    """Keeps at most `max_bytes` of files, those that were used last.

    The folder is this cache's own: only files that it wrote are touched. When the disk fails it
    says so in the log, and keeps nothing.

    Args:
        directory: made if it is not there, for this user only.
        max_bytes: of all files together; a process more may add a twentieth for a moment.
    """

    def __init__(self, directory: Path, max_bytes: int) -> None:
        self._directory, self._max_bytes = directory, max_bytes
        self._lock = threading.Lock()
        self._counted = 0  # bytes, at the last count and written since
        self._uncounted = max_bytes  # written since the last count: at first all of it

    def get(self, key: str) -> Entry | None:
        """The file of a `cache_key`, if there is an undamaged one."""
        path = self._path(key)
        try:
            modified = path.stat().st_mtime
            stored = path.read_bytes()
            now = time.time()
            os.utime(path, (now, modified))
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("the media cache cannot be read: %s", error)
            return None
        content, validators = _unpack(stored)
        if content is None:
            _log.warning("a file of the media cache was damaged; it is fetched again")
            self._remove(path)
            return None
        # A time in the future (a clock was set back) says nothing about the age.
        return Entry(content, validators, now - modified if modified <= now else float("inf"))

    def put(self, key: str, content: bytes, validators: Validators) -> None:
        """Keep a file, if it is not larger than the whole cache; another one under the key goes."""
        stored = _pack(content, validators)
        if len(stored) > self._max_bytes:
            return
        try:
            self._make_room(len(stored))
            self._write(self._path(key), stored)
        except OSError as error:
            _log.warning("the media cache cannot be written: %s", error)

    def confirm(self, key: str) -> None:
        """The file is still the right one: its age is zero again."""
        with suppress(FileNotFoundError):  # removed in the meantime: it will be fetched again
            os.utime(self._path(key))

    def _path(self, key: str) -> Path:
        return self._directory / key[:2] / f"{key}{_SUFFIX}"

    def _write(self, path: Path, stored: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=_UNFINISHED, dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(stored)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def _make_room(self, needed: int) -> None:
        with self._lock:
            self._counted += needed
            self._uncounted += needed
            if self._counted > self._max_bytes or self._uncounted * _STEP > self._max_bytes:
                self._counted, self._uncounted = self._evict(needed) + needed, 0

    def _evict(self, needed: int) -> int:
        """Count the files, and remove those used longest ago if they leave no room."""
        found = sorted(self._files())
        total = sum(size for _, size, _ in found)
        if total + needed <= _FULL * self._max_bytes:
            return total
        for _, size, path in found:
            if total + needed <= _EVICTED * self._max_bytes or total == 0:
                break
            self._remove(path)
            total -= size
        return total

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        """When they were last used, their bytes, and where they are."""
        abandoned = time.time() - _ABANDONED
        for path in self._directory.glob("??/*"):
            if path.suffix not in (_SUFFIX, _UNFINISHED):
                continue
            try:
                status = path.stat()
            except FileNotFoundError:  # another process removed it
                continue
            if path.suffix == _UNFINISHED:
                if status.st_mtime < abandoned:
                    self._remove(path)
                continue
            yield status.st_atime, status.st_size, path

    @staticmethod
    def _remove(path: Path) -> None:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("a file of the media cache cannot be removed: %s", error)


def _pack(content: bytes, validators: Validators) -> bytes:
    head = json.dumps([validators.etag, validators.last_modified]).encode() + b"\n"
    digest = blake2b(head + content, digest_size=20).digest()
    return _MAGIC + digest + head + content


def _unpack(stored: bytes) -> tuple[bytes | None, Validators]:
    body = stored[len(_MAGIC) + 20 :]
    if _MAGIC + blake2b(body, digest_size=20).digest() != stored[: len(_MAGIC) + 20]:
        return None, Validators()
    head, _, content = body.partition(b"\n")
    return content, Validators(*json.loads(head))
