"""Act like the App with operators: give them a context, open forms, read messages."""

from __future__ import annotations

import json
import time

from fiftyone.operators.executor import ExecutionContext, Executor, ValidationContext
from fiftyone.operators.message import GeneratedMessage

from fiftyone_plugin.runs.records import list_runs

FIELD = "ground_truth"


def context(dataset, params=None, **request):
    request = {"dataset_name": dataset.name, "params": params or {}, **request}
    return ExecutionContext(request_params=request, executor=Executor())


def form_of(operator, dataset, params=None, **request):
    """The form's properties, and its refusals."""
    ctx = context(dataset, params, **request)
    form = operator.resolve_type(ctx, "inputs")
    json.dumps(form.to_json())
    errors = ValidationContext(ctx, form, operator).errors
    return form.type.properties, [error.error_message for error in errors]


def amount_in(properties):
    return properties["amount"].view.label


def messages_of(result):
    """The messages of a generator to the App, by operator's name."""
    found = list(result)
    assert all(isinstance(message, GeneratedMessage) for message in found)
    return [(message.body.operator_uri, message.body.params) for message in found]


def notes_of(messages):
    return [(p["variant"], p["message"]) for uri, p in messages if uri.endswith("notify")]


def selected(sample, *detections):
    return [{"label_id": one.id, "sample_id": sample.id, "field": FIELD} for one in detections]


def ended_run_of(dataset, number=1):
    """The record of a dataset's run of this number, once it has ended."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        records = list_runs(dataset)
        if len(records) >= number and records[number - 1].state != "running":
            return records[number - 1]
        time.sleep(0.05)
    raise AssertionError("the run did not end")
