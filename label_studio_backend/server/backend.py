"""The backend without HTTP: one method for each request of Label Studio."""

from __future__ import annotations

import logging
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.lint import kept_checks
from label_studio_backend.errors import RequestError
from label_studio_backend.media.task_media import Access, fetch_slot
from label_studio_backend.server.admission import ConcurrencyLimit
from label_studio_backend.server.batches import Batches
from label_studio_backend.server.bodies import (
    PredictBody,
    SetupBody,
    project_key,
    read_task,
)
from label_studio_backend.server.projects import FILE_NAME, Project, ProjectFile, Projects
from label_studio_backend.server.result_cache import ResultCache
from pam_labeling.errors import UnavailableError
from pam_labeling.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Sequence

    from label_studio_backend.json_pieces import Json, JsonList
    from label_studio_backend.predictor import Predictor
    from label_studio_backend.settings import ServerSettings

_CHECKS = 1  # new configs at once: each keeps a core busy, and Python's lock much of the time

_log = logging.getLogger(__name__)

_EVENTS = frozenset({
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "PROJECT_CREATED",
    "PROJECT_UPDATED",
    "PROJECT_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
    "START_TRAINING",
})  # fmt: skip


class Backend:
    """Answers Label Studio; safe to use from any thread.

    Args:
        predictor: answers clicks and pre-annotates; closed with the backend.
        settings: limits, and the configured Label Studio.

    Attributes:
        metrics: the counters.
        model_version: see `Predictor`.
    """

    def __init__(self, predictor: Predictor, settings: ServerSettings) -> None:
        self.metrics = predictor.metrics
        self.model_version = predictor.model_version
        self._settings = settings
        self._predictor = predictor
        self._loader = predictor.loader
        self._results = ResultCache(settings.result_cache_bytes, self.metrics)
        self._projects = Projects(ProjectFile(settings.media_cache_dir / FILE_NAME))
        some = settings.predictions
        patient = partial(ConcurrencyLimit, waiting=some, patience=settings.busy_seconds)
        # Clicks wait for the model in its queue. Those that wait for the network take at most two
        # thirds of their places, so that clicks on known images go on.
        self._clicks = ConcurrencyLimit(3 * some, "clicks")
        self._fetches = patient(some, "downloads")
        self._posts = patient(some, "batches")
        self._check = kept_checks(patient(_CHECKS, "new configs").slot)
        self._batches = Batches(predictor, self._results, settings)
        self._add_gauges()

    def load(self) -> None:
        """Begin to load the model, and return at once."""
        self._loader.start()

    def close(self) -> None:
        """Stop after the step in progress; waiting requests fail."""
        self._batches.close()
        self._predictor.close()

    def health(self) -> dict[str, Any]:
        """The state of the process and of the model; never waits."""
        return {
            "status": "UP" if self._loader.state != "failed" else "DOWN",
            "state": self._loader.state,
            "model_class": "PAM",
            "model": self._predictor.name,
            "version": VERSION,
            "error": self._loader.error,
        }

    def versions(self) -> dict[str, Any]:
        """The versions of predictions that the backend can make: one."""
        return {
            "versions": [self.model_version],
            "pam_labeling": VERSION,
            "model": self._predictor.name,
        }

    def setup(self, body: SetupBody) -> dict[str, Any]:
        """Remember a project's options and access, and check its config; cheap, never waits.

        Raises:
            RequestError: the extra parameters or the config cannot be used; the message says why.
            UnavailableError: the model could not be loaded.
        """
        key = project_key(body.project)
        access = Access(body.hostname, body.access_token)
        checked = self._check(body.schema, body.extra_params)
        findings = checked.findings
        project = Project(checked.options, access, checked.problem, findings.hints)
        known = self._projects.remember(key, project, body.extra_params)
        if findings.errors:
            raise RequestError(" ".join(findings.errors))
        too_long = checked.too_long(self._loader.annotator)
        if too_long is not None:
            raise RequestError(too_long)
        if known.hints != findings.hints:  # /setup comes before nearly every task
            for hint in findings.hints:
                _log.warning("project %s: %s", key.partition(".")[0], hint)
        if self._loader.error is not None:
            raise UnavailableError(self._loader.error)
        return {"model_version": self.model_version, "hints": findings.hints}

    def predict(self, body: PredictBody) -> dict[str, Any]:
        """Answer a click, or pre-annotate a batch: `{"results": [one for each task]}`.

        Raises:
            InputError: the click, config or options cannot be used.
            UnavailableError: the backend is busy or late, or the model is not loaded.
        """
        if body.prompts == []:
            # What Label Studio posts for each prompt that is left after Submit.
            return {"results": [{"result": []} for _ in body.tasks]}
        start = time.monotonic()
        project = self._projects.get(body.project)
        if project.problem is not None:
            raise RequestError(project.problem)
        config = LabelingConfig.parse(body.label_config)
        if body.prompts is not None:
            with self._clicks.slot():
                deadline = start + self._settings.click_seconds
                results = [
                    self._click(task, body.prompts, config, project, deadline)
                    for task in body.tasks
                ]
        else:
            with self._posts.slot():
                deadline = start + self._settings.batch_seconds
                results = self._batches.predict(body.tasks, config, project, body.project, deadline)
            if project.hints:
                # Label Studio does not save them; "Send Test Request" shows them to an admin.
                results = [{**result, "hints": project.hints} for result in results]
        return {"results": results, "model_version": self.model_version}

    def webhook(self, action: str) -> dict[str, Any]:
        """Count an event of Label Studio; keep nothing else of it."""
        known = action in _EVENTS
        self.metrics.events.labels(action if known else "other").inc()
        if known:
            _log.info("event of Label Studio: %s", action)
        return {"status": "ok"}

    def _click(
        self,
        task: Json,
        prompts: Sequence[Any] | JsonList,
        config: LabelingConfig,
        project: Project,
        deadline: float,
    ) -> dict[str, Any]:
        fetch_slot.set(self._fetches.slot)  # for this thread, which serves requests only
        try:
            return self._predictor.click(
                read_task(task),
                prompts,
                config,
                project.options,
                project.access,
                deadline=deadline,
                loading_seconds=self._settings.loading_seconds,
            )
        except Exception as error:
            self.metrics.failures.labels(type(error).__name__).inc()
            raise

    def _statistic(self, name: str) -> float:
        """One of the annotator's statistics; 0 while the model loads."""
        annotator = self._loader.annotator
        return float(getattr(annotator.statistics, name)) if annotator else 0.0

    def _add_gauges(self) -> None:
        waiting, cached, hits, misses = (
            partial(self._statistic, name)
            for name in ("waiting", "cached_bytes", "cache_hits", "cache_misses")
        )
        images, results = self._predictor.images, self._results
        for name, text, value in (
            ("model_ready", "1 when the model is loaded.", lambda: self._loader.state == "ready"),
            ("queue_length", "Requests that wait for the model.", waiting),
            ("feature_cache_bytes", "Image features kept.", cached),
            ("feature_cache_hits", "Images not encoded again.", hits),
            ("feature_cache_misses", "Images encoded.", misses),
            ("image_cache_bytes", "Decoded images kept.", lambda: images.nbytes),
            ("result_cache_bytes", "Pre-annotations kept.", lambda: results.nbytes),
            ("batch_tasks", "Tasks in unfinished batches.", lambda: results.under_way),
        ):
            self.metrics.gauge(name, text, value)
