"""From settings to a running server; torch is loaded with this module, before the port opens."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import torch

from label_studio_backend.api_client import Api, ApiFailure
from label_studio_backend.media.task_media import MediaError, TaskMedia
from label_studio_backend.server.app import create_app, create_server
from label_studio_backend.server.backend import Backend
from label_studio_backend.settings import ServerSettings
from pam_labeling.command_line.exit_codes import CommandError
from pam_labeling.errors import SettingsError
from pam_labeling.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pam_labeling import Annotator

# After so long a busy thread lets others run; an answer to /health needs several such turns.
_SWITCH_SECONDS = 0.0005

_log = logging.getLogger(__name__)


def read_settings(
    model: Mapping[str, Any], server: Mapping[str, Any]
) -> tuple[Settings, ServerSettings]:
    """Both kinds of settings from the environment, with overrides by name.

    Raises:
        CommandError: a setting that cannot be used.
    """
    try:
        return Settings.from_environment(**model), ServerSettings.from_environment(**server)
    except SettingsError as error:
        raise CommandError(str(error)) from error


def open_backend(model: Settings, server: ServerSettings) -> Backend:
    """A backend that can load the model.

    Raises:
        CommandError: settings of media that cannot be used.
    """

    def open_annotator() -> Annotator:
        torch.set_num_threads(server.model_threads)
        return model.open_annotator()

    try:
        media = TaskMedia(server.media)
    except (MediaError, OSError) as error:
        raise CommandError(str(error)) from error
    return Backend(
        open_annotator,
        media,
        server,
        model=model.model,
        max_pixels=model.max_pixels,
    )


def serve(model: Mapping[str, Any], server: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM. To be called in the main thread.

    Args:
        model: settings of the model by name, None for what the environment says.
        server: settings of the server likewise.

    Raises:
        CommandError: a setting that cannot be used, or an address that cannot be listened on.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    model_settings, settings = read_settings(model, server)
    settings.configure_logging()
    _warn(settings)
    sys.setswitchinterval(_SWITCH_SECONDS)
    with open_backend(model_settings, settings) as backend:
        app = create_app(backend, settings)
        app.test_client().get("/ready")  # Flask's first answer is slow; here nobody waits for it
        try:
            http = create_server(app, settings)
        except OSError as error:
            raise CommandError(
                f"cannot listen on {settings.host}:{settings.port}: {error}"
            ) from error
        with suppress(SystemExit, KeyboardInterrupt), closing(http):  # run() passes over them, too
            # Not before: it would keep the threads that answer from being started.
            backend.load()
            http.print_listen("listening on http://{}:{}")
            threading.Thread(target=check_access, args=(settings,), daemon=True).start()
            http.run()
        if backend.health()["state"] == "loading":
            _end_now()


def check_access(settings: ServerSettings) -> None:
    """Warn if Label Studio is not there or refuses the token: else the first click would tell."""
    if settings.label_studio_url is None or settings.api_key is None:
        return
    try:
        api = Api(settings.label_studio_url, settings.api_key, patience=0)
        try:
            api.get("api/projects/", page_size=1)
        finally:
            api.close()
    except ApiFailure as error:
        _log.warning("Label Studio's images cannot be fetched now: %s", error)


def _end_now() -> None:
    """End without Python's own clean-up, which aborts while a thread is inside of torch."""
    logging.shutdown()
    sys.stderr.flush()
    os._exit(0)


def _warn(settings: ServerSettings) -> None:
    if settings.label_studio_url is None:
        _log.warning(
            "LABEL_STUDIO_URL is not set: uploads and local files cannot be fetched; set it to "
            "Label Studio's address, and LABEL_STUDIO_API_KEY to a token"
        )
    if os.environ.get("WORKERS", "1").strip() not in ("", "1"):
        _log.warning("WORKERS is not used: one process owns the model; see THREADS")
