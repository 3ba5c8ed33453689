"""Decode the request bodies of Label Studio, and check their form.

The body of `/predict` has the whole tasks with all their annotations: many megabytes of run
lengths. It is cut into its tasks, and a task is read in pieces when it is worked on: what is wrong
with one task is this task's failure. A click never decodes long annotations.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec

from label_studio_backend.errors import RequestError
from label_studio_backend.json_pieces import Json, JsonList, JsonObject, TooManyItemsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

T = TypeVar("T", bound=msgspec.Struct)

MOST_TASKS = 10_000
"""The most tasks of one request. Label Studio posts all chosen tasks at once."""


# They are kept in memory, for each project.
_ShortText = Annotated[str, msgspec.Meta(max_length=8192)]


class SetupBody(msgspec.Struct, frozen=True):
    """The body of `/setup`.

    Attributes:
        project: Label Studio's "id.unix_time".
        schema: the labelling config.
        hostname: the address that Label Studio says it has.
        access_token: the legacy token of the project's creator.
        extra_params: what the admin wrote into the connect form, not checked yet.
    """

    project: _ShortText | int | float = ""
    schema: str = ""
    hostname: _ShortText | None = None
    access_token: _ShortText | None = None
    extra_params: Any = None

    def __repr__(self) -> str:  # without the token
        return f"SetupBody(project={self.project!r})"


@dataclass(frozen=True)
class PredictBody:
    """The body of `/predict`.

    Attributes:
        tasks: the JSON of each task; `read_task` reads it.
        label_config: the labelling config.
        project: Label Studio's "id.unix_time", or "".
        prompts: the results that an annotator drew; [] after Submit, None for a batch.
    """

    tasks: list[Json]
    label_config: str
    project: str = ""
    prompts: Sequence[Any] | JsonList | None = None


class _Context(msgspec.Struct):
    result: Any = []  # a list, or a `JsonList`, which msgspec does not know


class _Params(msgspec.Struct):
    context: _Context | None = None


class _Predict(msgspec.Struct):
    tasks: list[Any]
    label_config: str
    project: _ShortText | int | float | None = None
    params: _Params | None = None


class _Event(msgspec.Struct):
    action: str | None = None


def read_predict(raw: bytes) -> PredictBody:
    """Read the body of `/predict`, but not its tasks.

    Raises:
        RequestError: the body is not JSON, not in the form that Label Studio posts, or has more
            than `MOST_TASKS` tasks.
    """
    body = _read(raw, _Predict, tasks=MOST_TASKS)
    context = body.params.context if body.params else None
    prompts = None if context is None else context.result
    if not isinstance(prompts, list | JsonList | None):
        kind = "int" if isinstance(prompts, int) else "no array"
        raise RequestError(
            f"{_UNEXPECTED}: Expected `array`, got `{kind}` - at `$.params.context.result`"
        )
    return PredictBody(body.tasks, body.label_config, project_key(body.project), prompts)


def read_task(json: Json) -> Mapping[str, Any]:
    """Read a task, with its annotations, drafts and predictions: long ones when they are asked for.

    Raises:
        RequestError: it is no JSON object, nested too deeply, or longer than is read.
    """
    try:
        task = json.value()
    except RequestError as error:
        raise RequestError(f"the task cannot be read: {error}") from error
    if not isinstance(task, dict | JsonObject):
        raise RequestError("the task cannot be read: it is no JSON object")
    return task


def read_setup(raw: bytes) -> SetupBody:
    """Read the body of `/setup`.

    Raises:
        RequestError: the body is not JSON, or not in the form that Label Studio posts.
    """
    body = _read(raw, SetupBody)
    if isinstance(body.extra_params, JsonObject | JsonList):
        raise RequestError("the extra parameters are too long")
    return body


def read_event(raw: bytes) -> str:
    """Read the action of a webhook event; "" if it has none.

    Raises:
        RequestError: as `read_setup` does.
    """
    return _read(raw, _Event).action or ""


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


def _read(raw: bytes, kind: type[T], **lists: int) -> T:
    """Read a body's members; those of `lists` as the JSON of so many items at most."""
    try:
        json = Json.shallow(raw, 1 + 2 * len(lists), 35 * MOST_TASKS)  # a task has some 25 members
        if json.kind != "{":
            return msgspec.convert(json.value(), kind)
        given: dict[str, Any] = {}
        for name, member in json.members().items():
            if name in lists and member.kind == "[":
                given[name] = member.items(lists[name])
            elif name in kind.__struct_fields__:
                given[name] = member.value()
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise RequestError(f"{_UNEXPECTED}: {error}") from error
    except RequestError as error:
        said = str(error).removeprefix("it ")
        if lists and isinstance(error, TooManyItemsError):
            said += (
                f": a request may have {MOST_TASKS:,} tasks; choose fewer in Label Studio, or use "
                "pam-labeling prelabel"
            )
        raise RequestError(f"the body {said}") from error
