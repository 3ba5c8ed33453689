"""The panel of runs, and the threads that do what it shows."""

from __future__ import annotations

import threading
import time

import fiftyone.operators as foo
import pydash
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.background import BackgroundRun
from fiftyone_plugin.operators.execution_store import is_stop_wanted
from fiftyone_plugin.operators.model_operator import collection_target, progress_of
from fiftyone_plugin.operators.options import CaptionOptions
from fiftyone_plugin.operators.runs_panel import RunsPanel
from fiftyone_plugin.runs.engine import Progress
from tests.fiftyone_plugin.app import FIELD


class AppPanel:
    """The panel in an App, which keeps its state."""

    def __init__(self, dataset):
        self._dataset, self._panel, self._state = dataset, RunsPanel(), {}
        self.send("on_load")

    def send(self, event, **params):
        executor = foo.executor.Executor()
        request = {
            "dataset_name": self._dataset.name,
            "params": {
                "panel_id": "one",
                "panel_state": pydash.clone_deep(self._state),
                "__method__": event,
                **params,
            },
        }
        self._panel.execute(foo.ExecutionContext(request, executor))
        self.triggered = {
            one["operator_uri"]: one["params"] for one in executor.to_json()["requests"]
        }
        for key, value in (self.triggered.get("patch_panel_state") or {"state": {}})[
            "state"
        ].items():
            pydash.set_(self._state, key, value)

    def press(self, button):
        self.send("stop", **self.parts[button]["view"]["params"])

    @property
    def parts(self):
        return self.triggered["show_panel_output"]["output"]["type"]["properties"]

    def told(self, name):
        assert name not in self._state  # which the App would show instead
        return self.parts[name]["view"].get("label") or self.parts[name]["default"]


class Steps:
    """A run that goes on when it is let."""

    def __init__(self, error=None):
        self.go_on = threading.Event()
        self._error = error

    def __call__(self):
        yield Progress(0, 0, "Loading nano")
        self.go_on.wait(30)
        if self._error:
            raise self._error
        for done in range(1000):
            yield Progress(done, 1000, f"{done} of 1,000", "key")


def test_a_run_that_loads_its_model_is_shown_and_can_be_stopped(scene_dataset):
    dataset, steps = scene_dataset(0), Steps()
    ended = []
    run = BackgroundRun(dataset, "Find regions: all", steps(), lambda key: ended.append(key) or key)
    panel = AppPanel(dataset)
    assert panel.told("title_0") == "**Find regions: all**"
    assert panel.told("bar_0") == "Loading nano"
    panel.press("stop_0")
    assert panel.told("stopping_0") == "It stops after its current image."
    assert "stop_0" not in panel.parts
    steps.go_on.set()
    assert run.wait() == "key"
    assert (ended, run.progress.done) == (["key"], 0)
    panel.send("look")
    assert panel.told("none") == "Nothing was run on this dataset yet."


def test_a_button_that_was_drawn_while_the_model_loaded_still_stops_the_run(scene_dataset):
    dataset, shown, pressed = scene_dataset(0), threading.Event(), threading.Event()

    def steps():
        yield Progress(0, 0, "Loading nano")
        shown.wait(30)
        yield Progress(0, 9, "0 of 9", "key")
        pressed.wait(30)
        yield Progress(1, 9, "1 of 9", "key")
        raise AssertionError("it was not stopped")

    run = BackgroundRun(dataset, "Find regions: all", steps(), lambda key: key)
    panel = AppPanel(dataset)
    shown.set()
    while not run.progress.key:
        time.sleep(0.01)
    panel.press("stop_0")
    assert is_stop_wanted(dataset, "key")
    pressed.set()
    assert run.wait() == "key"


def test_a_model_that_cannot_be_loaded_is_told_until_the_next_run(scene_dataset):
    dataset, steps = scene_dataset(0), Steps(PluginError("The model is broken."))
    run = BackgroundRun(dataset, "Find regions: all", steps(), lambda key: key)
    steps.go_on.set()
    with pytest.raises(PluginError, match="broken"):
        run.wait()
    panel = AppPanel(dataset)
    assert panel.told("failed_0") == "Find regions: all: The model is broken."
    assert "failed_0" not in AppPanel(scene_dataset(1)).parts
    again = Steps()
    again.go_on.set()
    BackgroundRun(dataset, "Find regions: all", again(), lambda key: key).wait()
    panel.send("look")
    assert "failed_0" not in panel.parts


def test_a_run_of_any_process_is_shown_stopped_and_its_results_loaded(
    operator, scene_dataset, monkeypatch
):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)
    dataset = scene_dataset(0, 1, 2)
    panel = AppPanel(dataset)
    caption, options = operator("caption_regions"), CaptionOptions(field=FIELD)
    total = dataset.count("ground_truth.detections")
    for progress in progress_of(caption.plan(options, collection_target(dataset, options))):
        if progress.key:
            panel.send("look")
            assert (
                panel.told("title_0") == "**Caption regions: caption of ground_truth, in English**"
            )
            assert panel.told("bar_0").startswith(f"{progress.done} of {total}")
            assert panel.parts["bar_0"]["default"] == progress.done / total
            assert "goes on when this page is closed or reloaded" in panel.told("advice")
        if progress.done:
            panel.press("stop_0")
            assert is_stop_wanted(dataset, progress.key)
            assert "reload_dataset" not in panel.triggered
    panel.send("look")
    assert "reload_dataset" in panel.triggered
    assert "title_0" not in panel.parts
    assert ": stopped, " in panel.told("last_runs")
    panel.send("look")
    assert "reload_dataset" not in panel.triggered


def test_a_record_that_cannot_be_read_is_told(operator, scene_dataset):
    dataset = scene_dataset(0)
    key = operator("caption_regions")(dataset, field=FIELD)["key"]
    dataset.register_run("odd", dataset.init_run(method="@pam-labeling/pam/x", state="later"))
    assert "The record of the run 'odd' is damaged" in AppPanel(dataset).told("failed_0")
    dataset.delete_run("odd")
    assert key not in AppPanel(dataset).told("last_runs")  # it goes by what it did
