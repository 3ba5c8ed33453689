"""A server of its own and a site with images, for `benchmarks.label_studio_attack`."""

from __future__ import annotations

import http.client
import io
import json
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20
# Without double quotes and line breaks: a JSON text with escapes has a lower limit.
CONFIG = (
    "<View><Image name='image' value='$image'/><BrushLabels name='brush' toName='image'>"
    "<Label value='a'/><Label value='b'/></BrushLabels><KeyPointLabels name='point' "
    "toName='image' smart='true'><Label value='a'/></KeyPointLabels>{more}</View>"
)
PLAIN = CONFIG.format(more="")
PROGRAM = (
    "import sys\n"
    "try:\n    from pam_labeling.command_line.cli import main\n"
    "except ImportError:\n    from pam_labeling.cli import main\n"
    "sys.argv = ['pam-labeling', 'serve', *sys.argv[1:]]\nmain()"
)


class Site(ThreadingHTTPServer):
    """A Label Studio with one image under every address; `seconds` is its delay for slow ones."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds
        file = io.BytesIO()
        Image.linear_gradient("L").convert("RGB").save(file, "PNG")
        self.image = file.getvalue()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        if "slow" in self.path:
            time.sleep(self.server.seconds)
        with suppress(OSError):
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.server.image)))
            self.end_headers()
            self.wfile.write(self.server.image)

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server:
    """`pam-labeling serve` in a process of its own.

    Args:
        folder: for its media cache and its log.
        site: the Label Studio that it asks.
        files: the limit on its open files; None leaves it.
        environment: further settings.
    """

    def __init__(self, folder: Path, site: Site, files: int | None = None, **environment: str):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own program
                [sys.executable, "-c", PROGRAM],
                env={
                    **os.environ,
                    "PORT": str(self.port),
                    "PAM_MODEL": "nano",
                    "LABEL_STUDIO_URL": f"http://127.0.0.1:{site.server_port}",
                    "LABEL_STUDIO_API_KEY": "key",
                    "PAM_MEDIA_CACHE_DIR": str(folder / "media"),
                    **environment,
                },
                stderr=log,
                cwd=folder,  # not here: PYTHONPATH says which version is served
            )
        if files:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (files, files))

    def wait(self) -> None:
        """Wait until the model is loaded."""
        end = time.monotonic() + 120
        while time.monotonic() < end and self.process.poll() is None:
            with suppress(OSError, http.client.HTTPException):
                if self.ask("GET", "/ready")[0] == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(self.log.read_text("utf-8")[-2000:])

    def ask(
        self, method: str, path: str, body: bytes | None = None, timeout: float = 300
    ) -> tuple[int, bytes]:
        """The status and the body of an answer, on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def post(self, path: str, body: bytes | dict[str, Any]) -> str:
        """What an attacker gets: the status, how soon, and the beginning of a refusal."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        start = time.monotonic()
        try:
            status, answer = self.ask("POST", path, raw)
        except (OSError, http.client.HTTPException) as error:
            return f"{type(error).__name__} after {time.monotonic() - start:.1f} s"
        found = json.loads(answer) if answer[:1] == b"{" else {}
        errors = [one["error"] for one in found.get("results", ()) if "error" in one]
        said = found.get("error") or (errors[0] if errors else "")
        return f"{status} after {time.monotonic() - start:.1f} s {said[:90]}".rstrip()

    def peak(self) -> float:
        """The most resident memory so far, in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text("utf-8")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024

    def stop(self) -> int:
        """End it by SIGTERM, and return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return -signal.SIGKILL


def click(image: str, number: int = 1) -> dict[str, Any]:
    """The body that Label Studio posts for a click in the middle."""
    prompt = {
        "id": "a",
        "type": "keypointlabels",
        "from_name": "point",
        "to_name": "image",
        "original_width": 256,
        "original_height": 256,
        "is_positive": True,
        "value": {"x": 50, "y": 50, "width": 0.3, "keypointlabels": ["a"]},
    }
    task = {"id": number, "data": {"image": image}}
    context = {"context": {"result": [prompt]}}
    return {"tasks": [task], "project": "1.1", "label_config": PLAIN, "params": context}


def png(width: int, height: int) -> bytes:
    """A black PNG of one bit a pixel, written a row at a time."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        check = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)

    pack = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    rows = max(1, MIB // len(row))
    packed = [pack.compress(row * min(rows, height - at)) for at in range(0, height, rows)]
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    content = b"".join(packed) + pack.flush()
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", content)
        + chunk(b"IEND", b"")
    )


def together(number: int, function: Callable[[int], str]) -> str:
    """Call a function so many times at once; return the answers without repetition."""
    with ThreadPoolExecutor(number) as pool:
        answers = list(pool.map(function, range(number)))
    kinds: dict[str, list[str]] = {}
    for answer in answers:
        kinds.setdefault(answer.partition(" ")[0], []).append(answer)
    return "; ".join(f"{len(same)} x {same[-1]}" for same in kinds.values())
