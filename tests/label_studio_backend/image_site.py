"""A stand-in for the part of Label Studio that serves the images of tasks."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "a-legacy-token"


class ImageSite:
    """Images by their path, for `Authorization: Token ...`.

    Attributes:
        images: the content of files by path, such as "/data/upload/1/x.png".
        asked: the paths that were asked for, in their order.
        url: where it is.
    """

    def __init__(self):
        self.images = {}
        self.asked = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.daemon = True
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self):
        site = self

        class Handler(BaseHTTPRequestHandler):
            disable_nagle_algorithm = True

            def do_GET(self):
                site.asked.append(self.path)
                content = site.images.get(self.path)
                allowed = self.headers.get("Authorization") == f"Token {TOKEN}"
                status = 401 if not allowed else 404 if content is None else 200
                self.send_response(status)
                body = content if status == 200 else b"{}"
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        return Handler
