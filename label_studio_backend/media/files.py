"""Fetched files, named by a digest, on the disk or in memory."""

from __future__ import annotations

import logging
import os
import stat
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from pam_labeling.media import content_digest

if TYPE_CHECKING:
    from pathlib import Path

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaFile:
    """A file that the caller may see; it has not been read yet.

    Attributes:
        key: identifies the content: files with the same key have the same content.
        source: its path, or its content if it is not on the disk.
        size: in bytes.
        verified: False for a file that may have been damaged since it was written; then `key` is
            the content's digest, and `read` compares them.
    """

    key: str
    source: Path | bytes = field(repr=False)
    size: int
    verified: bool = True

    def read(self) -> bytes:
        """The content.

        Raises:
            FileNotFoundError: the file is gone, or was damaged and is now removed; it can be
                fetched again.
            OSError: the file cannot be read.
        """
        if isinstance(self.source, bytes):
            return self.source
        # The flags keep it from following a link that was just put there, and from waiting for a
        # pipe.
        descriptor = os.open(self.source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise FileNotFoundError(f"{self.source} is not a regular file")
            content = file.read(self.size)
        if not self.verified and content_digest(content).hexdigest() != self.key:
            _log.warning("a file of the media cache was damaged; it is fetched again")
            self.source.unlink(missing_ok=True)
            raise FileNotFoundError(f"{self.source} was damaged")
        return content


class Incoming:
    """A file that is being received: its bytes are hashed and written to `file`."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._digest = content_digest()

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises:
            OSError: they cannot be written.
        """
        self.file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def key(self) -> str:
        """The digest of the bytes received so far."""
        return self._digest.hexdigest()

    def in_memory(self) -> MediaFile:
        """The bytes received so far, as a file in memory."""
        self.file.seek(0)
        return MediaFile(self.key, self.file.read(), self.size)
