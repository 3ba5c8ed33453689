"""The backend as a model of Label Studio's official ML SDK 2.x.

`label-studio-ml start label_studio_backend` serves it. Settings come from the environment, as for
`pam-labeling serve`. The SDK makes a new object for every request, so all objects share one
backend. The SDK's server does less than ours: it has no /metrics, never answers "busy", passes no
token on from /setup, checks no config, and answers every failure with a plain 500.

The SDK (`label_studio_ml`) is published only as a git repository. This module was tested against a
stand-in, not with the real SDK.
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
    """The one backend of the process. The first call begins to load its model.

    Raises:
        InputError, CommandError: a setting in the environment cannot be used.
    """
    model, server = read_settings({}, {})
    backend = Backend(open_predictor(model, server), server)
    atexit.register(backend.close)
    backend.load()
    return backend


class PerceiveAnything(LabelStudioMLBase):  # type: ignore[misc]  # the SDK is untyped, if there
    """Perceive Anything as a model for the SDK's `init_app`."""

    def setup(self) -> None:
        """Tell the SDK the version that predictions carry."""
        self.set("model_version", shared_backend().model_version)

    def predict(
        self, tasks: list[dict[str, Any]], context: Mapping[str, Any] | None = None, **_: Any
    ) -> list[dict[str, Any]]:
        """Predict each task; see `Backend.predict`.

        Raises:
            PamError: as `Backend.predict` does.
        """
        backend = shared_backend()
        # The SDK's setup does not reach our backend; it keeps the parameters in its own cache.
        backend.setup(
            SetupBody(self.project_id, self.label_config, extra_params=self.get("extra_params"))
        )
        body = predict_body(tasks, self.label_config, self.project_id, context)
        return list(backend.predict(body)["results"])

    def fit(self, event: str, data: Any, **_: Any) -> dict[str, Any]:  # noqa: ARG002 - by name
        """Count a webhook event; nothing is trained."""
        return shared_backend().webhook(event)
