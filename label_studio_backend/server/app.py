"""The HTTP server around the backend: the paths that Label Studio calls, served by waitress.

If an answer is not 2xx, Label Studio shows only its status line: in the connect form, and as the
state of the connected model. Therefore the reason phrase repeats the error message.
"""

from __future__ import annotations

import base64
import hmac
import logging
import re
import resource
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import waitress
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import BaseWSGIServer
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from label_studio_backend.media.task_media import MediaError
from label_studio_backend.server.bodies import read_event, read_predict, read_setup
from pam_labeling.errors import BusyError, DeadlineError, InputError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from label_studio_backend.server.backend import Backend
    from label_studio_backend.settings import ServerSettings

_log = logging.getLogger(__name__)

# Flask takes the row of the nearest base class. Any other exception is a bug of ours: 500.
_STATUSES = ((InputError, 400), (MediaError, 502), (UnavailableError, 503), (DeadlineError, 504))
_RETRY_AFTER = "5"  # seconds
# Label Studio calls webhooks without credentials. /ready reveals nothing secret.
_OPEN_PATHS = ("/webhook", "/ready")
_REASON_LENGTH = 400
# More than waitress's default of 100, and than there are threads.
_CONNECTIONS = 1500


def create_app(backend: Backend, settings: ServerSettings) -> Flask:
    """The WSGI application around a backend."""
    app = Flask("label_studio_backend", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.url_map.strict_slashes = False
    _add_paths(app, backend)
    _add_errors(app, backend)

    @app.before_request
    def authorise() -> Response | None:
        if _may(settings, request.path, request.headers.get("Authorization", "")):
            return None
        answer = _failure(401, "the user name or password for Basic Auth is missing or wrong")
        answer.headers["WWW-Authenticate"] = 'Basic realm="pam-labeling"'
        return answer

    @app.after_request
    def count(answer: Response) -> Response:
        path = request.url_rule.rule if request.url_rule else "other"
        backend.metrics.requests.labels(path, str(answer.status_code)).inc()
        return answer

    return app


def _add_paths(app: Flask, backend: Backend) -> None:
    def ready() -> Response:
        state = backend.health()["state"]
        return _json({"state": state}, 200 if state == "ready" else 503)

    def body() -> bytes:
        return request.get_data(cache=False)

    answers: dict[str, Callable[[], Response]] = {
        "GET /": lambda: _json(backend.health()),
        "GET /health": lambda: _json(backend.health()),
        "GET /ready": ready,
        "GET /versions": lambda: _json(backend.versions()),
        "GET /metrics": lambda: Response(backend.metrics.text(), content_type=CONTENT_TYPE_LATEST),
        "POST /setup": lambda: _json(backend.setup(read_setup(body()))),
        "POST /predict": lambda: _json(backend.predict(read_predict(body()))),
        "POST /webhook": lambda: _json(backend.webhook(read_event(body()))),
    }
    for name, answer in answers.items():
        method, _, path = name.partition(" ")
        app.add_url_rule(path, name, answer, methods=[method])


def _add_errors(app: Flask, backend: Backend) -> None:
    def refused(error: Exception, status: int) -> Response:
        sentence = str(error)
        if isinstance(error, BusyError):
            backend.metrics.busy.inc()
            sentence = f"busy: {sentence}"
        _log.warning("%s: %s", request.path, sentence)
        answer = _failure(status, sentence)
        if status == 503:
            answer.headers["Retry-After"] = _RETRY_AFTER
        return answer

    for kind, status in _STATUSES:
        app.register_error_handler(kind, partial(refused, status=status))

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
        # The text of an unexpected error may hold secrets, so only its class is sent.
        return _failure(500, f"{type(error).__name__}: see the backend's log")


def _may(settings: ServerSettings, path: str, authorization: str) -> bool:
    """Whether a request needs no name and password, or has them; compared in constant time."""
    if settings.basic_auth_user is None or path in _OPEN_PATHS:
        return True
    scheme, _, encoded = authorization.partition(" ")
    try:
        given = base64.b64decode(encoded, validate=True)
    except ValueError:  # not base64, not even ASCII
        return False
    right = f"{settings.basic_auth_user}:{settings.basic_auth_pass}"
    # Label Studio encodes in Latin-1 where it can; all other clients send UTF-8.
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
    """Make a sentence fit a status line: one line of printable ASCII, not too long."""
    line = re.sub(r"[^\x20-\x7e]+", "?", " ".join(sentence.split()))
    return line if len(line) <= _REASON_LENGTH else f"{line[: _REASON_LENGTH - 3]}..."


class _Parser(HTTPRequestParser):  # type: ignore[misc]  # waitress is untyped
    """Reads no body of a request without the password: it is answered at once."""

    def parse_header(self, header_plus: bytes) -> None:
        super().parse_header(header_plus)
        if not self.adj.may(self.path, self.headers.get("AUTHORIZATION", "")):
            self.body_rcv, self.content_length, self.expect_continue = None, 0, False
            self.headers["CONNECTION"] = "close"


class _Channel(HTTPChannel):  # type: ignore[misc]  # waitress is untyped
    """A connection that takes the place of the oldest one without a request, if all are taken.

    Waitress would let nobody in: whoever opens connections and says nothing, or a byte a second,
    would keep all others out.
    """

    parser_class = _Parser

    def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:  # noqa: A002
        super().__init__(server, sock, addr, adj, map)
        if len(map) >= adj.connection_limit:
            open_ones = server.active_channels.values()  # in the order of their beginning
            next(one for one in open_ones if not one.requests).handle_close()


def create_server(app: Flask, settings: ServerSettings) -> Any:
    """Listen on the port.

    Returns:
        waitress's server; its `run` serves until the process is told to end.

    Raises:
        OSError, ValueError: the host is unknown, or the port cannot be used.
    """
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    some = _CONNECTIONS if files == resource.RLIM_INFINITY else files // 2
    sockets: dict[int, Any] = {}
    server = waitress.create_server(
        app,
        map=sockets,
        host=settings.host,
        port=settings.port,
        threads=settings.server_threads,
        # Half of the files that may be open are for connections, the others for images.
        connection_limit=min(_CONNECTIONS, some),
        asyncore_use_poll=True,  # select() takes no file above number 1023
        max_request_body_size=settings.max_body_bytes,
        ident="pam-labeling",
        clear_untrusted_proxy_headers=True,
    )
    for one in sockets.values():
        if isinstance(one, BaseWSGIServer):
            one.channel_class, one.adj.may = _Channel, partial(_may, settings)
    return server
