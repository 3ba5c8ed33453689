"""Remember the options and access that `/setup` sent for each project.

Label Studio sends a project's options only with `/setup`, and after a restart of the backend a
click may come first. Therefore a file keeps the options, too. It holds neither addresses nor
tokens, only options that `Options.read` accepts.
"""

from __future__ import annotations

import logging
import os
import tempfile
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from cachetools import LRUCache
from filelock import FileLock

from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.media.task_media import Access

FILE_NAME = "projects.json"
"""The file's name, in the folder of the media cache."""

MOST_PROJECTS = 1000
"""The most projects that the file keeps: those whose options were set last."""

MOST_BYTES = 4 << 20
"""The longest file: a longer one is not read, and options that need more are not kept."""

_MAX_CHARACTERS = 32 << 20  # of all projects in memory
_LOCK_SECONDS = 5.0

_log = logging.getLogger(__name__)


class _Content(msgspec.Struct):
    """The file: extra parameters by project, those set last at the end."""

    pam_labeling_projects: dict[str, Any]


class ProjectFile:
    """A file of extra parameters by project, readable by this user only.

    It is safe for any thread, and for several servers that have it in common: a lock file beside
    it keeps one from losing what another has just written.

    Projects with the default options are not in it. If the file cannot be read or written, a
    warning is logged, and the backend goes on without it.

    Args:
        path: the file; its folder is made if it does not exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = FileLock(f"{path}.lock", timeout=_LOCK_SECONDS, mode=0o600)

    def read(self) -> dict[str, Options]:
        """Options by project; {} if the file is missing or damaged."""
        read = {}
        for key, given in self._read().items():
            try:
                read[key] = Options.read(given)
            except OptionsError as error:  # noqa: PERF203 - the others are read all the same
                _log.warning("%s: the options of project %s: %s", self._path, key, error)
        return read

    def write(self, key: str, extra_params: Any) -> None:
        """Keep parameters that `Options.read` accepted; forget those that equal the defaults."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._lock:
                self._change(key, extra_params)
        except OSError as error:  # also that the lock is not free in time
            _log.warning("the projects' options cannot be kept: %s", error)

    def _change(self, key: str, extra_params: Any) -> None:
        projects = self._read()
        known = projects.pop(key, None)
        if Options.read(extra_params) != Options():
            projects[key] = extra_params
        elif known is None:
            return
        while len(projects) > MOST_PROJECTS:
            del projects[next(iter(projects))]
        content = msgspec.json.encode(_Content(projects))
        if len(content) <= MOST_BYTES:
            self._replace(content)
        else:
            _log.warning("%s: the options of project %s are too long to be kept", self._path, key)

    def _read(self) -> dict[str, Any]:
        try:
            with self._path.open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            if len(content) > MOST_BYTES:
                raise msgspec.DecodeError(f"it has more than {MOST_BYTES:,} bytes")
            return msgspec.json.decode(content, type=_Content).pam_labeling_projects
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            _log.warning(
                "%s cannot be read (%s): projects have the default options until Label Studio "
                "sends their extra parameters again",
                self._path,
                error,
            )
            return {}

    def _replace(self, content: bytes) -> None:
        handle, name = tempfile.mkstemp(prefix=f".{FILE_NAME}.", dir=self._path.parent)  # mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(name).replace(self._path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


@dataclass(frozen=True)
class Project:
    """One project's connection.

    Attributes:
        options: from its extra parameters.
        access: the Label Studio that asked.
        problem: why its extra parameters cannot be used, or None.
        hints: sentences about what its config lacks.
    """

    options: Options = field(default_factory=Options)
    access: Access = field(default_factory=Access)
    problem: str | None = None
    hints: tuple[str, ...] = ()


class Projects:
    """Projects by Label Studio's "id.unix_time"; safe to use from any thread.

    A project for which no `/setup` came since the start has the options in the file, or else the
    default options.

    Args:
        file: keeps options for the next start; None keeps none.
    """

    def __init__(self, file: ProjectFile | None = None) -> None:
        self._file = file
        self._projects: LRUCache[str, Project] = LRUCache(
            _MAX_CHARACTERS, getsizeof=lambda project: len(repr(project))
        )
        for key, options in file.read().items() if file else ():
            self._projects[key] = Project(options)
        self._lock = threading.Lock()

    def remember(self, key: str, project: Project, extra_params: Any = None) -> Project:
        """Keep a project, and return what was known of it before.

        The project that was used longest ago may be forgotten for it.

        Args:
            key: the project's key.
            project: what `/setup` said.
            extra_params: the parameters that its options were read from, for the file.
        """
        with self._lock:
            known = self._projects.get(key, Project())
            self._projects[key] = project
        if self._file and project.options != known.options:
            self._file.write(key, extra_params if project.problem is None else None)
        return known

    def get(self, key: str) -> Project:
        """A project's connection; a default one if it is unknown."""
        with self._lock:
            return self._projects.get(key, Project())
