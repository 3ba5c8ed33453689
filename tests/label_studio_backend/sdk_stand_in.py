"""A stand-in for the official SDK 2.x (`label_studio_ml`), which no package index has.

Written from what is known of its protocol: an object for each request, made with the project's id
and config; `setup()` called by the constructor; `get` and `set` of texts in a cache by project;
`predict(tasks, context=..., **params)` gives predictions; `fit(event, data, ...)` takes events;
`init_app(model_class, basic_auth_user=, basic_auth_pass=)` makes the WSGI application. The real one
was not run.
"""

from __future__ import annotations

import json
import sys
from types import ModuleType

from flask import Flask, jsonify, request

CACHE: dict = {}


class LabelStudioMLBase:
    def __init__(self, project_id=None, label_config=None):
        self.project_id = project_id or ""
        if label_config is not None:
            self.set("label_config", label_config)
        self.setup()

    def setup(self):
        pass

    def get(self, key):
        return CACHE.get((self.project_id, key))

    def set(self, key, value):
        if not isinstance(value, str):
            raise TypeError("the cache keeps texts")
        CACHE[self.project_id, key] = value

    @property
    def label_config(self):
        return self.get("label_config")


def init_app(model_class, basic_auth_user=None, basic_auth_pass=None):
    app = Flask("label_studio_ml")
    app.credentials = basic_auth_user, basic_auth_pass
    app.ran = []
    app.run = lambda **options: app.ran.append(options)
    made.append(app)

    def model_of(body, config):
        project = str(body["project"]).split(".", 1)[0]
        return model_class(project_id=project, label_config=config)

    @app.post("/setup")
    def setup():
        model = model_of(request.json, request.json["schema"])
        if request.json.get("extra_params"):
            model.set("extra_params", request.json["extra_params"])
        return jsonify(model_version=model.get("model_version"))

    @app.post("/predict")
    def predict():
        params = request.json["params"]
        model = model_of(request.json, request.json["label_config"])
        context = params.pop("context", {})
        return jsonify(results=model.predict(request.json["tasks"], context=context, **params))

    @app.post("/webhook")
    def webhook():
        body = request.json
        model = model_of({"project": body["project"]["id"]}, body["project"]["label_config"])
        model.fit(event=body["action"], data=body, job_id="1")
        return jsonify(status="ok"), 201

    return app


made: list = []


def install(monkeypatch):
    """Make `import label_studio_ml` find this."""
    CACHE.clear()
    made.clear()
    package, model, api = (
        ModuleType(name)
        for name in ("label_studio_ml", "label_studio_ml.model", "label_studio_ml.api")
    )
    model.LabelStudioMLBase = LabelStudioMLBase
    api.init_app = init_app
    for module in (package, model, api):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def text(extra_params):
    """Extra parameters in the only form that the SDK takes."""
    return json.dumps(extra_params)
