"""HTTP around the backend: the paths that Label Studio calls, served by waitress.

Label Studio drops the body of an answer that is not 2xx, and shows only its status line: in the
connect form, and as the state of the connected model. So our sentences travel in the status line
too, as the reason phrase.
"""

from __future__ import annotations

import base64
import hmac
import logging
import os
import re
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

import msgspec
import waitress
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from label_studio_backend.errors import RequestError
from label_studio_backend.server.admission import NoTurnError
from label_studio_backend.server.bodies import read_event, read_setup
from label_studio_backend.server.large_bodies import received
from pam_labeling import BusyError

if TYPE_CHECKING:
    from label_studio_backend.server.backend import Backend
    from label_studio_backend.settings import ServerSettings

_log = logging.getLogger(__name__)

# Label Studio calls webhooks without credentials. /ready tells an orchestrator nothing secret.
_OPEN_PATHS = ("/webhook", "/ready")
_REASON_LENGTH = 400
# Above waitress' 100: whoever comes when all are taken is not even told that it is busy.
_CONNECTIONS = 1000


class Server(Protocol):
    """What is used of waitress' servers."""

    def run(self) -> None:
        """Serve until the process is told to end."""

    def print_listen(self, format_str: str, /) -> None:
        """Log each address that is listened on."""

    def close(self) -> None:
        """Close the port."""


def create_app(backend: Backend, settings: ServerSettings) -> Flask:
    """The WSGI application around a backend."""
    app = Flask("label_studio_backend", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    _add_paths(app, backend)
    _add_errors(app, backend)

    @app.before_request
    def authorise() -> Response | None:
        if settings.basic_auth_user is None or request.path in _OPEN_PATHS or _knows(settings):
            return None
        answer = _failure(401, "the name or the password of Basic Auth is missing or wrong")
        answer.headers["WWW-Authenticate"] = 'Basic realm="pam-labeling"'
        return answer

    @app.after_request
    def count(answer: Response) -> Response:
        path = request.url_rule.rule if request.url_rule else "other"
        backend.metrics.requests.labels(path, str(answer.status_code)).inc()
        return answer

    return app


def _add_paths(app: Flask, backend: Backend) -> None:
    @app.get("/")
    @app.get("/health")
    def health() -> Response:
        return _json(backend.health())

    @app.get("/ready")
    def ready() -> Response:
        state = backend.health()["state"]
        return _json({"state": state}, 200 if state == "ready" else 503)

    @app.get("/versions")
    def versions() -> Response:
        return _json(backend.versions())

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(backend.metrics.text(), content_type=CONTENT_TYPE_LATEST)

    @app.post("/setup")
    def setup() -> Response:
        return _json(backend.setup(read_setup(request.get_data(cache=False))))

    @app.post("/predict")
    def predict() -> Response:
        with received(request.stream, request.content_length or 0) as body:
            return _json(backend.predict(body))

    @app.post("/webhook")
    def webhook() -> Response:
        return _json(backend.webhook(read_event(request.get_data(cache=False))))


def _add_errors(app: Flask, backend: Backend) -> None:
    @app.errorhandler(RequestError)
    def refused(error: RequestError) -> Response:
        if isinstance(error, NoTurnError):
            backend.metrics.busy.inc()
        _log.warning("%s: %s", request.path, error)
        answer = _failure(error.status, str(error))
        if error.retry_after is not None:
            answer.headers["Retry-After"] = str(error.retry_after)
        return answer

    @app.errorhandler(BusyError)
    def busy(error: BusyError) -> Response:
        return refused(NoTurnError(f"busy: {error}"))

    @app.errorhandler(HTTPException)
    def unknown(error: HTTPException) -> Response:
        if error.code == 404:
            return _failure(404, f"there is nothing at {request.path[:100]}")
        answer = _failure(error.code or 500, error.description or error.name)
        if isinstance(error, MethodNotAllowed):
            answer.allow.update(error.valid_methods or ())
        return answer

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        _log.error("%s failed", request.path, exc_info=error)
        # What an unexpected error says may hold anything; its kind is enough for the other side.
        return _failure(500, f"{type(error).__name__}: see the backend's log")


def _knows(settings: ServerSettings) -> bool:
    """Whether the request has the right name and password; compared in constant time."""
    scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except ValueError:  # not base64, not even ASCII
        return False
    right = f"{settings.basic_auth_user}:{settings.basic_auth_pass}"
    # Label Studio sends what Latin-1 can write in it, everybody else sends UTF-8.
    forms = [right.encode()]
    if all(character <= "\xff" for character in right):
        forms.append(right.encode("latin-1"))
    same = [hmac.compare_digest(given, form) for form in forms]
    return scheme.lower() == "basic" and any(same)


def _json(content: Any, status: int | str = 200) -> Response:
    return Response(msgspec.json.encode(content), status=status, content_type="application/json")


def _failure(status: int, sentence: str) -> Response:
    return _json({"error": sentence}, f"{status} {reason_phrase(sentence)}")


def reason_phrase(sentence: str) -> str:
    """A sentence as it may stand in a status line: printable ASCII on one line, not too long."""
    line = re.sub(r"[^\x20-\x7e]+", "?", " ".join(sentence.split()))
    return line if len(line) <= _REASON_LENGTH else f"{line[: _REASON_LENGTH - 3]}..."


def create_server(app: Flask, settings: ServerSettings) -> Server:
    """Open the port; `run` on the result serves until the process is told to end.

    Raises:
        OSError: the address cannot be listened on.
    """
    server: Server = waitress.create_server(
        app,
        sockets=_bound(settings.host, settings.port),
        threads=settings.server_threads,
        connection_limit=_CONNECTIONS,
        max_request_body_size=settings.max_body_bytes,
        ident="pam-labeling",
        clear_untrusted_proxy_headers=True,
    )
    return server


def _bound(host: str, port: int) -> list[socket.socket]:
    """A socket for each address that the host has.

    Raises:
        OSError: the host is unknown, or one of its addresses cannot be had.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as opened:
        sockets = []
        for family, _, _, _, address in found:
            sockets.append(opened.enter_context(socket.socket(family, socket.SOCK_STREAM)))
            _bind(sockets[-1], address)
        opened.pop_all()
    return sockets


def _bind(opened: socket.socket, address: Any) -> None:
    # Waitress listens, when it can soon answer: who connects before would wait.
    if os.name == "posix":  # elsewhere it lets two servers have one port
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if opened.family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.bind(address)
