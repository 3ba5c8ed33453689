"""Decode the request bodies of Label Studio, and check their form.

The body of `/predict` holds whole tasks with all their annotations: many megabytes of run
lengths. It is decoded in two passes. The first pass leaves each task as raw JSON; the second
decodes a task when work on it begins. A click never decodes the annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from label_studio_backend.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T")

MOST_TASKS = 10_000
"""The most tasks of one request. Label Studio posts all chosen tasks at once."""

MOST_TASK_BYTES = 32 << 20
"""The most bytes that the JSON of one task in a batch may have.

Decoding a task of this size blocks all other threads, even `/health`, for 0.2 s.
"""


class SetupBody(msgspec.Struct, frozen=True):
    """The body of `/setup`.

    Attributes:
        project: Label Studio's "id.unix_time".
        schema: the labelling config.
        hostname: the address that Label Studio says it has.
        access_token: the legacy token of the project's creator.
        extra_params: what the admin wrote into the connect form, not checked yet.
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
    """The body of `/predict`.

    Attributes:
        tasks: the JSON of each task, an object; `read_task` and `read_clicked_task` decode it.
        label_config: the labelling config.
        project: Label Studio's "id.unix_time", or "".
        prompts: the results that an annotator drew; [] after Submit, None for a batch.
    """

    tasks: list[msgspec.Raw]
    label_config: str
    project: str = ""
    prompts: list[Any] | None = None


class _Context(msgspec.Struct):
    result: list[Any] = []


class _Params(msgspec.Struct):
    context: _Context | None = None


# A JSON array with one field for each permitted task: the decoder stops at the first task beyond
# them. A `list` of 80 million empty tasks would take gigabytes before it could be counted.
_Tasks = msgspec.defstruct(
    "_Tasks",
    [(f"task_{n}", msgspec.Raw | msgspec.UnsetType, msgspec.UNSET) for n in range(MOST_TASKS)],
    array_like=True,
    forbid_unknown_fields=True,
)
_TOO_MANY = f"of at most length {MOST_TASKS}"


class _Predict(msgspec.Struct):
    tasks: _Tasks  # type: ignore[valid-type]  # made above
    label_config: str
    project: str | int | float | None = None
    params: _Params | None = None


class _ClickedTask(msgspec.Struct):
    data: Any = None  # `image_value` says that a task has none
    id: int | str | None = None


class _Event(msgspec.Struct):
    action: str | None = None


def read_predict(raw: bytes) -> PredictBody:
    """Read the body of `/predict`, but not its tasks.

    Raises:
        RequestError: the body is not JSON, not in the form that Label Studio posts, or has more
            than `MOST_TASKS` tasks.
    """
    body = _decode(raw, _Predict)
    tasks = [task for task in msgspec.structs.astuple(body.tasks) if task is not msgspec.UNSET]
    for number, task in enumerate(tasks):
        if memoryview(task)[0] != ord("{"):
            raise RequestError(f"{_UNEXPECTED}: Expected `object` - at `$.tasks[{number}]`")
    context = body.params.context if body.params else None
    prompts = None if context is None else context.result
    return PredictBody(tasks, body.label_config, project_key(body.project), prompts)


def read_task(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode a task of a batch, with its annotations, drafts and predictions.

    Raises:
        RequestError: the task is not JSON, nested too deeply, or longer than `MOST_TASK_BYTES`.
    """
    if memoryview(raw).nbytes > MOST_TASK_BYTES:
        raise RequestError(
            f"a task has more than {MOST_TASK_BYTES >> 20} MiB of annotations and data: simplify "
            "its regions, or put the address of its image into the task instead of the image"
        )
    return _decode(raw, dict[str, Any])


def read_clicked_task(raw: bytes | msgspec.Raw) -> dict[str, Any]:
    """Decode the parts of a task that a click needs: id and data.

    Raises:
        RequestError: as `read_task` does.
    """
    return msgspec.structs.asdict(_decode(raw, _ClickedTask))


def read_setup(raw: bytes) -> SetupBody:
    """Read the body of `/setup`.

    Raises:
        RequestError: the body is not JSON, or not in the form that Label Studio posts.
    """
    return _decode(raw, SetupBody)


def read_event(raw: bytes) -> str:
    """Read the action of a webhook event; "" if it has none.

    Raises:
        RequestError: as `read_setup` does.
    """
    return _decode(raw, _Event).action or ""


def predict_body(
    tasks: Sequence[object],
    label_config: str,
    project: object = None,
    context: Mapping[str, Any] | None = None,
) -> PredictBody:
    """Make a `PredictBody` from data that, for example, the official SDK has already decoded.

    Raises:
        RequestError: as `read_predict` does.
    """
    body = {"tasks": tasks, "label_config": label_config, "project": project}
    return read_predict(msgspec.json.encode({**body, "params": {"context": context}}))


def project_key(project: object) -> str:
    """A project's "id.unix_time" as text."""
    return "" if project is None else str(project)


_UNEXPECTED = "the body is not what Label Studio posts here"


def _decode(raw: bytes | msgspec.Raw, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        if _TOO_MANY in str(error):
            raise RequestError(
                f"the request has more than {MOST_TASKS:,} tasks: choose fewer in Label Studio, or "
                "use pam-labeling prelabel"
            ) from error
        raise RequestError(f"{_UNEXPECTED}: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RequestError(f"the body is not JSON: {error}") from error
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error
