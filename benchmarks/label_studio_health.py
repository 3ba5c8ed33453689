"""Measure how fast /health and /setup are answered: `python -m benchmarks.label_studio_health`.

Label Studio calls both before nearly every action, with limits of 1 and 3 seconds. A process of its
own requests them in turns while nothing happens, while the model loads, while clicks are computed,
and while batches of many megabytes arrive. The server is a separate process, as in production.
"""

from __future__ import annotations

import argparse
import http.client
import json
import multiprocessing
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.label_studio_server import CONFIG, Images, click, machine, scenes

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.synchronize import Event

MASK = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 50_000}}
OUTLINE = {"type": "polygonlabels", "value": {"points": [[n / 7, n / 9] for n in range(10_000)]}}
PLAIN = CONFIG.format(texts="")


def taxonomy(nodes: int) -> str:
    """A config with a large taxonomy."""
    leaves = "".join(f'<Choice value="class {number}"/>' for number in range(nodes))
    tag = f'<Taxonomy name="kind" toName="image" perRegion="true">{leaves}</Taxonomy>'
    return CONFIG.format(texts=tag)


def ask(port: int, path: str, body: bytes | None) -> float:
    """The milliseconds of one request on a connection of its own, as Label Studio makes it."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST" if body else "GET", path, body)
    connection.getresponse().read()
    connection.close()
    return 1000 * (time.perf_counter() - start)


def watch(site: int, port: int, setup: bytes, ready: Event, stop: Event, results: Any) -> None:
    """Send requests from when the server listens until `stop` is set; runs in its own process."""
    times: dict[str, list[float]] = {"/health": [], "/setup": []}
    ask(site, "/none.png", None)  # the client's own first request is slow
    ready.set()
    while not stop.is_set():
        for path, body in (("/health", None), ("/setup", setup)):
            with suppress(ConnectionRefusedError):
                times[path].append(ask(port, path, body))
        time.sleep(0.005)
    results.put(times)


def measured(served: Served, setup: str, meanwhile: Callable[[], None]) -> dict[str, list[float]]:
    """The milliseconds of requests, by path, during `meanwhile`."""
    body = json.dumps({"project": "1.1", "schema": setup}).encode()
    context = multiprocessing.get_context("spawn")
    ready, stop, results = context.Event(), context.Event(), context.Queue()
    ports = served.site.server_port, served.port
    process = context.Process(target=watch, args=(*ports, body, ready, stop, results))
    process.start()
    try:
        ready.wait(120)
        meanwhile()
    finally:
        stop.set()
    times: dict[str, list[float]] = results.get(timeout=120)
    process.join()
    return times


class Served:
    """`pam-labeling serve` in a process of its own, and a site with images."""

    def __init__(self, stack: ExitStack, model: str) -> None:
        self.site = Images()
        threading.Thread(target=self.site.serve_forever, daemon=True).start()
        stack.callback(self.site.shutdown)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port: int = free.getsockname()[1]
        self._stack = stack
        self._environment = {
            **os.environ,
            "PORT": str(self.port),
            "PAM_MODEL": model,
            "LABEL_STUDIO_URL": f"http://127.0.0.1:{self.site.server_port}",
            "PAM_MEDIA_CACHE_DIR": stack.enter_context(tempfile.TemporaryDirectory()),
            "LOG_LEVEL": "ERROR",
        }

    def start(self) -> None:
        """Start the process, and wait until the model is loaded."""
        command = [str(Path(sys.executable).with_name("pam-labeling")), "serve"]
        process = subprocess.Popen(  # noqa: S603 - our own program
            command, env=self._environment, stderr=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.terminate)
        self._until(self._ready)

    def post(self, body: bytes) -> None:
        """Send /predict, and read the answer."""
        ask(self.port, "/predict", body)

    def _ready(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", "/ready")
        if connection.getresponse().status != 200:
            raise OSError

    @staticmethod
    def _until(attempt: Callable[[], object]) -> None:
        end = time.monotonic() + 300
        while True:
            with suppress(OSError):
                attempt()
                return
            if time.monotonic() > end:
                raise TimeoutError("the server did not become ready in time")
            time.sleep(0.02)


def batch(megabytes: int, shape: dict[str, Any]) -> bytes:
    """A batch of tasks with a large shape each, whose images do not exist."""
    regions = [{"result": [shape]}]
    task = {"data": {"image": "/none.png"}, "annotations": regions}
    count = max(1, round(megabytes * 1e6 / len(json.dumps(task))))
    tasks = [{"id": number, **task} for number in range(count)]
    body = {"tasks": tasks, "project": "1.1", "label_config": PLAIN, "params": {"context": None}}
    return json.dumps(body).encode()


def add(table: Table, name: str, times: dict[str, list[float]]) -> None:
    """Add a row for each path."""
    for path, values in times.items():
        hundredths = statistics.quantiles(values, n=100, method="inclusive")
        numbers = (statistics.median(values), hundredths[98], max(values))
        table.add_row(name, path, str(len(values)), *(f"{number:.1f}" for number in numbers))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="nano")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each row except loading")
    parser.add_argument("--megabytes", type=int, default=50, help="size of a batch")
    parser.add_argument("--nodes", type=int, default=20_000, help="size of the large taxonomy")
    options = parser.parse_args()
    table = Table(title=f"Milliseconds, {options.model}: {machine()}")
    for column in ("while", "path", "N", "p50", "p99", "max"):
        table.add_column(column, justify="right")

    def repeated(step: Callable[[], object]) -> Callable[[], None]:
        def run() -> None:
            end = time.monotonic() + options.seconds
            while time.monotonic() < end:
                step()

        return run

    with ExitStack() as stack:
        served = Served(stack, options.model)
        add(table, "the model loads", measured(served, PLAIN, served.start))
        wait = repeated(lambda: time.sleep(0.1))
        add(table, "nothing happens", measured(served, PLAIN, wait))
        known = list(scenes(8, 1024, 0))
        served.site.files = {scene.path: scene.content for scene in known}
        posts = iter(json.dumps(click(known[n % 8], PLAIN, 5)).encode() for n in range(10**6))
        clicks = repeated(lambda: served.post(next(posts)))
        add(table, "clicks are computed", measured(served, PLAIN, clicks))
        for kind, shape in (("masks", MASK), ("polygons", OUTLINE)):
            arriving = repeated(partial(served.post, batch(options.megabytes, shape)))
            name = f"{options.megabytes} MB of {kind} arrive"
            add(table, name, measured(served, PLAIN, arriving))
        nodes = taxonomy(options.nodes)
        body = json.dumps({"project": "2.1", "schema": nodes}).encode()
        first = f"{ask(served.port, '/setup', body):.1f}"
        table.add_row(f"{options.nodes:,} nodes are new", "/setup", "1", first, "", first)
        add(table, f"{options.nodes:,} nodes are known", measured(served, nodes, wait))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
