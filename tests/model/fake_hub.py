"""A server on this machine that speaks what a download needs of the hub's protocol."""

from __future__ import annotations

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Request(NamedTuple):
    method: str
    path: str
    range: str | None
    token: str | None


class FakeHub(ThreadingHTTPServer):
    """Repositories in memory.

    Attributes:
        repositories: hub id -> file name -> content.
        requests: all that arrived.
        break_after: file name -> bytes after which the connection is cut, once for each time that
            it is listed.
        refuse: hub id -> (status, value of X-Error-Code).
        damage: file names that arrive with their last byte changed.
        elsewhere: file names that are kept on another host, as large files of the real hub are.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.requests: list[Request] = []
        self.break_after: dict[str, list[int]] = {}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.damage: set[str] = set()
        self.elsewhere: set[str] = set()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def gets(self, file: str) -> list[Request]:
        """The requests for the content of a file."""
        return [
            request
            for request in self.requests
            if request.method == "GET" and request.path.endswith("/" + file)
        ]

    def handle_error(self, request, client_address) -> None:
        """Say nothing about connections that were cut on purpose."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FakeHub

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base's name)
        """Stay quiet."""

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        wanted, token = self.headers.get("Range"), self.headers.get("Authorization")
        self.server.requests.append(Request(self.command, path, wanted, token))
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(/.*)?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        repository = found.group(1) if found else ""
        if repository in self.server.refuse:
            status, code = self.server.refuse[repository]
            self.send(status, b"{}", {"X-Error-Code": code})
        elif repository not in self.server.repositories:
            self.send(404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif api:
            self.send_listing(repository, api.group(2) or "")
        else:
            assert file is not None
            self.send_file(repository, file.group(3))

    def send_listing(self, repository: str, rest: str) -> None:
        files = self.server.repositories[repository]
        if "/tree/" in rest:
            answer: object = [
                {
                    "type": "file",
                    "path": name,
                    "size": len(content),
                    "oid": hashlib.sha1(content).hexdigest(),
                }
                for name, content in files.items()
            ]
        else:
            siblings = [{"rfilename": name} for name in files]
            answer = {"id": repository, "sha": COMMIT, "siblings": siblings, "tags": []}
        self.send(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    def send_file(self, repository: str, name: str) -> None:
        content = self.server.repositories[repository].get(name)
        if content is None:
            self.send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
        if name in self.server.elsewhere and self.headers["Host"].startswith("127.0.0.1"):
            place = f"http://localhost:{self.server.server_port}{self.path}"
            linked = {"X-Linked-Etag": headers["ETag"], "X-Linked-Size": str(len(content))}
            self.send(302, b"", {**headers, **linked, "Location": place})
            return
        if name in self.server.damage:
            content = content[:-1] + bytes([content[-1] ^ 1])
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if wanted is None:
            self.send(200, content, headers, name)
            return
        start = int(wanted.group(1))
        headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send(206, content[start:], headers, name)

    def send(self, status: int, body: bytes, headers: dict[str, str], name: str = "") -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        breaks = self.server.break_after.get(name)
        if breaks:
            self.wfile.write(body[: breaks.pop(0)])
            self.close_connection = True
            return
        self.wfile.write(body)
