"""`pam-labeling prelabel` on real projects, with everything that may go wrong on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from label_studio_sdk.label_interface.interface import LabelInterface

from tests.e2e.label_studio import servers
from tests.e2e.label_studio.images import LABELS, DrawnImage, decode_brush

SCENES = range(6)
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="true">
    {"".join(f'<Label value="{label}"/>' for label in LABELS)}
  </BrushLabels>
</View>"""


@pytest.fixture
def project(api):
    """A project with a task for each of SCENES."""
    project = api.create_project("Prelabel", CONFIG, show_predictions=False)
    for number in SCENES:
        api.upload(project, f"{number}.png", DrawnImage(number).png())
    return project


@pytest.fixture
def start(label_studio_url, project, tmp_path):
    """Start the command in a process of its own."""
    processes = []

    def start(*arguments, url=label_studio_url, key=servers.TOKEN):
        program = Path(sysconfig.get_path("scripts")) / "pam-labeling"
        quick = ("--option", "points_per_side=8", "--option", "max_regions=4")
        environment = {
            **os.environ,
            "LABEL_STUDIO_URL": url,
            "LABEL_STUDIO_API_KEY": key,
            "PAM_MEDIA_CACHE_DIR": str(tmp_path / "media"),
            "PAM_THREADS": "1",
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }
        process = subprocess.Popen(
            [sys.executable, program, "prelabel", "--project", str(project.id), *quick, *arguments],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.fixture
def run(start):
    """Run the command to its end: its exit code and what it said."""

    def run(*arguments, **options):
        process = start(*arguments, **options)
        _, said = process.communicate(timeout=300)
        assert servers.TOKEN not in said
        return process.returncode, said

    return run


def predictions_of(api, project):
    """All predictions of a project, by task."""
    tasks = api.call("GET", f"/api/tasks?project={project.id}&page_size=100&fields=all")["tasks"]
    return {task["id"]: task["predictions"] for task in tasks}


def moments(predictions):
    """Which predictions these are, and when they were written."""
    return [(prediction["id"], prediction["updated_at"]) for prediction in predictions]


def numbers(api, project):
    return [len(predictions) for predictions in predictions_of(api, project).values()]


def wait_for(api, project, count):
    deadline = time.monotonic() + 200
    while sum(numbers(api, project)) < count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_project_is_pre_annotated_once(api, project, run):
    code, said = run("--dry-run")
    assert (code, sum(numbers(api, project))) == (0, 0)
    assert "6 would be pre-annotated" in said

    code, said = run()
    assert code == 0, said
    assert numbers(api, project) == [1] * len(SCENES)
    matches = []
    for number, (prediction,) in zip(SCENES, predictions_of(api, project).values(), strict=True):
        assert LabelInterface(CONFIG).validate_prediction(prediction, return_errors=True) == []
        scene = DrawnImage(number)
        for result in prediction["result"]:
            iou, thing = scene.best_match(decode_brush(result))
            matches.append(iou > 0.7 and result["value"]["brushlabels"] == [thing.label])
    assert sum(matches) > 0.6 * len(matches)

    # The Data Manager sorts by how sure the model is.
    view = {"project": project.id, "data": {"ordering": ["tasks:predictions_score"]}}
    tab = api.call("POST", "/api/dm/views/", json=view)["id"]
    tasks = api.call("GET", f"/api/tasks?view={tab}&page_size=100&fields=all")["tasks"]
    scores = [task["predictions_score"] for task in tasks]
    assert scores == sorted(scores)
    assert len(set(scores)) > 1

    code, said = run()
    assert code == 0
    assert "6 tasks left out: they have a prediction" in said
    assert numbers(api, project) == [1] * len(SCENES)


def test_killed_again_and_again_nothing_is_doubled_or_lost(api, project, start, run):
    for done in (1, 3):
        process = start()
        wait_for(api, project, done)
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = predictions_of(api, project)
    code, said = run()
    assert code == 0, said
    after = predictions_of(api, project)
    assert [len(predictions) for predictions in after.values()] == [1] * len(SCENES)
    # The earlier prediction is unchanged.
    assert all(moments(after[task]) == moments(kept) for task, kept in before.items() if kept)


def test_interrupted_it_finishes_its_write(api, project, start, run):
    process = start()
    wait_for(api, project, 2)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "the same command goes on from there" in said
    assert run()[0] == 0
    assert numbers(api, project) == [1] * len(SCENES)


def test_lost_answers_double_and_lose_nothing(api, project, run, label_studio_url):
    with LossyProxy(label_studio_url) as proxy:
        code, said = run(url=proxy.url)
    assert code == 0, said
    assert proxy.lost >= 3
    assert numbers(api, project) == [1] * len(SCENES)


def test_overwriting_a_tab_with_a_personal_access_token(api, project, run):
    assert run()[0] == 0
    before = predictions_of(api, project)
    first, second, *others = before
    chosen = {"conjunction": "or", "items": [equal("id", first), equal("id", second)]}
    view = {"project": project.id, "data": {"title": "two", "filters": chosen}}
    tab = api.call("POST", "/api/dm/views/", json=view)["id"]
    code, said = run("--view", str(tab), "--overwrite", key=api.personal_access_token())
    assert code == 0, said
    assert "2 tasks pre-annotated" in said
    after = predictions_of(api, project)
    for task in (first, second):
        (old,), (new,) = before[task], after[task]
        assert old["id"] == new["id"]
        assert old["updated_at"] < new["updated_at"]
    assert all(moments(before[task]) == moments(after[task]) for task in others)


def test_tasks_are_chosen_and_failures_told(api, project, run, tmp_path):
    tasks = list(predictions_of(api, project))
    api.call("POST", f"/api/tasks/{tasks[0]}/annotations/", json={"result": []})
    gone = [{"data": {"image": "/data/upload/1/gone.png"}}]
    api.call("POST", f"/api/projects/{project.id}/import", json=gone)
    file = tmp_path / "failed.jsonl"
    code, said = run("--only-unlabeled", "--filter", f"id>{tasks[3]}", "--failures", str(file))
    assert code == 1, said
    assert numbers(api, project) == [0, 0, 0, 0, 1, 1, 0]
    (line,) = map(json.loads, file.read_text().splitlines())
    assert line["task"] == tasks[-1] + 1
    assert "/data/upload/1/gone.png" in line["reason"]


def equal(column, value):
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "equal",
        "type": "Number",
        "value": value,
    }


class LossyProxy:
    """Passes everything on, but loses the answer to every second prediction."""

    def __init__(self, target):
        proxy = self
        self.lost = 0
        posts = 0
        lock = threading.Lock()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                nonlocal posts
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {"Authorization": self.headers["Authorization"]}
                if body:
                    headers["Content-Type"] = self.headers["Content-Type"]
                answer = requests.request(
                    self.command, target + self.path, data=body, headers=headers, timeout=100
                )
                if self.command == "POST":
                    with lock:
                        posts += 1
                        loses = posts % 2 == 1
                        proxy.lost += loses
                    if loses:
                        return
                self.send_response(answer.status_code)
                self.send_header("Content-Type", answer.headers["Content-Type"])
                self.send_header("Content-Length", str(len(answer.content)))
                self.end_headers()
                self.wfile.write(answer.content)

            do_POST = do_PATCH = do_GET  # noqa: N815 - names of the base class

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self.url = f"http://localhost:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
