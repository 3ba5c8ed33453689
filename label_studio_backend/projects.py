"""What `/setup` said about each project, for the clicks that follow."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field

from label_studio_backend.options import Options
from label_studio_backend.task_media import Access

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

    A project that nobody has set up since the backend started has the default options.
    """

    def __init__(self) -> None:
        self._projects: OrderedDict[str, Project] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, key: str, project: Project) -> Project:
        """Keep what was set up, and return what was known before.

        The project that was longest not set up again may be forgotten.
        """
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
