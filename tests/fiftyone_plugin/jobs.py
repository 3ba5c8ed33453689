"""Whole runs with an annotator that tests hold, and what it is asked."""

from __future__ import annotations

from functools import partial

from fiftyone_plugin.operators.plans import Plan
from fiftyone_plugin.runs.attribute_mapping import AttributeMapping
from fiftyone_plugin.runs.engine import RegionJob, run
from fiftyone_plugin.targets.missing import OverwritePolicy
from fiftyone_plugin.targets.target import resolve
from pam_labeling import LazyRequest, Settings
from pam_model import Question, Task

BRIEF = Question(Task.BRIEF)
ANSWERS = AttributeMapping({BRIEF: "caption"})
CAPTIONS = "ground_truth.detections.caption"


def job_on(collection, field="ground_truth", answers=ANSWERS, only="all", **options):
    target = resolve(collection, field=field, policy=OverwritePolicy(only, answers.groups))
    return RegionJob("caption_regions", target, answers, {}, **options)


def plan_of(job):
    kind = job.target.label_type
    list_name = getattr(kind, "_LABEL_LIST_FIELD", None)
    one = kind if list_name is None else kind._fields[list_name].field.document_type
    return Plan(job, Settings(), job.answers.attributes(one))


def record_of(job, annotator):
    records = []

    def whole():
        records.append((yield from run(job, annotator, plan_of(job).writer("nano"))))

    list(whole())
    return records[0]


class Recorder:
    """Passes everything to an annotator, and keeps the requests."""

    def __init__(self, annotator):
        self.annotator = annotator
        self.model_name = annotator.model_name
        self.requests = []

    def make(self, lazy):
        request = lazy.make()
        self.requests.append(request)
        return request

    def annotate_many(self, requests):
        def kept():
            for lazy in requests:
                yield LazyRequest(lazy.key, partial(self.make, lazy))

        return self.annotator.annotate_many(kept())
