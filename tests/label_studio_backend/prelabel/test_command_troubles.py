"""`prelabel` that is killed, interrupted, wrongly used, or meets a server that is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest

from label_studio_backend.api_client import Api
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import MediaError, TaskMedia
from label_studio_backend.predictor import Predictor
from label_studio_backend.prelabel import command
from label_studio_backend.server.backend import Backend
from label_studio_backend.settings import ServerSettings
from label_studio_backend.translation.model_versions import usual_version
from pam_labeling import CheckpointError, Settings
from pam_model.tasks import Task
from tests.label_studio_backend.conftest import Kept
from tests.label_studio_backend.fake_label_studio import TOKEN, Fault
from tests.label_studio_backend.prelabel.projects import QUICK, VERSION, each


@pytest.fixture
def quick_waits(monkeypatch):
    """The program's waits for an unreachable server pass 50 times as fast."""
    wait = Api.wait
    monkeypatch.setattr(Api, "wait", lambda api, seconds: wait(api, seconds / 50))


@pytest.fixture
def model():
    """An annotator that its backend may close."""
    with Settings(model="nano").open_annotator() as opened:
        yield opened


def test_failed_tasks_are_listed_and_the_others_done(prelabel, fake, tmp_path):
    fake.files["/data/upload/2.png"] = b"no image"
    del fake.files["/data/upload/3.png"]
    result = prelabel("--failures", str(tmp_path / "failed.jsonl"))
    assert result.exit_code == 1
    assert fake.count(VERSION) == {1: 1, 2: 0, 3: 0, 4: 1}
    assert "2 tasks failed:" in result.output
    lines = (tmp_path / "failed.jsonl").read_text(encoding="utf-8").splitlines()
    failed = {line["task"]: line["reason"] for line in map(json.loads, lines)}
    assert sorted(failed) == [2, 3]
    assert "404" in failed[3]


def test_answers_that_get_lost_double_and_lose_nothing(prelabel, fake, quick_waits):
    post = ("POST", "/api/predictions")
    fake.faults += [Fault(*post, saves=True), Fault(*post, 502), Fault(*post, 504, saves=True)]
    assert prelabel().exit_code == 0
    assert fake.count(VERSION) == each(1)


def test_a_killed_run_goes_on_where_it_was(prelabel, fake):
    second = Second(fake, lambda: process.send_signal(signal.SIGKILL))
    program = "from label_studio_backend.commands import app; app()"
    process = subprocess.Popen(
        [sys.executable, "-c", program, "prelabel", "--project", "1", *QUICK],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert process.wait(120) == -signal.SIGKILL
    assert second.came
    assert sum(fake.count(VERSION).values()) == 2  # the second one's answer never came
    result = prelabel()
    assert result.exit_code == 0
    assert fake.count(VERSION) == each(1)
    assert "2 tasks pre-annotated" in result.output


class Second:
    """Does something when the second prediction is saved and not answered yet."""

    def __init__(self, fake, do):
        self.came = False
        answer = fake.answer
        lock = threading.Lock()
        posts = 0

        def answering(method, path, query, body):
            nonlocal posts
            saved = answer(method, path, query, body)
            with lock:
                posts += method == "POST"
                second = method == "POST" and posts == 2
            if second:
                self.came = True
                do()
                time.sleep(0.3)
            return saved

        fake.answer = answering


def test_an_interrupt_finishes_the_write_and_says_how_to_go_on(prelabel, fake):
    second = Second(fake, lambda: os.kill(os.getpid(), signal.SIGINT))
    before = signal.getsignal(signal.SIGINT)
    result = prelabel()
    assert second.came
    assert result.exit_code == 130
    assert "stopping: what is finished is still written" in result.output
    assert "stopped. What is written stays written; the same command goes on" in result.output
    assert set(fake.count(VERSION).values()) <= {0, 1}
    assert sum(fake.count(VERSION).values()) >= 2
    assert "pam-closer" not in {thread.name for thread in threading.enumerate()}
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_interrupt_does_not_wait(prelabel, fake, monkeypatch):
    def interrupt(*_):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)

    monkeypatch.setattr(command, "check_config", interrupt)
    assert prelabel().exit_code == 130


def test_an_interrupt_while_the_model_is_loaded(prelabel, fake, monkeypatch):
    def load(_):
        # A thread of its own would go on inside torch while Python ends, and abort it.
        assert threading.current_thread() is threading.main_thread()
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
        raise CheckpointError("too late")

    monkeypatch.setattr(Settings, "open_annotator", load)
    assert prelabel().exit_code == 130
    assert fake.predictions == {}


def test_an_interrupt_does_not_wait_for_a_task_that_takes_long(model, prelabel, fake, monkeypatch):
    arrived = threading.Event()

    def fetch(*_):
        os.kill(os.getpid(), signal.SIGINT)
        arrived.wait(60)
        raise MediaError("too late")

    monkeypatch.setattr(Settings, "open_annotator", lambda _: model)
    monkeypatch.setattr(Images, "get", fetch)
    began = time.monotonic()
    result = prelabel("--task", "1")
    assert time.monotonic() - began < 30
    arrived.set()
    assert result.exit_code == 130
    assert "0 tasks pre-annotated" in result.output
    assert "failed" not in result.output
    assert fake.predictions == {}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--option", "max_region=3"), 'Did you mean "max_regions"'),
        (("--option", "labels"), "'labels' is no option: write NAME=VALUE"),
        (("--view", "1", "--task", "1"), "--view and --task exclude each other"),
        (("--view", "77"), "there is no view 77"),
        (("--filter", "colour=red"), "no column 'colour'"),
        (("--project", "9"), "project 9 cannot be used: Label Studio answers 404"),
        (("--api-key", "wrong"), "does not accept the API key"),
        (("--label-studio-url", "http://me:pw@localhost"), "no user name or password"),
        (("--model", "PAM 77"), "PAM 77"),
    ],
)
def test_wrong_usage_is_answered_with_a_sentence(prelabel, arguments, sentence):
    result = prelabel(*arguments)
    assert result.exit_code in (2, 3)
    assert sentence in " ".join(result.output.split())
    assert "pw" not in result.output


def test_only_debugging_shows_tracebacks(prelabel, fake, monkeypatch, caplog):
    fake.files["/data/upload/1.png"] = b"no image"
    monkeypatch.setattr(ServerSettings, "configure_logging", lambda _: caplog.set_level("DEBUG"))
    prelabel("--model", "PAM 77")
    assert prelabel("--task", "1").exit_code == 1
    assert "Traceback" not in caplog.text
    monkeypatch.setenv("LOG_LEVEL", "DEBUG")
    assert prelabel("--task", "1").exit_code == 1
    assert "task 1 failed" in caplog.text
    assert "Traceback" in caplog.text
    assert TOKEN not in caplog.text


def test_a_config_without_a_place_for_answers_is_refused(prelabel, fake):
    fake.project["label_config"] = '<View><Image name="image" value="$image"/></View>'
    result = prelabel()
    assert result.exit_code == 2
    assert "error:" in result.output


def test_an_address_is_needed(prelabel, monkeypatch):
    monkeypatch.delenv("LABEL_STUDIO_URL")
    result = prelabel()
    assert result.exit_code == 2
    assert "needs Label Studio's address and an API key" in result.output


def test_a_file_for_failures_that_cannot_be_written(prelabel, tmp_path):
    result = prelabel("--failures", str(tmp_path / "no" / "failed.jsonl"))
    assert result.exit_code == 4


def test_a_server_that_is_away_for_too_long(prelabel, fake):
    fake.stop()
    result = prelabel("--patience", "1.5")
    fake.start(fake.port)
    assert result.exit_code == 4
    assert "is not reachable (connect error); trying again in 1 s" in result.output
    assert "the same command goes on from there" in result.output


def test_the_token_is_never_shown(prelabel, fake, quick_waits):
    fake.faults += [Fault("GET", "/api/projects", 502), Fault("GET", "/data", 500)]
    results = [prelabel("--limit", "1"), prelabel("--api-key", TOKEN, "--filter", "x")]
    assert all(TOKEN not in result.output + repr(result.exception) for result in results)


def test_options_are_read_as_json_or_as_text():
    texts = ["labels=open", 'tasks=["brief"]', 'mapping={"puppy": "Dog"}', "max_regions = 3"]
    assert command.read_options(texts) == Options(
        labels="open", tasks=(Task.BRIEF,), mapping={"puppy": "Dog"}, max_regions=3
    )
    with pytest.raises(OptionsError, match="min_area"):
        command.read_options(["min_area=2"])


def test_predictions_are_named_as_the_backend_names_its_own(annotator, tmp_path):
    settings = ServerSettings(media_cache_dir=tmp_path)
    media = TaskMedia(settings)
    predictor = Predictor(lambda: Kept(annotator), media, model="a/nano")
    with closing(Backend(predictor, settings)) as backend:
        assert usual_version("a/nano") == backend.model_version
