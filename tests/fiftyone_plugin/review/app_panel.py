"""The review panel as the App drives it."""

from __future__ import annotations

import fiftyone.operators as foo
import pydash

from fiftyone_plugin.review.panel import ReviewPanel

CAPTION = "ground_truth.detections.caption"


class AppPanel:
    """A panel that is open in an App: keeps the state as the App does."""

    def __init__(self, view, current_sample=None):
        self.view = view
        self.current_sample = current_sample
        self.state = {}
        self.data = {}
        self.triggered = []
        self._panel = ReviewPanel()
        self.send("on_load")

    def send(self, event, **params):
        """An event with the parameters that the App sends along."""
        executor = foo.executor.Executor()
        request = {
            "dataset_name": self.view._root_dataset.name,
            "view": self.view._serialize(),
            "current_sample": self.current_sample,
            "params": {
                "panel_id": "one",
                "panel_state": pydash.clone_deep(self.state),
                "__method__": event,
                **params,
            },
        }
        self._panel.execute(foo.ExecutionContext(request, executor))
        requests = executor.to_json()["requests"]
        self.triggered = [(one["operator_uri"], one["params"]) for one in requests]
        for name, told in self.triggered:
            kept = {"patch_panel_state": self.state, "patch_panel_data": self.data}.get(name, {})
            for key, value in (told.get("state") or told.get("data") or {}).items():
                pydash.set_(kept, key, value)

    def fill(self, **fields):
        """Type into fields or choose, where nothing listens."""
        for path, value in fields.items():
            pydash.set_(self.state, path.replace("__", "."), value)

    def operations(self, name):
        return [params for called, params in self.triggered if called == name]

    @property
    def form(self):
        """The names of what is shown, down to the single part."""
        [shown] = self.operations("show_panel_output")
        return shown["output"]["type"]["properties"]

    @property
    def buttons(self):
        return set(self.form["buttons"]["type"]["properties"])


def verdicts(dataset):
    if dataset.get_field("ground_truth.detections.caption_reviewed") is None:
        return {}
    return dataset.count_values("ground_truth.detections.caption_reviewed")
