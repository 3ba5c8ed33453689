"""Fake in memory the part of Label Studio 1.23.2's API that `prelabel` uses.

`tests/e2e/label_studio/test_prelabel.py` runs the same program against the real one.
"""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "0123456789abcdef0123456789abcdef01234567"
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image"><Label value="disc"/><Label value="ring"/></BrushLabels>
</View>"""


@dataclass
class Fault:
    """Something that goes wrong once, for the next request that matches.

    Attributes:
        method, path: what matches; the path's beginning.
        status: answered with this; None: the connection is closed without an answer.
        saves: whether the request is done nevertheless.
        late: seconds after which it is done, long after the connection was closed.
        headers: of the answer.
        body: of the answer.
    """

    method: str
    path: str
    status: int | None = None
    saves: bool = False
    late: float | None = None
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b'{"detail": "out of order"}'


class FakeLabelStudio:
    """A Label Studio with one project (number 1), for `with`."""

    def __init__(self, tasks: int = 0, token: str = TOKEN, data: Any = None) -> None:
        self.authorization = f"Token {token}"
        self.lock = threading.RLock()
        self.project = {
            "id": 1,
            "title": "Scenes",
            "label_config": CONFIG,
            "evaluate_predictions_automatically": False,
            "model_version": "",
        }
        self.tasks: dict[int, dict[str, Any]] = {}
        self.predictions: dict[int, dict[str, Any]] = {}
        self.views: dict[int, dict[str, Any]] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        self.files: dict[str, bytes] = {}  # by path
        self.evaluated = 0  # how often backends were asked because someone listed tasks
        self._ids = itertools.count(1)
        for number in range(1, tasks + 1):
            self.add_task(number, **({"image": f"/data/upload/{number}.png"} | (data or {})))

    def add_task(self, number: int, /, **data: Any) -> None:
        self.tasks[number] = {"id": number, "data": data, "annotations": [], "drafts": []}

    def add_prediction(self, task: int, version: str, **more: Any) -> int:
        with self.lock:
            number = next(self._ids)
            prediction = {"id": number, "task": task, "model_version": version, "result": []}
            self.predictions[number] = {**prediction, "score": None, **more}
        return number

    def versions(self, task: int) -> list[str]:
        with self.lock:
            return [p["model_version"] for p in self.predictions.values() if p["task"] == task]

    def count(self, version: str) -> dict[int, int]:
        """How many predictions of a version each task has."""
        return {task: self.versions(task).count(version) for task in self.tasks}

    def asked(self, method: str, path: str) -> int:
        return sum(m == method and p.startswith(path) for m, p, _ in self.requests)

    def __enter__(self) -> FakeLabelStudio:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, port: int = 0) -> None:
        handler = type("Handler", (_Handler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        """Status and JSON."""
        with self.lock:
            match (method, *path.strip("/").split("/")):
                case ("GET", "api", "projects", "1"):
                    return 200, {**self.project, "task_number": len(self.tasks)}
                case ("PATCH", "api", "projects", "1"):
                    self.project.update(body)
                    return 200, self.project
                case ("GET", "api", "projects", "1", "model-versions"):
                    return 200, self._model_versions()
                case ("GET", "api", "dm", "views", number) if int(number) in self.views:
                    return 200, self.views[int(number)]
                case ("GET", "api", "dm", "columns"):
                    return 200, {"columns": _COLUMNS}
                case ("GET", "api", "tasks"):
                    return self._list(query)
                case ("GET", "api", "predictions"):
                    task = int(query["task"])
                    return 200, [p for p in self.predictions.values() if p["task"] == task]
                case ("POST", "api", "predictions"):
                    if body["task"] not in self.tasks:
                        return 400, {"validation_errors": {"task": ["Invalid pk"]}}
                    saved = self.add_prediction(body["task"], body["model_version"])
                    self.predictions[saved].update(body)
                    return 201, self.predictions[saved]
                case (_, "api", "predictions", number) if int(number) in self.predictions:
                    if method == "DELETE":
                        del self.predictions[int(number)]
                        return 204, None
                    self.predictions[int(number)].update(body)
                    return 200, self.predictions[int(number)]
        return 404, {"detail": "Not found."}

    def _model_versions(self) -> dict[str, Any]:
        names = [p["model_version"] for p in self.predictions.values()]
        static = [{"model_version": n, "count": names.count(n)} for n in sorted(set(names))]
        return {"static": static, "live": None}

    def _list(self, query: dict[str, str]) -> tuple[int, Any]:
        asked = json.loads(query.get("query", "{}"))
        chosen = [task for task in self.tasks.values() if self._is_chosen(task, asked)]
        chosen.sort(key=lambda task: task["id"])
        page = chosen[: int(query["page_size"])]
        review = query.get("review") == "true"
        if self.project["evaluate_predictions_automatically"] and not review:
            self.evaluated += 1
        shows = "hiddenColumns" in asked and not review
        rows = [self._row(task, shows, query.get("fields") == "all") for task in page]
        if "include" in query:
            names = query["include"].split(",")
            rows = [{name: row[name] for name in names} for row in rows]
        return 200, {"tasks": rows, "total": len(chosen)}

    def _row(self, task: dict[str, Any], shows_versions: bool, whole: bool) -> dict[str, Any]:
        names = set(",".join(self.versions(task["id"])).split(",")) if shows_versions else ()
        row = {
            **task,
            "total_annotations": len(task["annotations"]),
            "predictions_model_versions": ",".join(sorted(names, reverse=True))[:500],
            "predictions": [p for p in self.predictions.values() if p["task"] == task["id"]],
        }
        if not whole:
            del row["predictions"], row["annotations"]
        return row

    def _is_chosen(self, task: dict[str, Any], asked: dict[str, Any]) -> bool:
        selected = asked.get("selectedItems") or {"all": True}
        included = selected["all"] is False and selected.get("included")  # no ids are all tasks
        if (included and task["id"] not in included) or task["id"] in selected.get("excluded", ()):
            return False
        filters = asked.get("filters") or {"conjunction": "and", "items": []}
        met = [self._meets(task, item) for item in filters["items"]]
        return not met or (all(met) if filters["conjunction"] == "and" else any(met))

    def _meets(self, task: dict[str, Any], item: dict[str, Any]) -> bool:
        child = item.get("child_filter")
        if child is not None and not self._meets(task, child):
            return False
        column = item["filter"].removeprefix("filter:tasks:")
        fields = {"id": task["id"], "total_annotations": len(task["annotations"])}
        fields |= {f"data.{key}": value for key, value in task["data"].items()}
        have, want = fields.get(column), item["value"]
        match item["operator"]:
            case "equal":
                return bool(have == want)
            case "greater":
                return bool(have > want)
            case "less":
                return bool(have < want)
            case "contains":
                return want in str(have)
        raise AssertionError(item)


_COLUMNS = [
    {"id": "id", "type": "Number"},
    {"id": "total_annotations", "type": "Number"},
    {"id": "created_at", "type": "Datetime"},
    {"id": "draft_exists", "type": "Boolean"},
    {"id": "predictions_model_versions", "type": "List"},
    {"id": "split", "parent": "data", "type": "Unknown"},
    {"id": "image", "parent": "data", "type": "Image"},
]


class _Handler(BaseHTTPRequestHandler):
    fake: FakeLabelStudio
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer's body waits 40 ms for its head to be confirmed

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except ConnectionError:
            self.close_connection = True

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        length = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(length)) if length else None
        fake = self.fake
        fake.requests.append((self.command, parts.path, query))
        fault = self._fault(parts.path)
        if fault is not None:
            self._fail(fault, lambda: fake.answer(self.command, parts.path, query, body))
        elif self.headers.get("Authorization") != fake.authorization:
            self._send(401, b'{"detail": "Invalid token."}')
        elif parts.path in fake.files:
            self._send(200, fake.files[parts.path])
        else:
            status, answer = fake.answer(self.command, parts.path, query, body)
            self._send(status, b"" if answer is None else json.dumps(answer).encode())

    do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - names of the base class

    def _fault(self, path: str) -> Fault | None:
        with self.fake.lock:
            for fault in self.fake.faults:
                if fault.method == self.command and path.startswith(fault.path):
                    self.fake.faults.remove(fault)
                    return fault
        return None

    def _fail(self, fault: Fault, do: Any) -> None:
        if fault.saves:
            do()
        if fault.status is None:
            self.close_connection = True
        else:
            self._send(fault.status, fault.body, fault.headers)
        if fault.late is not None:
            self.connection.shutdown(socket.SHUT_RDWR)
            time.sleep(fault.late)
            do()

    def _send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing on the standard error."""
