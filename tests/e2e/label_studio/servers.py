"""Real servers as processes: Label Studio and `pam-labeling serve`, each with a log to keep."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests

from tests.e2e.label_studio.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = ROOT / "out" / "e2e"
USER = "annotator@localhost.test"
PASSWORD = "drawn-world-of-nano"
TOKEN = "0123456789abcdef0123456789abcdef01234567"
BASIC_AUTH = ("label-studio", "a-secret: with % and ü")


class Server:
    """A process of its own group that answers `url + "/health"` once it is ready."""

    def __init__(
        self, name: str, command: list[str], url: str, environment: Mapping[str, str], cwd: Path
    ) -> None:
        self.name, self.url = name, url
        self.log = ARTEFACTS / f"{name}.log"
        with self.log.open("wb") as log:
            # A group of its own: whatever it starts goes with it.
            self._process = subprocess.Popen(
                command,
                cwd=cwd,
                env={**_clean_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self, seconds: float) -> None:
        """Fail the test run, with the end of the log, if it does not come up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                pytest.fail(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            try:
                if requests.get(f"{self.url}/health", timeout=2).status_code in (200, 401):
                    return
            except requests.RequestException:
                pass
            time.sleep(0.3)
        pytest.fail(f"{self.name} was not ready after {seconds:g} s:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """Ask it to end, then make it."""
        for sign, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
            try:
                os.killpg(self._process.pid, sign)
            except ProcessLookupError:
                break
            try:
                self._process.wait(seconds)
            except subprocess.TimeoutExpired:
                continue
        self._process.wait(10)


def program(name: str) -> str:
    """The path of a program of the environment that the tests run in."""
    return str(Path(sysconfig.get_path("scripts")) / name)


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def label_studio(folder: Path) -> Iterator[Server]:
    """A new Label Studio 1.23.2 with one user; its data is in `folder`."""
    port = free_port()
    # By name: cookies and the backend's checks of addresses see what people use.
    url = f"http://localhost:{port}"
    environment = {
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder),
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_HOST": url,
        # Else it refuses a backend on this machine, and sends it no webhooks.
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "COLLECT_ANALYTICS": "false",
        "LATEST_VERSION_CHECK": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
    }
    command = [str(_label_studio_program()), "start", "--no-browser"]
    command += ["--internal-host", "127.0.0.1", "--port", str(port)]
    yield from _running(Server("label-studio", command, url, environment, folder), seconds=240)


def serve(name: str, folder: Path, label_studio_url: str, api_key: str) -> Iterator[Recorder]:
    """`pam-labeling serve` with nano, behind a proxy that records what is said to it."""
    port = free_port()
    environment = {
        "LABEL_STUDIO_URL": label_studio_url,
        "LABEL_STUDIO_API_KEY": api_key,
        "BASIC_AUTH_USER": BASIC_AUTH[0],
        "BASIC_AUTH_PASS": BASIC_AUTH[1],
        "PAM_MEDIA_CACHE_DIR": str(folder / "media"),
        "PAM_THREADS": "1",  # two cores have a browser and Label Studio to run, too
    }
    command = [program("pam-labeling"), "serve", "--model", "nano", "--port", str(port)]
    server = Server(name, command, f"http://127.0.0.1:{port}", environment, folder)
    for running in _running(server, seconds=120):
        with Recorder(running.url) as recorder:
            yield recorder


def chromium() -> str:
    """The path of a Chromium, or a failure that says how to get one."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.fail(
        "the end-to-end tests need Chromium or Google Chrome on the PATH. "
        "Debian: apt-get install chromium; macOS: brew install chromium"
    )


def _running(server: Server, seconds: float) -> Iterator[Server]:
    try:
        server.wait_until_ready(seconds)
        yield server
    finally:
        server.stop()


def _label_studio_program() -> Path:
    environment = Path(os.environ.get("LABEL_STUDIO_VENV", ROOT / ".venv-label-studio"))
    program = environment / "bin" / "label-studio"
    if not program.exists():
        pytest.fail(
            f"there is no Label Studio in {environment}. `make e2e` installs it; "
            "scripts/set_up_label_studio does only that"
        )
    return program.absolute()


def _clean_environment() -> dict[str, str]:
    """Without what would turn a server into another one than the test means."""
    prefixes = ("LABEL_STUDIO_", "PAM_", "PYTHON", "BASIC_AUTH_", "DJANGO_", "COV_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    scripts = str(Path(sys.executable).parent)
    return {**kept, "OMP_NUM_THREADS": "1", "PATH": f"{scripts}{os.pathsep}{kept['PATH']}"}
