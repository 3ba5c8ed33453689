"""A proxy in front of the backend that keeps what Label Studio asked and what it was answered."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

_PASSED_ON = ("Authorization", "Content-Type", "User-Agent")


@dataclass(frozen=True)
class Exchange:
    """One request to the backend and its answer.

    Attributes:
        path: without the query.
        asked: the request's JSON, None for a GET.
        status: of the answer.
        answered: the answer's JSON, None where it is none.
        authorised: whether the request carried credentials.
    """

    path: str
    asked: Any
    status: int
    answered: Any
    authorised: bool

    @property
    def context(self) -> list[dict[str, Any]] | None:
        """The prompts of an interactive request, None in pre-annotation."""
        context = self.asked["params"]["context"]
        return None if context is None else context["result"]

    @property
    def results(self) -> list[dict[str, Any]]:
        """The results of the only prediction."""
        (prediction,) = self.answered["results"]
        return list(prediction["result"])


class Recorder:
    """Passes every request on to `target` and records it, from any number of threads."""

    def __init__(self, target: str) -> None:
        self.target = target
        self._exchanges: list[Exchange] = []
        self._changed = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self.url = f"http://localhost:{self._server.server_port}"

    def __enter__(self) -> Recorder:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def mark(self) -> int:
        """Where the record ends now, for `since`."""
        with self._changed:
            return len(self._exchanges)

    def since(self, mark: int, path: str) -> list[Exchange]:
        """The requests to one path after the mark, oldest first."""
        with self._changed:
            return [exchange for exchange in self._exchanges[mark:] if exchange.path == path]

    def wait(
        self, mark: int, path: str, wanted: Callable[[Exchange], bool], seconds: float = 30
    ) -> Exchange:
        """The first wanted exchange after the mark, as soon as it is answered."""

        def found() -> Exchange | None:
            there = (exchange for exchange in self._exchanges[mark:] if exchange.path == path)
            return next((exchange for exchange in there if wanted(exchange)), None)

        with self._changed:
            exchange = self._changed.wait_for(found, seconds)
            seen = [(one.path, one.status) for one in self._exchanges[mark:]]
        assert exchange is not None, f"no such request to {path} in {seconds} s, only {seen}"
        return exchange

    def _record(self, exchange: Exchange) -> None:
        with self._changed:
            self._exchanges.append(exchange)
            self._changed.notify_all()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._pass_on("GET", None)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                self._pass_on("POST", self.rfile.read(length))

            def _pass_on(self, method: str, body: bytes | None) -> None:
                headers = {name: self.headers[name] for name in _PASSED_ON if name in self.headers}
                answer = requests.request(
                    method, recorder.target + self.path, data=body, headers=headers, timeout=150
                )
                recorder._record(
                    Exchange(
                        self.path.partition("?")[0],
                        json.loads(body) if body else None,
                        answer.status_code,
                        _json_of(answer),
                        "Authorization" in headers,
                    )
                )
                self.send_response(answer.status_code, answer.reason)
                for name in ("Content-Type", "WWW-Authenticate", "Retry-After"):
                    if name in answer.headers:
                        self.send_header(name, answer.headers[name])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                """Say nothing: the record is kept."""

        return Handler


def _json_of(answer: requests.Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        return None
