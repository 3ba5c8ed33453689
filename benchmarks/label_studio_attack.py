"""Attack a server of its own, and measure it meanwhile: `python -m benchmarks.label_studio_attack`.

Each attack gets a fresh `pam-labeling serve` with the embedded model. A row says what the attacker
was answered, how long other people waited for /health meanwhile, and what the server took: peak of
resident memory, bytes of log, exit code after SIGTERM. Linux only. `--list` names the attacks. To
compare with another version, set PYTHONPATH to its checkout.
"""

from __future__ import annotations

import argparse
import http.client
import json
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from benchmarks.attacked_server import CONFIG, MIB, PLAIN, Server, Site, click, png, together

if TYPE_CHECKING:
    from collections.abc import Callable


def tasks(server: Server, site: Site, megabytes: int = 10, task: bytes = b"{}") -> str:
    """A batch of empty tasks."""
    count = megabytes * 10**6 // (len(task) + 1)
    head = json.dumps({"label_config": PLAIN, "tasks": []}).encode().removesuffix(b"]}")
    return server.post("/predict", head + b",".join([task] * count) + b"]}")


def large(server: Server, site: Site) -> str:
    """Three batches at once of nearly 128 MiB each: tasks with long masks."""
    rle = {"type": "brushlabels", "value": {"format": "rle", "rle": [17, 200] * 50_000}}
    task = {"id": 1, "data": {"image": "/none.png"}, "annotations": [{"result": [rle]}]}
    text = json.dumps(task).encode()
    count = 127 * MIB // len(text)
    head = json.dumps({"label_config": PLAIN, "tasks": []}).encode().removesuffix(b"]}")
    body = head + b",".join([text] * count) + b"]}"
    return together(3, lambda _: server.post("/predict", body))


def configs(server: Server, site: Site) -> str:
    """30 different configs of 3.6 MB, one after the other."""
    words = "".join(f"<Choice value='{'x' * 300}{number}'/>" for number in range(11_000))
    for number in range(30):
        tag = f"<Choices name='c{number}' toName='image' perRegion='true'>{words}</Choices>"
        said = server.post("/setup", {"project": f"{number}.1", "schema": CONFIG.format(more=tag)})
    return said


def many_configs(server: Server, site: Site) -> str:
    """89 different configs of 1.6 MB at once, and a click on a known image among them."""
    server.post("/predict", click("/data/upload/1/a.png"))
    words = "".join(f"<Choice value='a word {number}'/>" for number in range(56_000))
    heavy = []
    for number in range(89):
        tag = f"<Choices name='c{number}' toName='image' perRegion='true'>{words}</Choices>"
        body = {"project": f"{number}.1", "schema": CONFIG.format(more=tag)}
        heavy.append(json.dumps(body).encode())

    def one(number: int) -> str:
        if number < 89:
            return server.post("/setup", heavy[number])
        time.sleep(1)
        return "click: " + server.post("/predict", click("/data/upload/1/a.png"))

    return together(90, one)


def many_tags(server: Server, site: Site) -> str:
    """A config with 50,000 tags."""
    more = "".join(f"<Vector name='c{n}' toName='image'/>" for n in range(50_000))
    return server.post("/setup", {"project": "1.1", "schema": CONFIG.format(more=more)})


def long_texts(server: Server, site: Site) -> str:
    """20 /setup with a token of 20 MB, and 20 with such a project."""
    for number in range(20):
        token = f"{number}" + "t" * 20_000_000
        said = server.post("/setup", {"project": "1", "schema": PLAIN, "access_token": token})
        other = server.post("/setup", {"project": token, "schema": PLAIN})
    return f"token: {said}; project: {other}"


def image(server: Server, site: Site, width: int, height: int) -> str:
    """An image that is small as a file; clicks on a known image meanwhile."""
    server.post("/predict", click("/data/upload/1/a.png"))
    known, waits = site.image, []
    site.image = png(width, height)
    size = len(site.image) // 1000
    with ThreadPoolExecutor(3) as pool:
        attack = pool.submit(server.post, "/predict", click("/data/upload/1/bad.png"))
        batch = {**click("/data/upload/1/bad.png"), "params": {}}
        other = pool.submit(server.post, "/predict", batch)
        while not (attack.done() and other.done()):
            start = time.monotonic()
            server.post("/predict", click("/data/upload/1/a.png"))
            waits.append(time.monotonic() - start)
    site.image = known
    return (
        f"{size} KB, click: {attack.result()}; batch: {other.result()}; "
        f"others' clicks at most {max(waits, default=0):.1f} s"
    )


def slow(server: Server, site: Site) -> str:
    """2,000 connections that send a byte a second, for 30 s: who else is let in?"""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2000)]
    text = b"POST /predict HTTP/1.1\r\nContent-Length: 1000\r\n\r\n" + b" " * 900
    answered = 0
    for second in range(30):
        for one in sockets:
            with suppress(OSError):
                one.send(text[second : second + 1])
        with suppress(OSError, http.client.HTTPException):
            answered += server.ask("GET", "/health", timeout=0.9)[0] == 200
    for one in sockets:
        one.close()
    return f"/health was answered {answered} of 30 times"


def idle(server: Server, site: Site) -> str:
    """80 idle connections for 6 s, where 64 files may be open."""
    sockets = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(80)]
    time.sleep(6)
    for one in sockets:
        one.close()
    time.sleep(1)
    status, _ = server.ask("GET", "/health")
    return f"then /health {status}; {server.log.read_text('utf-8').count('Traceback')} tracebacks"


def slow_site(server: Server, site: Site) -> str:
    """32 clicks on images that take Label Studio 10 s, and 8 clicks on a known one meanwhile."""
    server.post("/predict", click("/data/upload/1/a.png"))
    with ThreadPoolExecutor(40) as pool:
        asked = [
            pool.submit(server.post, "/predict", click(f"/data/upload/1/slow{n}.png"))
            for n in range(32)
        ]
        time.sleep(1)
        known = [
            pool.submit(server.post, "/predict", click("/data/upload/1/a.png")) for _ in range(8)
        ]
        done = sum(one.result().startswith("200") for one in known)
        new = sum(one.result().startswith("200") for one in asked)
    return f"known image: {done} of 8 answered; slow images: {new} of 32"


def annotators(server: Server, site: Site) -> str:
    """32 annotators with 20 clicks each, on 8 images."""

    def work(number: int) -> str:
        said = [
            server.post("/predict", click(f"/data/upload/1/{(number + n) % 8}.png"))
            for n in range(20)
        ]
        return str(sum(one.startswith("200") for one in said))

    return together(32, work).replace(" x ", " annotators x ")


def forged(server: Server, site: Site) -> str:
    """Line breaks and colours in parameters, names, paths and addresses."""
    line = "q\n2026-11-27 23:00:00,000 INFO waitress: FORGED \u001b[31m\u2028FORGED\x85FORGED"
    for parameters in ({"output": line}, {line: 1}):
        server.post("/setup", {"project": line, "schema": PLAIN, "extra_params": parameters})
    tag = '<Choices name="br&#10;FORGED" toName="image" perRegion="true" pam="x&#10;FORGED"/>'
    server.post("/setup", {"project": line, "schema": CONFIG.format(more=tag)})
    server.post("/setup", {"project": line, "schema": f"<View>{line}</View>"})
    server.post("/predict", click(line))
    server.post("/predict", {**click(line), "params": {}})
    server.post("/predict", {"tasks": 1, line: line})
    server.post("/webhook", {"action": line})
    server.post("/none%0aFORGED", b"")
    server.post("/predict", {**click("/data/upload/1/a.png"), "label_config": line})
    log = server.log.read_text("utf-8", errors="replace")
    lines = sum(one.lstrip("q").startswith(("FORGED", "2026-11-27")) for one in log.splitlines())
    marks = sum(not one.isprintable() and one != "\n" for one in log)
    return f"{lines} forged lines, {marks} control characters"


def password(server: Server, site: Site) -> str:
    """A body of 100 MiB without the password."""
    start = time.monotonic()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=120)
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: {100 * MIB}\r\n\r\n"
    connection.sendall(head.encode())
    sent, chunk = 0, b" " * MIB
    with suppress(OSError):
        for _ in range(100):
            connection.sendall(chunk)
            sent += 1
    answer = b""
    with suppress(OSError):
        answer = connection.recv(1000)
    said = answer.partition(b"\r\n")[0].decode()[:60]
    return f"took {sent} MiB, {said!r} after {time.monotonic() - start:.1f} s"


def stopped(server: Server, site: Site) -> str:
    """SIGTERM while 4 batches and 4 annotators are served."""

    def work(number: int) -> str:
        for one in range(10):
            found = click(f"/data/upload/1/{number}-{one}.png")
            if number % 2:
                found["tasks"] *= 20
                found["params"] = {}
            answer = server.post("/predict", found)
        return answer

    with ThreadPoolExecutor(8) as pool:
        for number in range(8):
            pool.submit(work, number)
        time.sleep(3)
        start = time.monotonic()
        code = server.stop()
        seconds = time.monotonic() - start
    count = server.log.read_text("utf-8").count("Traceback")
    return f"exit code {code} after {seconds:.1f} s, {count} tracebacks"


Attack = tuple["Callable[..., str]", dict[str, Any]]
ATTACKS: dict[str, Attack] = {
    "10 MB of empty tasks": (tasks, {}),
    "100 MB of empty tasks": (partial(tasks, megabytes=100), {}),
    "100 MB of lists as tasks": (partial(tasks, megabytes=100, task=b"[]"), {}),
    "3 bodies of 127 MiB at once": (large, {}),
    "30 configs of 3.6 MB": (configs, {}),
    "89 configs of 1.6 MB at once": (many_configs, {}),
    "a config of 50,000 tags": (many_tags, {}),
    "tokens and projects of 20 MB": (long_texts, {}),
    "an image of 1 x 89,000,000": (partial(image, width=1, height=89_000_000), {}),
    "an image of 1 x 40,000,000": (partial(image, width=1, height=40_000_000), {}),
    "an image of 9459 x 9459": (partial(image, width=9459, height=9459), {}),
    "2,000 slow connections": (slow, {}),
    "80 idle connections, 64 files": (idle, {"files": 64}),
    "a slow Label Studio": (slow_site, {}),
    "32 annotators": (annotators, {}),
    "forged lines of the log": (forged, {"LOG_LEVEL": "DEBUG"}),
    "100 MiB without a password": (
        password,
        {"BASIC_AUTH_USER": "me", "BASIC_AUTH_PASS": "secret"},
    ),
    "SIGTERM under load": (stopped, {}),
}


def watch(server: Server, stop: threading.Event, waits: list[float]) -> None:
    """Ask for /health until told to stop; a refused or lost one counts with its whole time."""
    while not stop.wait(0.02):
        start = time.monotonic()
        with suppress(OSError, http.client.HTTPException):
            server.ask("GET", "/health", timeout=60)
        waits.append(time.monotonic() - start)


def run(name: str) -> tuple[str, ...]:
    """Make one attack; return a row of the table."""
    attack, settings = ATTACKS[name]
    site, waits, stop = Site(), [0.0], threading.Event()
    threading.Thread(target=site.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), site, **settings)
        watcher = threading.Thread(target=watch, args=(server, stop, waits))
        try:
            server.wait()
            watcher.start()
            said = attack(server, site)
            stop.set()
            watcher.join()
            memory = f"{server.peak():.0f}" if server.process.poll() is None else ""
        finally:
            stop.set()
            code = server.stop() if server.process.poll() is None else server.process.returncode
            site.shutdown()
        log = f"{server.log.stat().st_size / 1000:.0f}"
    middle, longest = 1000 * statistics.median(waits), 1000 * max(waits)
    return name, said, f"{middle:.0f}", f"{longest:.0f}", memory, log, str(code)


def main() -> None:
    """Attack and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="parts of the names of attacks; all by default")
    parser.add_argument("--list", action="store_true", help="only name the attacks")
    options = parser.parse_args()
    chosen = [one for one in ATTACKS if not options.names or any(n in one for n in options.names)]
    if options.list:
        print("\n".join(chosen))
        return
    table = Table(title="The server under attack")
    for column in ("attack", "answer", "/health ms p50", "max", "peak MiB", "log KB", "exit"):
        table.add_column(column)
    for name in chosen:
        row = run(name)
        print(" | ".join(row), file=sys.stderr, flush=True)
        table.add_row(*row)
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
