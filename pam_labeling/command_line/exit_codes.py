"""Exit codes of the commands, and the error that ends one."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of `pam-labeling`; if two apply, the higher one counts."""

    OK = 0
    IMAGES_FAILED = 1
    USAGE = 2
    NO_MODEL = 3
    NOT_WRITTEN = 4
    INTERRUPTED = 130
    TERMINATED = 143


class CommandError(Exception):
    """An error that ends a command.

    Attributes:
        code: the exit code of the process.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.code = code
