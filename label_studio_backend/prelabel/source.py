"""Stream the tasks to do from Label Studio, page by page."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from label_studio_backend.api_client import Api
    from label_studio_backend.prelabel.selection import Selection

LISTED = 1000  # ids in one page
READ = 16  # whole tasks, with all their masks, in one page
# Characters. Label Studio cuts long lists of model versions off, at 200 or somewhat more.
_CUT = 200


@dataclass(frozen=True)
class Project:
    """A project of Label Studio.

    Attributes:
        id: its number.
        title: its name.
        tasks: how many it has.
        config: its labelling config, XML.
        evaluates: whether Label Studio asks its own backends before it lists tasks.
    """

    id: int
    title: str
    tasks: int
    config: str
    evaluates: bool


@dataclass(frozen=True, eq=False)
class Todo:
    """A task to do. Two of them are never equal.

    Attributes:
        task: as Label Studio shows it, with annotations, drafts and the predictions of others.
        replaces: ids of its predictions of our model version, oldest first.
    """

    task: Mapping[str, Any]
    replaces: tuple[int, ...] = ()

    @property
    def id(self) -> int:
        return int(self.task["id"])


@dataclass
class Tally:
    """The chosen tasks that are left out, and why.

    Attributes:
        done_before: how many have a prediction of this model version already.
        excluded: how many the view leaves out.
        vanished: ids of those that were deleted after they were listed.
        missing: ids that were asked for but are not in the project, or do not meet the filters.
    """

    done_before: int = 0
    excluded: int = 0
    vanished: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)


def read_project(api: Api, project: int) -> Project:
    """Read a project.

    Raises:
        RefusedError: there is none of this number (404).
        ApiFailure: the server cannot be asked.
    """
    answer = api.get(f"api/projects/{project}/")
    return Project(
        id=project,
        title=str(answer.get("title") or ""),
        tasks=int(answer.get("task_number") or 0),
        config=str(answer.get("label_config") or ""),
        evaluates=bool(answer.get("evaluate_predictions_automatically")),
    )


class TaskSource:
    """Streams the chosen tasks that have no prediction of a model version yet.

    First it lists the tasks' ids, with the model versions of their predictions where that is
    certain. This is cheap, and leaves out most tasks that are done. Then it reads each task that
    is left, with all its predictions, which show for certain whether it is done.

    Args:
        api: the server.
        project: whose tasks.
        selection: which of them.
        model_version: tasks with a prediction of this model version are left out.
        overwrite: leave none out; the old predictions are replaced.
    """

    def __init__(
        self,
        api: Api,
        project: Project,
        selection: Selection,
        model_version: str,
        *,
        overwrite: bool = False,
    ) -> None:
        self.tally = Tally()
        self._api = api
        self.project = project
        self._selection = selection
        self.model_version = model_version
        self._overwrite = overwrite

    def count(self) -> int:
        """How many tasks are chosen, done or not."""
        parts = self._selection.parts()
        return sum(self._page(p.after(0), page_size=1, include="id")["total"] for p in parts)

    def ids(self) -> Iterator[int]:
        """Ids of the chosen tasks, in their order, without those that the list shows as done."""
        visible = not self._overwrite and self._versions_are_visible()
        excluded = set(self._selection.excluded)
        for part in self._selection.parts():
            missing = set(part.included or ())
            for task in self._listed(part, visible=visible):
                missing.discard(task["id"])
                if task["id"] in excluded:
                    self.tally.excluded += 1
                elif visible and self._is_seen_done(task["predictions_model_versions"]):
                    self.tally.done_before += 1
                else:
                    yield task["id"]
            self.tally.missing += sorted(missing)

    def _listed(self, selection: Selection, *, visible: bool) -> Iterator[Mapping[str, Any]]:
        columns = {"hiddenColumns": _HIDDEN} if visible else {}
        params = {
            "page_size": LISTED,
            "include": "id,predictions_model_versions" if visible else "id",
        }
        last = 0
        # Only an empty page is the last: a server may limit pages to fewer tasks than asked.
        while page := self._page(selection.after(last) | columns, **params)["tasks"]:
            yield from page
            last = page[-1]["id"]

    def __iter__(self) -> Iterator[Todo]:
        waiting = self.ids()
        while ids := list(islice(waiting, READ)):
            query = {"selectedItems": {"all": False, "included": ids}, "ordering": ["tasks:id"]}
            tasks = self._page(query, page_size=READ, fields="all")["tasks"]
            self.tally.vanished += sorted(set(ids) - {task["id"] for task in tasks})
            for task in tasks:
                # Our own earlier predictions are kept apart: they prompt nothing.
                predictions = task.get("predictions") or []
                ours = [p for p in predictions if p.get("model_version") == self.model_version]
                others = [p for p in predictions if p.get("model_version") != self.model_version]
                if ours and not self._overwrite:
                    self.tally.done_before += 1
                else:
                    yield Todo(
                        task={**task, "predictions": others},
                        replaces=tuple(sorted(int(prediction["id"]) for prediction in ours)),
                    )

    def _page(self, query: Mapping[str, object], **params: object) -> Any:
        if self.project.evaluates:
            params["review"] = "true"  # then the server asks no backend for predictions
        return self._api.get(
            "api/tasks/",
            project=self.project.id,
            query=json.dumps(query, separators=(",", ":")),
            page=1,
            **params,
        )

    def _versions_are_visible(self) -> bool:
        """Whether the list of ids shows for certain which tasks are done.

        Label Studio joins the names of a task's versions by commas, in any order, and a name may
        have commas itself. So other versions together may look like ours: then it does not.
        """
        if self.project.evaluates:
            return False
        known = self._api.get(f"api/projects/{self.project.id}/model-versions/", extended="true")
        names = {str(version.get("model_version") or "") for version in known.get("static", ())}
        others = set().union(*(_parts(name) for name in names - {self.model_version}))
        return not _parts(self.model_version) <= others

    def _is_seen_done(self, versions: str | None) -> bool:
        text = versions or ""
        return len(text) < _CUT and _parts(self.model_version) <= _parts(text)


# Label Studio shows the versions only if a request names columns to hide. It computes each column
# that is not hidden, so all expensive ones are named.
_HIDDEN = dict.fromkeys(
    ("explore", "labeling"),
    (
        "tasks:annotations_ids",
        "tasks:annotations_results",
        "tasks:annotators",
        "tasks:avg_lead_time",
        "tasks:completed_at",
        "tasks:draft_exists",
        "tasks:file_upload",
        "tasks:predictions_results",
        "tasks:predictions_score",
        "tasks:state",
        "tasks:storage_filename",
    ),
)


def _parts(versions: str) -> set[str]:
    """The texts between the commas. Label Studio drops quotation marks."""
    return {part.strip() for part in versions.replace('"', "").split(",")}
