"""Run the server process of `pam-labeling serve`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import Api, ApiFailure
from label_studio_backend.predictor import open_predictor, read_settings
from label_studio_backend.server.app import create_app, create_server
from label_studio_backend.server.backend import Backend
from pam_labeling.command_line.exit_codes import CommandError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.settings import ServerSettings

_log = logging.getLogger(__name__)


def serve(model: Mapping[str, Any], server: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM. Call it in the main thread.

    Args:
        model: settings of the model by name; None takes the environment's.
        server: settings of the server likewise.

    Raises:
        InputError: a setting cannot be used.
        CommandError: the server cannot listen on its address, or use the folder of media.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    model_settings, settings = read_settings(model, server)
    settings.configure_logging()
    if settings.label_studio_url is None:
        _log.warning(
            "LABEL_STUDIO_URL is not set: uploads and local files cannot be fetched; set it to "
            "Label Studio's address, and LABEL_STUDIO_API_KEY to a token"
        )
    if os.environ.get("WORKERS", "1").strip() not in ("", "1"):
        _log.warning("WORKERS is not used: one process owns the model; see THREADS")
    with closing(Backend(open_predictor(model_settings, settings), settings)) as backend:
        app = create_app(backend, settings)
        app.test_client().get("/ready")  # Flask's first answer is slow; nobody waits for this one
        try:
            http = create_server(app, settings)
        except (OSError, ValueError) as error:
            raise CommandError(
                f"cannot listen on {settings.host}:{settings.port}: {error}"
            ) from error
        with suppress(SystemExit, KeyboardInterrupt), closing(http):  # run() swallows both
            http.print_listen("listening on http://{}:{}")
            # Not earlier: loading slows down the start of the server's threads.
            backend.load()
            threading.Thread(target=check_access, args=(settings,), daemon=True).start()
            http.run()
        if backend.health()["state"] == "loading":
            # Python's own clean-up aborts while a thread is inside torch.
            logging.shutdown()
            sys.stderr.flush()
            os._exit(0)


def check_access(settings: ServerSettings) -> None:
    """Warn at the start, before the first click, if Label Studio is away or refuses the token."""
    if settings.label_studio_url is None or settings.api_key is None:
        return
    try:
        with closing(Api(settings.label_studio_url, settings.api_key, patience=0)) as api:
            api.get("api/projects/", page_size=1)
    except ApiFailure as error:
        _log.warning("Label Studio's images cannot be fetched now: %s", error)
