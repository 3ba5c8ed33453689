"""Write each prediction into Label Studio exactly once.

Label Studio 1.23 takes predictions in two ways. Its bulk import works through all tasks of the
project at each call (1.6 s with 30,000 tasks, growing with them). So predictions are created one by
one (0.1 s, whatever the project's size): each write is one complete prediction.
"""

from __future__ import annotations

from enum import Enum, auto
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import Api, LostAnswerError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping


GRACE = (1.0, 2.0, 4.0, 8.0)
"""Seconds between checks for a write whose answer was lost; it may still arrive."""

_ATTEMPTS = 4


class Written(Enum):
    """The outcome of writing a prediction."""

    CREATED = auto()
    REPLACED = auto()
    ALREADY_THERE = auto()  # someone else, or this program before it was killed, was faster


class PredictionSink:
    """Writes the predictions of one model version.

    Args:
        api: the server.
        model_version: the name of all predictions written here, which tells them from others.
        grace: see `GRACE`.
    """

    def __init__(self, api: Api, model_version: str, *, grace: tuple[float, ...] = GRACE) -> None:
        self._api = api
        self._model_version = model_version
        self._grace = grace
        self._sent_twice: set[int] = set()

    def write(
        self, task_id: int, prediction: Mapping[str, Any], replaces: tuple[int, ...] = ()
    ) -> Written:
        """Write one prediction, in place of those whose ids are in `replaces`.

        Raises:
            RefusedError: Label Studio does not take it; others may succeed.
            ApiFailure: none will succeed.
        """
        body = {
            "result": prediction["result"],
            "score": prediction.get("score"),
            "model_version": self._model_version,
        }
        if replaces:
            *others, newest = replaces
            if self._change("PATCH", newest, body):
                for other in others:
                    self._change("DELETE", other)
                return Written.REPLACED
        # A process that was killed may have left a write on its way.
        if self._ids(task_id):
            return Written.ALREADY_THERE
        self._create(task_id, body)
        return Written.CREATED

    def settle(self) -> None:
        """Remove late arrivals from the tasks that were sent twice.

        Raises:
            ApiFailure: the server cannot be asked.
        """
        for task_id in sorted(self._sent_twice):
            self._remove_doubles(task_id)

    def _create(self, task_id: int, body: Mapping[str, object]) -> None:
        for attempt in range(_ATTEMPTS):
            try:
                self._api.once("api/predictions/", {"task": task_id, **body})
            except LostAnswerError as error:
                reason = str(error)
                if not self._arrives(task_id):
                    self._sent_twice.add(task_id)
                    continue
            if attempt:
                self._remove_doubles(task_id)
            return
        raise RefusedError(f"{reason}, {_ATTEMPTS} times", HTTPStatus.INTERNAL_SERVER_ERROR)

    def _arrives(self, task_id: int) -> bool:
        """Whether the prediction is there, now or within the time of grace."""
        for seconds in self._grace:
            if self._ids(task_id):
                return True
            self._api.wait(seconds)
        return bool(self._ids(task_id))

    def _remove_doubles(self, task_id: int) -> None:
        for surplus in self._ids(task_id)[1:]:
            self._change("DELETE", surplus)

    def _change(
        self, method: str, prediction_id: int, body: Mapping[str, object] | None = None
    ) -> bool:
        """Change or delete a prediction; false if somebody deleted it meanwhile."""
        try:
            self._api.repeatable(method, f"api/predictions/{prediction_id}/", body)
        except RefusedError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            return False
        return True

    def _ids(self, task_id: int) -> list[int]:
        """Ids of the task's predictions of this model version, oldest first."""
        found = self._api.get("api/predictions/", task=task_id)
        return sorted(int(p["id"]) for p in found if p["model_version"] == self._model_version)
