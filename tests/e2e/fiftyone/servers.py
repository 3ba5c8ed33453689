"""FiftyOne's own commands as processes: the App's server and a worker, each with a log to keep."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

import psutil
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parents[3]
ARTEFACTS = ROOT / "out" / "e2e"


class Command:
    """A `fiftyone` command in a session of its own.

    Args:
        name: of the log, `out/e2e/NAME.log`.
        arguments: of the command.
        environment: on top of this process's.
    """

    def __init__(self, name: str, arguments: list[str], environment: Mapping[str, str]) -> None:
        self.name = name
        self.log = ARTEFACTS / f"{name}.log"
        program = Path(sys.executable).parent / "fiftyone"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [str(program), *arguments],
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Fail the test run, with the end of the log, if it does not come up."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                pytest.fail(f"{self.name} ended with {self._process.returncode}:\n{self.tail()}")
            if ready():
                return
            time.sleep(0.5)
        pytest.fail(f"{self.name} was not ready after {seconds:g} s:\n{self.tail()}")

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def stop(self) -> None:
        """End it and whatever it started; FiftyOne puts its server into another group."""
        started = [psutil.Process(self._process.pid)] if self._process.poll() is None else []
        started += [child for one in started for child in one.children(recursive=True)]
        for process in started:
            _send(process, signal.SIGTERM)
        _, left = psutil.wait_procs(started, timeout=10)
        for process in left:
            _send(process, signal.SIGKILL)
        self._process.wait(10)


def answers(url: str) -> bool:
    """Whether somebody answers there."""
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _send(process: psutil.Process, sign: signal.Signals) -> None:
    try:
        process.send_signal(sign)
    except psutil.NoSuchProcess:
        return
