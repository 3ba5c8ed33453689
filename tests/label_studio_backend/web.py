"""A web server on this machine, a name server and a piece of the internet, for tests of media."""

from __future__ import annotations

import base64
import copy
import json
import socket
import ssl
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpcore

TLS = Path(__file__).parent / "fixtures" / "tls"
"""A certificate for pictures.test until 2125, signed by itself, and its key."""

_resolve = socket.getaddrinfo


class Server(ThreadingHTTPServer):
    """Answers what `routes` say, by path without query; keeps `requests` in the order they came."""

    daemon_threads = True

    def __init__(self) -> None:
        self.reset()
        super().__init__(("127.0.0.1", 0), _Handler)

    def reset(self) -> Server:
        """Forget routes and requests, for the next test."""
        self.routes: dict = {}
        self.requests: list = []
        return self

    def handle_error(self, request, client_address):
        """Clients that hang up are part of the tests."""

    @property
    def port(self) -> int:
        return self.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def serve(self, path, body=b"image", *, status=200, **headers):
        """Answer a path with a body; `_` in names of headers means `-`."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        self.routes[path] = lambda request: request.answer(body, status=status, **headers)

    def redirect(self, path, location, status=302):
        self.serve(path, b"", status=status, Location=location)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer's body waits 40 ms for its head to be confirmed
    server: Server

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        # A copy: this object goes on with the next request on its connection.
        self.server.requests.append(copy.copy(self))
        route = self.server.routes.get(self.path.partition("?")[0])
        if route is None:
            self.answer(b"", status=404)
        else:
            route(self)

    def do_POST(self):
        self.do_GET()

    def answer(self, body=b"", *, status=200, **headers):
        self.send_response(status)
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers and status != 304:
            headers["Content-Length"] = str(len(body))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def answer_json(self, value, status=200):
        self.answer(json.dumps(value).encode(), status=status, **{"Content-Type": "x/json"})

    def log_message(self, *args):
        pass


@contextmanager
def running(*, tls=False):
    server = Server()
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "certificate.pem", TLS / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Internet:
    """Fake name resolution and connections: nothing here leaves this machine.

    Attributes:
        names: host -> its addresses, or a list of such answers, the last one for ever.
        servers: public IP address -> the `Server` that is there, on whatever port.
        connected: the IP addresses that were connected to.
    """

    def __init__(self, monkeypatch) -> None:
        self.names: dict = {}
        self.servers: dict[str, Server] = {}
        self.connected: list[str] = []
        self.asked: list[str] = []
        connect = httpcore.SyncBackend.connect_tcp

        def connect_tcp(backend, ip, port, *args, **kwargs):
            self.connected.append(ip)
            if ip in self.servers:
                ip, port = "127.0.0.1", self.servers[ip].port
            return connect(backend, ip, port, *args, **kwargs)

        monkeypatch.setattr(socket, "getaddrinfo", self._getaddrinfo)
        monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)

    def host(self, name, server, address="93.184.215.14"):
        self.names[name] = [address]
        self.servers[address] = server

    def _getaddrinfo(self, host, port, family=0, kind=socket.SOCK_STREAM, *args, **kwargs):
        if host not in self.names:
            return _resolve(host, port, family, kind, flags=socket.AI_NUMERICHOST)
        self.asked.append(host)
        answers = self.names[host]
        if answers and isinstance(answers[0], list):
            answers = answers.pop(0) if len(answers) > 1 else answers[0]
        family = {False: socket.AF_INET, True: socket.AF_INET6}
        return [
            (
                family[":" in ip],
                socket.SOCK_STREAM,
                6,
                "",
                (ip, port, 0, 0)[: 4 if ":" in ip else 2],
            )
            for ip in answers
        ]


def jwt(**claims) -> str:
    """A token as Label Studio makes them, with a signature that nobody here checks."""
    parts = ({"alg": "HS256", "typ": "JWT"}, claims, "signature")
    coded = (base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts)
    return ".".join(part.rstrip("=") for part in coded)


def personal_access_token(number=1) -> str:
    return jwt(token_type="refresh", exp=8047000000, iat=1739000000, jti=f"{number}", user_id="1")
