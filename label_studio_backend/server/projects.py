"""The projects that `/setup` told about: their options and access, for the clicks that follow."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from label_studio_backend.config.options import Options
from label_studio_backend.media.task_media import Access

if TYPE_CHECKING:
    from label_studio_backend.server.project_file import ProjectFile

_MAX_PROJECTS = 10_000


@dataclass(frozen=True)
class Project:
    """One project's connection.

    Attributes:
        options: what its extra parameters say.
        access: the Label Studio that asked.
        problem: why its extra parameters cannot be used, or None.
        hints: what could be better about its config.
    """

    options: Options = field(default_factory=Options)
    access: Access = field(default_factory=Access)
    problem: str | None = None
    hints: tuple[str, ...] = ()


class Projects:
    """Projects by Label Studio's "id.unix_time"; safe to use from any thread.

    A project that nobody has set up since the backend started has the options in the file, or else
    the default options.

    Args:
        file: keeps options for the next start; None: they are not kept.
    """

    def __init__(self, file: ProjectFile | None = None) -> None:
        self._file = file
        self._projects: LRUCache[str, Project] = LRUCache(_MAX_PROJECTS)
        for key, options in file.read().items() if file else ():
            self._projects[key] = Project(options)
        self._lock = threading.Lock()

    def remember(self, key: str, project: Project, extra_params: Any = None) -> Project:
        """Keep what was set up, and return what was known before.

        The project that was used longest ago may be forgotten for it.

        Args:
            key: the project's.
            project: what was set up.
            extra_params: what its options were read from, for the file.
        """
        with self._lock:
            known = self._projects.get(key, Project())
            self._projects[key] = project
        if self._file and project.options != known.options:
            self._file.write(key, extra_params if project.problem is None else None)
        return known

    def get(self, key: str) -> Project:
        """What is known of a project."""
        with self._lock:
            return self._projects.get(key, Project())
