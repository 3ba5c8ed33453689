"""Media as files: fetched once, named by a digest of their content, handed over as paths."""

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
    """A file that somebody may see; nothing of it has been read yet.

    Attributes:
        key: says which content it is: files with one key have the same content.
        source: where it lies; its content where no disk keeps it.
        size: in bytes.
        verified: False for a file that may have been damaged since it was written; then `key` is
            its content's digest, and `read` compares them.
    """

    key: str
    source: Path | bytes = field(repr=False)
    size: int
    verified: bool = True

    def read(self) -> bytes:
        """The content.

        Raises:
            OSError: it cannot be read. FileNotFoundError: it is gone, or was damaged and is now
                removed; whoever gave it out may fetch it again.
        """
        if isinstance(self.source, bytes):
            return self.source
        # Neither follows a link that was put there just now, nor waits for a pipe.
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
    """A file while it comes, hashed on its way to `file`."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file
        self.size = 0
        self._digest = content_digest()

    def write(self, chunk: bytes) -> None:
        """Add the next bytes.

        Raises:
            OSError: the disk does not take them.
        """
        self.file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def key(self) -> str:
        """The digest of what has come."""
        return self._digest.hexdigest()

    def in_memory(self) -> MediaFile:
        """What has come, where no disk keeps it."""
        self.file.seek(0)
        return MediaFile(self.key, self.file.read(), self.size)
