"""The backend as a model of Label Studio's official SDK 2.x: `label-studio-ml start` this folder.

The SDK (`label_studio_ml`) is published as a git repository only; this module was tested against a
stand-in, and not run under the real one. The SDK makes a new object for every request; all of them
share one backend. Settings come from the environment, as for `pam-labeling serve`. The SDK's server
lacks some of what ours does: it has no /metrics and no "busy", its setup brings no token and checks
no config, and a failure is a plain 500.
"""

from __future__ import annotations

import atexit
import functools
from typing import TYPE_CHECKING, Any

from label_studio_ml.model import LabelStudioMLBase

from label_studio_backend.predictor import open_predictor, read_settings
from label_studio_backend.server.backend import Backend
from label_studio_backend.server.bodies import SetupBody, predict_body

if TYPE_CHECKING:
    from collections.abc import Mapping


@functools.cache
def shared_backend() -> Backend:
    """The process's backend; its model begins to load with the first call.

    Raises:
        CommandError: a setting of the environment that cannot be used.
    """
    model, server = read_settings({}, {})
    backend = Backend(open_predictor(model, server), server)
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
            PamError: as `Backend.predict` does.
        """
        backend = shared_backend()
        # The SDK keeps the parameters of its setup in a cache of its own, so it is asked here.
        extra_params = self.get("extra_params")
        backend.setup(SetupBody(self.project_id, self.label_config, extra_params=extra_params))
        body = predict_body(tasks, self.label_config, self.project_id, context)
        results: list[dict[str, Any]] = backend.predict(body)["results"]
        return results

    def fit(self, event: str, data: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG002 - by name
        """Count an event."""
        return shared_backend().webhook(event)
