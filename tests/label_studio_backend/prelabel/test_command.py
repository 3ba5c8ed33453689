"""The whole command, with the embedded model, against a fake Label Studio."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import pytest
from typer.testing import CliRunner

from label_studio_backend.api_client import Api
from label_studio_backend.commands import app
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import MediaError, TaskMedia
from label_studio_backend.predictor import Predictor
from label_studio_backend.prelabel import command
from label_studio_backend.prelabel.selection import number_filter
from label_studio_backend.server.backend import Backend
from label_studio_backend.settings import ServerSettings
from label_studio_backend.translation.model_versions import usual_version
from pam_labeling import CheckpointError, Settings
from pam_model.nano.words import SHAPES
from pam_model.tasks import Task
from tests.label_studio_backend.conftest import Kept, png
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio, Fault

LABELS = "".join(f'<Label value="{shape.en}"/>' for shape in SHAPES)
CONFIG = f"""<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="brush" toName="image" smart="true">{LABELS}</BrushLabels>
</View>"""
VERSION = usual_version("nano")
QUICK = ("--option", "points_per_side=4", "--option", "max_regions=2")


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with FakeLabelStudio(tasks=4) as fake:
        fake.project["label_config"] = CONFIG
        for number in fake.tasks:
            fake.files[f"/data/upload/{number}.png"] = png()
        monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
        monkeypatch.setenv("PAM_MEDIA_CACHE_DIR", str(tmp_path / "media"))
        monkeypatch.setenv("PAM_THREADS", "1")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield fake
        logging.getLogger("label_studio_backend.model_loader").setLevel(logging.NOTSET)


@pytest.fixture
def warm(monkeypatch, annotator):
    """The embedded model is there already."""
    load = Settings.open_annotator

    def open_annotator(settings):
        return Kept(annotator) if settings.model == "nano" else load(settings)

    monkeypatch.setattr(Settings, "open_annotator", open_annotator)


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


@pytest.fixture
def prelabel(fake, warm):
    def prelabel(*arguments):
        return CliRunner().invoke(app, ["prelabel", "--project", "1", *QUICK, *arguments])

    return prelabel


def each(number, *tasks):
    return dict.fromkeys(tasks or (1, 2, 3, 4), number)


CAPTION = '<Image name="image" value="$image"/><TextArea name="caption" toName="image"/>'


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        (CONFIG, "brushlabels"),
        (CONFIG.replace("BrushLabels", "BitmaskLabels"), "bitmasklabels"),
        (f"<View>{CAPTION}</View>", "textarea"),  # the whole image
    ],
)
def test_a_project_is_pre_annotated(prelabel, fake, config, kind):
    fake.project["label_config"] = config
    result = prelabel()
    assert result.exit_code == 0, result.output
    assert fake.count(VERSION) == each(1)
    assert "4 tasks pre-annotated as 'nano (pam-labeling" in result.output
    for prediction in fake.predictions.values():
        assert prediction["result"]
        assert {part["type"] for part in prediction["result"]} == {kind}
        assert 0 <= prediction["score"] <= 1


def test_the_same_command_does_nothing_more(prelabel, fake):
    for task in fake.tasks:
        fake.add_prediction(task, VERSION)
    result = prelabel()
    assert result.exit_code == 0
    assert fake.count(VERSION) == each(1)
    assert "4 tasks left out: they have a prediction" in result.output


@pytest.mark.parametrize("done_before", [False, True])
def test_a_project_that_shows_no_predictions_shows_these_and_sorts_by_score(
    prelabel, fake, done_before
):
    for task in fake.tasks if done_before else ():
        fake.add_prediction(task, VERSION)
    result = prelabel()
    assert fake.project["model_version"] == VERSION
    assert "Prediction score" not in result.output


def test_a_project_that_shows_other_predictions_is_left_alone_and_told(prelabel, fake):
    fake.project["model_version"] = "another"
    result = prelabel("--task", "1")
    assert fake.project["model_version"] == "another"
    said = " ".join(result.output.split())
    assert "Prediction score cannot be sorted: the project shows predictions of 'another'" in said


@pytest.mark.parametrize("status", [400, 403])
def test_a_project_that_may_not_be_changed_is_told(prelabel, fake, status):
    fake.faults.append(Fault("PATCH", "/api/projects/1/", status))
    result = prelabel("--task", "1")
    assert result.exit_code == 0
    assert "Prediction score cannot be sorted" in " ".join(result.output.split())


def test_without_a_prediction_the_project_is_not_changed(prelabel, fake):
    fake.tasks.clear()
    prelabel()
    assert fake.project["model_version"] == ""


def test_another_name_is_another_run(prelabel, fake):
    fake.add_prediction(1, VERSION)
    assert prelabel("--model-version", "second", "--task", "1").exit_code == 0
    assert fake.versions(1) == [VERSION, "second (pam-labeling)"]


def test_another_name_does_not_repeat_what_a_first_one_found(prelabel, fake):
    def regions(name, most):
        options = ("--option", "points_per_side=8", "--option", f"max_regions={most}")
        result = prelabel("--task", "1", "--model-version", name, *options)
        assert result.exit_code == 0
        written = list(fake.predictions.values())[-1]
        assert written["model_version"] == f"{name} (pam-labeling)"
        return len({part["id"] for part in written["result"]})

    assert regions("trial-1", 1) == 1
    assert regions("trial-2", 2) == 2


@pytest.mark.parametrize("name", ["trial-1", "trial-1 (pam-labeling)"])
def test_a_chosen_name_goes_on_where_it_was(prelabel, fake, name):
    for task in (1, 2, 4):
        fake.add_prediction(task, "trial-1 (pam-labeling)")
    result = prelabel("--model-version", name)
    assert result.exit_code == 0
    assert fake.count("trial-1 (pam-labeling)") == each(1)
    assert "3 tasks left out: they have a prediction" in result.output


def test_overwriting_replaces(prelabel, fake):
    old = fake.add_prediction(1, VERSION)
    assert prelabel("--overwrite", "--task", "1").exit_code == 0
    assert list(fake.predictions) == [old]
    assert fake.predictions[old]["result"]


def test_regions_of_a_task_become_prompts(prelabel, fake):
    value = {"x": 10, "y": 10, "width": 50, "height": 50, "rotation": 0}
    box = {
        "id": "box", "type": "rectanglelabels", "from_name": "boxes", "to_name": "image",
        "original_width": 256, "original_height": 256, "value": {**value, "rectanglelabels": []},
    }  # fmt: skip
    boxes = '<RectangleLabels name="boxes" toName="image"><Label value="thing"/></RectangleLabels>'
    fake.project["label_config"] = CONFIG.replace("</View>", f"{boxes}</View>")
    fake.tasks[1]["annotations"] = [{"id": 1, "result": [box]}]
    assert prelabel("--task", "1").exit_code == 0
    (prediction,) = fake.predictions.values()
    assert len({part["id"] for part in prediction["result"]}) == 1


@pytest.mark.parametrize(
    ("arguments", "tasks"),
    [
        (("--task", "3", "--task", "2"), [2, 3]),
        (("--filter", "id>3"), [4]),
        (("--only-unlabeled",), [1, 3, 4]),
        (("--only-unlabeled", "--filter", "id<3"), [1]),
        (("--limit", "1"), [1]),
        (("--view", "5"), [4]),
        (("--view", "5", "--only-unlabeled", "--filter", "id<4"), []),
    ],
)
def test_tasks_can_be_chosen(prelabel, fake, arguments, tasks):
    fake.tasks[2]["annotations"] = [{"id": 1, "result": []}]
    filters = {"conjunction": "and", "items": [number_filter("id", "greater", 3)]}
    fake.views[5] = {"id": 5, "project": 1, "data": {"filters": filters}}
    assert prelabel(*arguments).exit_code == 0
    assert [task for task, count in fake.count(VERSION).items() if count] == tasks


def test_a_dry_run_says_what_would_be_done_and_does_nothing(prelabel, fake, monkeypatch):
    monkeypatch.setattr(command, "open_predictor", None)
    fake.add_prediction(2, VERSION)
    result = prelabel("--dry-run", "--limit", "2")
    assert result.exit_code == 0
    assert "has a smart brush, which Label Studio never asks about" in result.output
    assert "project 1, 'Scenes': 4 of 4 tasks chosen" in result.output
    assert "1 task left out: they have a prediction" in result.output
    assert "1 left for later by --limit" in result.output
    assert "2 would be pre-annotated" in result.output
    assert len(fake.predictions) == 1


def test_a_dry_run_is_right_where_listing_would_ask_backends(prelabel, fake):
    fake.project["evaluate_predictions_automatically"] = True
    fake.add_prediction(2, VERSION)
    result = prelabel("--dry-run")
    assert "3 would be pre-annotated" in result.output
    assert fake.evaluated == 0


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
