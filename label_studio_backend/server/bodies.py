"""What Label Studio posts, read once and checked for its form.

Every click carries the task with all its annotations: many megabytes of run lengths that a click
does not need. They are skipped here without being built; only a batch reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from label_studio_backend.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

T = TypeVar("T")


class SetupBody(msgspec.Struct, frozen=True):
    """What `/setup` brings.

    Attributes:
        project: Label Studio's "id.unix_time".
        schema: the labelling config.
        hostname: where Label Studio says it is.
        access_token: the legacy token of the project's creator.
        extra_params: what the admin wrote into the connect form, unread.
    """

    project: str | int | float = ""
    schema: str = ""
    hostname: str | None = None
    access_token: str | None = None
    extra_params: Any = None

    def __repr__(self) -> str:  # without the token
        return f"SetupBody(project={self.project!r})"


@dataclass(frozen=True)
class PredictBody:
    """What `/predict` brings.

    Attributes:
        tasks: each an object, its `data` not checked; for a click without its annotations, drafts
            and predictions.
        label_config: the labelling config.
        project: Label Studio's "id.unix_time", or "".
        prompts: the results that an annotator points with, [] after Submit; None for a batch.
    """

    tasks: list[dict[str, Any]]
    label_config: str
    project: str = ""
    prompts: list[Any] | None = None


class _Context(msgspec.Struct):
    result: list[Any] = []


class _Params(msgspec.Struct):
    context: _Context | None = None


class _Task(msgspec.Struct):
    data: Any = None  # one that has none spoils no other: see `image_value`
    id: int | str | None = None


class _Predict(msgspec.Struct):
    tasks: list[_Task]
    label_config: str
    project: str | int | float | None = None
    params: _Params | None = None


class _WholeTasks(msgspec.Struct):
    tasks: list[dict[str, Any]]


class _Event(msgspec.Struct):
    action: str | None = None


def read_predict(raw: bytes | memoryview) -> PredictBody:
    """Read the body of `/predict`.

    Raises:
        RequestError: not JSON, or not of the form that Label Studio posts.
    """
    body = _decode(raw, _Predict)
    context = body.params.context if body.params else None
    if context is None:
        tasks = _decode(raw, _WholeTasks).tasks
    else:
        tasks = [{"id": task.id, "data": task.data} for task in body.tasks]
    prompts = None if context is None else context.result
    return PredictBody(tasks, body.label_config, project_key(body.project), prompts)


def read_setup(raw: bytes) -> SetupBody:
    """Read the body of `/setup`.

    Raises:
        RequestError: as `read_predict` does.
    """
    return _decode(raw, SetupBody)


def read_event(raw: bytes) -> str:
    """Read which action a webhook tells of, "" if it does not say.

    Raises:
        RequestError: as `read_predict` does.
    """
    return _decode(raw, _Event).action or ""


def predict_body(
    tasks: list[dict[str, Any]],
    label_config: str,
    project: object = None,
    context: Mapping[str, Any] | None = None,
) -> PredictBody:
    """The same from data that somebody else read, for example the official SDK.

    Raises:
        RequestError: as `read_predict` does.
    """
    wanted = {
        "tasks": tasks,
        "label_config": label_config,
        "project": project,
        "params": {"context": context},
    }
    try:
        body = msgspec.convert(wanted, _Predict)
    except msgspec.ValidationError as error:
        raise RequestError(_unexpected(error)) from error
    read = body.params.context if body.params else None
    return PredictBody(tasks, label_config, project_key(project), read.result if read else None)


def project_key(project: object) -> str:
    """A project's "id.unix_time" as text."""
    return "" if project is None else str(project)


def _decode(raw: bytes | memoryview, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise RequestError(_unexpected(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error


def _unexpected(error: Exception) -> str:
    return f"the body is not what Label Studio posts here: {error}"
