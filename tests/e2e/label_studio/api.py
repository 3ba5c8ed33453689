"""Label Studio's HTTP API as an administrator's script would use it."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from typing import Any

import requests

_SECONDS = 120


@dataclass(frozen=True)
class Project:
    """A project of Label Studio."""

    id: int
    url: str


class Api:
    """One user's access to one Label Studio.

    Args:
        url: of Label Studio.
        authorization: the header with the user's token.
    """

    def __init__(self, url: str, authorization: str) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.headers["Authorization"] = authorization
        self._personal_token: str | None = None

    def close(self) -> None:
        self._session.close()

    def create_project(self, title: str, label_config: str, *, show_predictions: bool) -> Project:
        """A new project.

        Args:
            show_predictions: whether a task is predicted when it is opened without a prediction,
                and shows it ("Use predictions to prelabel tasks").
        """
        project = {
            "title": title,
            "label_config": label_config,
            "show_collab_predictions": show_predictions,
            "evaluate_predictions_automatically": show_predictions,
        }
        number = int(self.call("POST", "/api/projects", json=project)["id"])
        return Project(number, f"{self.url}/projects/{number}")

    def upload(self, project: Project, name: str, content: bytes) -> int:
        """Upload one image and return the id of its task."""
        self.call("POST", f"/api/projects/{project.id}/import", files={"file": (name, content)})
        tasks = self.call("GET", f"/api/tasks?project={project.id}&page_size=100")["tasks"]
        return max(int(task["id"]) for task in tasks)

    def connect(self, project: Project, url: str, **options: Any) -> dict[str, Any]:
        """Connect an ML backend, as Settings > Model > Connect Model does.

        Raises:
            ApiError: Label Studio refuses it; the message is what the form would show.
        """
        backend = {"project": project.id, "url": url, "title": "PAM", "is_interactive": True}
        return dict(self.call("POST", "/api/ml", json=backend | options))

    def backend(self, project: Project) -> dict[str, Any]:
        """The project's only backend, asked for its state as the settings page does it."""
        (backend,) = self.call("GET", f"/api/ml?project={project.id}")
        return dict(backend)

    def retrieve_predictions(self, project: Project) -> dict[str, Any]:
        """Do what Actions > Batch predictions does, for all tasks."""
        selected = {"selectedItems": {"all": True, "excluded": []}}
        path = f"/api/dm/actions?id=retrieve_tasks_predictions&project={project.id}"
        return dict(self.call("POST", path, json=selected))

    def annotate_from_predictions(self, project: Project) -> None:
        """Do what Actions > Create annotations from predictions does, for all tasks."""
        selected = {"selectedItems": {"all": True, "excluded": []}}
        path = f"/api/dm/actions?id=predictions_to_annotations&project={project.id}"
        self.call("POST", path, json=selected)

    def export(self, project: Project, kind: str) -> dict[str, bytes]:
        """The files of the export menu's format `kind`, by name; those of ZIP archives."""
        path = f"/api/projects/{project.id}/export?exportType={kind}"
        answer = self._session.get(self.url + path, timeout=_SECONDS)
        if not answer.ok:
            raise ApiError(answer.status_code, answer.text)
        if not answer.content.startswith(b"PK"):
            return {"result.json": answer.content}
        with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
            return {name: archive.read(name) for name in archive.namelist()}

    def show_predictions(self, project: Project) -> None:
        """Let annotations begin with the predictions that there are."""
        self.call("PATCH", f"/api/projects/{project.id}", json={"show_collab_predictions": True})

    def test_request(self, project: Project) -> dict[str, Any]:
        """Do what Settings > Model > Send Test Request does: a random task and its answer."""
        backend = self.backend(project)
        return dict(self.call("POST", f"/api/ml/{backend['id']}/predict/test?random=true"))

    def predictions(self, task: int) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/predictions?task={task}"))

    def annotations(self, task: int) -> list[dict[str, Any]]:
        return list(self.call("GET", f"/api/tasks/{task}/annotations"))

    def personal_access_token(self) -> str:
        """This user's: a JWT that the backend must exchange for short-lived ones."""
        if self._personal_token is None:  # a user can have only one
            self._personal_token = str(self.call("POST", "/api/token/")["token"])
        return self._personal_token

    def allow_legacy_tokens(self, allowed: bool) -> None:
        tokens = {"api_tokens_enabled": True, "legacy_api_tokens_enabled": allowed}
        self.call("POST", "/api/jwt/settings", json=tokens)

    def change_config(self, project: Project, label_config: str) -> None:
        self.call("PATCH", f"/api/projects/{project.id}", json={"label_config": label_config})

    def call(self, method: str, path: str, **options: Any) -> Any:
        """The JSON of one request.

        Raises:
            ApiError: the answer's status is not a success.
        """
        answer = self._session.request(method, self.url + path, timeout=_SECONDS, **options)
        if not answer.ok:
            raise ApiError(answer.status_code, answer.text)
        return answer.json() if answer.content else None


class ApiError(Exception):
    """An answer in which Label Studio refuses a request."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


def of_type(results: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The results of one type, in their order."""
    return [result for result in results if result["type"] == kind]


def regions_of(results: list[dict[str, Any]]) -> dict[str, dict[str, dict[str, Any]]]:
    """Results by region (their common id) and type; a region has one of each type."""
    regions: dict[str, dict[str, dict[str, Any]]] = {}
    for result in results:
        parts = regions.setdefault(result["id"], {})
        assert result["type"] not in parts
        parts[result["type"]] = result
    return regions
