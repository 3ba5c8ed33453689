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
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.model_loader import ModelLoader
    from label_studio_backend.settings import ServerSettings

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")

_log = logging.getLogger(__name__)


def serve(model: Mapping[str, Any], server: Mapping[str, Any]) -> None:
    """Serve until SIGINT or SIGTERM, and end the process. Call it in the main thread.

    The exit code is 0, or `NO_MODEL` if the model could not be loaded.

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
    if model_settings.note is not None:
        _log.warning("%s", model_settings.note)
    _warn(settings)
    predictor = open_predictor(model_settings, settings)
    with closing(Backend(predictor, settings)) as backend:
        app = create_app(backend, settings)
        app.test_client().get("/ready")  # Flask's first answer is slow; nobody waits for this one
        try:
            http = create_server(app, settings)
        except (OSError, ValueError, RuntimeError) as error:  # the last one: no more threads
            raise CommandError(
                f"cannot listen on {settings.host}:{settings.port}: {error}"
            ) from error

        def end(*_: object) -> None:
            backend.close()  # whoever waits for the model is answered before the threads end
            sys.exit()

        signal.signal(signal.SIGTERM, end)
        signal.signal(signal.SIGINT, end)
        with suppress(SystemExit):  # run() swallows it, too
            http.print_listen("listening on http://{}:{}")
            # Not earlier: loading slows down the start of the server's threads.
            backend.load()
            for target, argument in ((check_access, settings), (_end_without, predictor.loader)):
                threading.Thread(target=target, args=(argument,), daemon=True).start()
            http.run()
    # Python's own clean-up aborts while a thread is inside torch.
    logging.shutdown()
    sys.stderr.flush()
    os._exit(ExitCode.NO_MODEL if predictor.loader.state == "failed" else ExitCode.OK)


def _warn(settings: ServerSettings) -> None:
    """Log what will probably be missed."""
    if settings.label_studio_url is None:
        _log.warning(
            "LABEL_STUDIO_URL is not set: uploads and local files cannot be fetched; set it to "
            "Label Studio's address, and LABEL_STUDIO_API_KEY to a token"
        )
    if os.environ.get("WORKERS", "1").strip() not in ("", "1"):
        _log.warning("WORKERS is not used: one process owns the model; see THREADS")
    if settings.basic_auth_user is None and settings.host not in _THIS_MACHINE:
        _log.warning(
            "everybody who reaches %s can use this backend, and the images that it may fetch: "
            "set BASIC_AUTH_USER and BASIC_AUTH_PASS",
            settings.host,
        )


def _end_without(model: ModelLoader) -> None:
    """End the process if the model cannot be loaded, so that a supervisor notices."""
    try:
        model.wait(None)
    except UnavailableError:
        os.kill(os.getpid(), signal.SIGTERM)


def check_access(settings: ServerSettings) -> None:
    """Warn at the start, before the first click, if Label Studio is away or refuses the token."""
    if settings.label_studio_url is None or settings.api_key is None:
        return
    try:
        with closing(Api(settings.label_studio_url, settings.api_key, patience=0)) as api:
            api.get("api/projects/", page_size=1)
    except ApiFailure as error:
        _log.warning("Label Studio's images cannot be fetched now: %s", error)
