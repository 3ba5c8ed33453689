"""The backend under a stand-in for the official SDK; the real one was not run."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path

import pytest

import label_studio_backend
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.errors import RequestError
from tests.label_studio_backend import sdk_stand_in
from tests.label_studio_backend.conftest import drawn
from tests.label_studio_backend.prediction_check import check_prediction

WSGI = Path(label_studio_backend.__file__).with_name("_wsgi.py")


@pytest.fixture
def model(monkeypatch, backend):
    """`label_studio_backend.model`, imported with the stand-in, around a loaded backend."""
    sdk_stand_in.install(monkeypatch)
    monkeypatch.delitem(sys.modules, "label_studio_backend.model", raising=False)
    model = importlib.import_module("label_studio_backend.model")
    monkeypatch.setattr(model, "shared_backend", lambda: backend)
    yield model
    sys.modules.pop("label_studio_backend.model", None)


@pytest.fixture
def sdk_client(model):
    """A client of the application that `_wsgi.py` makes for gunicorn."""
    return runpy.run_path(str(WSGI), run_name="_wsgi")["app"].test_client()


def test_setup_tells_the_version_that_predictions_carry(sdk_client, backend, traffic):
    answer = sdk_client.post("/setup", json=traffic("setup_basic_auth"))
    assert answer.json == {"model_version": backend.model_version}


@pytest.mark.parametrize(
    "name",
    [
        "predict_interactive_kp_positive",
        "predict_interactive_rectangle",
        "predict_interactive_null_context",
    ],
)
def test_captured_requests_are_answered(sdk_client, traffic, name):
    sent = traffic(name)
    answer = sdk_client.post("/predict", json=sent)
    [prediction] = answer.json["results"]
    height, width = drawn().image.shape[:2]
    check_prediction(prediction, LabelingConfig.parse(sent["label_config"]), (width, height))


def test_after_submit_the_answer_is_empty(sdk_client, traffic):
    sent = traffic("predict_interactive_empty_context_on_submit")
    assert sdk_client.post("/predict", json=sent).json == {"results": [{"result": []}]}


def test_options_that_the_sdk_kept_are_used(sdk_client, model, traffic):
    sent = traffic("predict_interactive_kp_positive")
    body = {"project": sent["project"], "schema": sent["label_config"]}
    body["extra_params"] = sdk_stand_in.text({"language": "zh"})
    sdk_client.post("/setup", json=body)
    caption = sdk_client.post("/predict", json=sent).json["results"][0]["result"][1]
    assert not caption["value"]["text"][0].isascii()
    made = model.PerceiveAnything(project_id="1", label_config=sent["label_config"])
    made.set("extra_params", '{"langage": "zh"}')
    with pytest.raises(RequestError, match="langage"):
        made.predict(sent["tasks"], sent["params"]["context"])


def test_events_are_counted(sdk_client, backend, traffic):
    assert (
        sdk_client.post("/webhook", json=traffic("webhook_ANNOTATION_CREATED")).status_code == 201
    )
    value = backend.metrics.registry.get_sample_value(
        "pam_webhook_events_total", {"action": "ANNOTATION_CREATED"}
    )
    assert value == 1


def test_started_as_a_program_it_takes_the_arguments_of_the_sdk(model, monkeypatch):
    arguments = ["--port", "9191", "--host", "0.0.0.0", "--basic-auth-user", "me", "--check"]
    monkeypatch.setattr(sys, "argv", ["_wsgi.py", *arguments, "--basic-auth-pass", "secret"])
    runpy.run_path(str(WSGI), run_name="__main__")
    [app] = sdk_stand_in.made
    assert app.ran == [{"host": "0.0.0.0", "port": 9191, "debug": False}]
    assert app.credentials == ("me", "secret")


def test_one_backend_serves_the_process_with_settings_of_the_environment(
    monkeypatch, tmp_path, label_studio
):
    sdk_stand_in.install(monkeypatch)
    monkeypatch.delitem(sys.modules, "label_studio_backend.model", raising=False)
    model = importlib.import_module("label_studio_backend.model")
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("PAM_MEDIA_CACHE_DIR", str(tmp_path / "media"))
    monkeypatch.setenv("PAM_THREADS", "1")
    backend = model.shared_backend()
    try:
        assert model.shared_backend() is backend
        assert backend.model_version.startswith("nano (pam-labeling ")
        backend._loader.wait(60)
    finally:
        backend.close()
        sys.modules.pop("label_studio_backend.model", None)
