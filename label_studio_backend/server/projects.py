"""What `/setup` said about each project, for the clicks that follow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

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

    A project that nobody has set up since the backend started has the options of the file, if it
    is in there, or else the default options.

    Args:
        file: keeps options for the next start; None: nothing does.
    """

    def __init__(self, file: ProjectFile | None = None) -> None:
        self._file = file
        read = file.read() if file else {}
        self._projects = OrderedDict((key, Project(options)) for key, options in read.items())
        self._lock = threading.Lock()

    def remember(self, key: str, project: Project, extra_params: Any = None) -> Project:
        """Keep what was set up, and return what was known before.

        The project that was longest not set up again may be forgotten.

        Args:
            key: the project's.
            project: what was set up.
            extra_params: what its options were read from, for the file.
        """
        known = self._remember(key, project)
        if self._file and project.options != known.options:
            self._file.write(key, extra_params if project.problem is None else None)
        return known

    def _remember(self, key: str, project: Project) -> Project:
        with self._lock:
            known = self._projects.get(key, Project())
            self._projects[key] = project
            self._projects.move_to_end(key)
            if len(self._projects) > _MAX_PROJECTS:
                self._projects.popitem(last=False)
            return known

    def get(self, key: str) -> Project:
        """What is known of a project."""
        with self._lock:
            return self._projects.get(key, Project())
