"""The same backend under Label Studio's official SDK 2.x: `label-studio-ml start` this folder.

The SDK (`label_studio_ml`, published as a git repository only; this was tested against a stand-in,
and not run under the real one) makes a new object for every request; the backend behind them is one
for the process. The settings are those of `pam-labeling
serve`, from the environment. What the SDK's server cannot do is missing: it has no /metrics, no
"busy", its setup brings no token and checks no config, and a failure is a plain 500.
"""

from __future__ import annotations

import atexit
import functools
from typing import TYPE_CHECKING, Any

from label_studio_ml.model import LabelStudioMLBase

from label_studio_backend.server.bodies import SetupBody, predict_body
from label_studio_backend.server.serving import open_backend, read_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.server.backend import Backend


@functools.cache
def shared_backend() -> Backend:
    """The process's backend; its model begins to load with the first call.

    Raises:
        CommandError: a setting of the environment that cannot be used.
    """
    backend = open_backend(*read_settings({}, {}))
    atexit.register(backend.close)
    backend.load()
    return backend


class PerceiveAnything(LabelStudioMLBase):  # type: ignore[misc]  # the SDK is untyped, if there
    """Perceive Anything for `init_app` of the SDK."""

    def setup(self) -> None:
        """Tell the SDK the version that predictions carry."""
        self.set("model_version", shared_backend().model_version)

    def predict(
        self, tasks: list[dict[str, Any]], context: Mapping[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """A prediction for each task; see `Backend.predict`.

        Raises:
            RequestError: options, config or prompts that cannot be answered, or busy.
        """
        backend = shared_backend()
        # Here, because the SDK keeps what its setup brought in a cache of its own.
        extra_params = self.get("extra_params")
        backend.setup(SetupBody(self.project_id, self.label_config, extra_params=extra_params))
        body = predict_body(tasks, self.label_config, self.project_id, context)
        results: list[dict[str, Any]] = backend.predict(body)["results"]
        return results

    def fit(self, event: str, data: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG002 - by name
        """Take note of an event."""
        return shared_backend().webhook(event)
