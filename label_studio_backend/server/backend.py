"""What Label Studio's calls mean, without HTTP: the model, its projects, their tasks."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_studio_backend.config.labeling_config import LabelingConfig, LabelingConfigError
from label_studio_backend.config.project_checks import ProjectChecks
from label_studio_backend.errors import RequestError, UnavailableError
from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import Access, MediaError
from label_studio_backend.metrics import Metrics
from label_studio_backend.server.admission import Turns
from label_studio_backend.server.batches import Batches
from label_studio_backend.server.bodies import project_key
from label_studio_backend.server.model_loader import ModelLoader
from label_studio_backend.server.project_file import NAME, ProjectFile
from label_studio_backend.server.projects import Project, Projects
from label_studio_backend.server.result_cache import ResultCache
from label_studio_backend.translation.model_versions import usual_version
from label_studio_backend.translation.translator import Translator
from pam_labeling import Annotator, DeadlineError, Priority
from pam_labeling.media import MAX_PIXELS
from pam_labeling.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from label_studio_backend.config.options import Options
    from label_studio_backend.media.task_media import TaskMedia
    from label_studio_backend.server.bodies import PredictBody, SetupBody
    from label_studio_backend.settings import ServerSettings
    from label_studio_backend.translation.translator import Work

_log = logging.getLogger(__name__)

_EVENTS = frozenset(
    f"{what}_{how}"
    for what, hows in (
        ("ANNOTATION", ("CREATED", "UPDATED")),
        ("ANNOTATIONS", ("CREATED", "DELETED")),
        ("PROJECT", ("CREATED", "UPDATED", "DELETED")),
        ("TASKS", ("CREATED", "DELETED")),
        ("START", ("TRAINING",)),
    )
    for how in hows
)


class Backend:
    """Answers Label Studio; safe to use from any thread.

    Args:
        open_annotator: loads the model; called once by `load`, in a thread of its own.
        media: fetches the images of tasks.
        settings: limits, and Label Studio.
        model: which checkpoint `open_annotator` loads, for the name that predictions carry.
        max_pixels: the largest image that is read.

    Attributes:
        metrics: what is counted.
        model_version: what predictions carry. It is the same before the model is loaded, because
            Label Studio skips tasks that have a prediction of the version that `/setup` says.
    """

    def __init__(
        self,
        open_annotator: Callable[[], Annotator],
        media: TaskMedia,
        settings: ServerSettings,
        *,
        model: str = "nano",
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.metrics = Metrics()
        self._name = Path(model).name
        self.model_version = usual_version(model)
        self._settings = settings
        self._media = media
        self._images = Images(
            media,
            self.metrics,
            max_bytes=settings.image_cache_bytes,
            max_pixels=max_pixels,
        )
        self._translator = Translator(self._images, self.metrics)
        self._results = ResultCache(settings.result_cache_bytes, self.metrics)
        self._checks = ProjectChecks()
        self._projects = Projects(ProjectFile(settings.media_cache_dir / NAME))
        self._loader = ModelLoader(open_annotator)
        self._clicks = Turns(settings.predictions, settings.busy_seconds, "clicks")
        self._posts = Turns(settings.predictions, settings.busy_seconds, "batches")
        self._batches = Batches(
            self._loader,
            self._translator,
            self._results,
            self.metrics,
            settings,
            model_version=self.model_version,
        )
        self._add_gauges()

    def __enter__(self) -> Backend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> None:
        """Begin to load the model, and return at once."""
        self._loader.start()

    def close(self) -> None:
        """Stop after the step in progress; what waits fails."""
        self._batches.close()
        self._loader.close()
        self._media.close()

    def health(self) -> dict[str, Any]:
        """That the process lives, and how far the model is; never waits."""
        return {
            "status": "UP" if self._loader.state != "failed" else "DOWN",
            "state": self._loader.state,
            "model_class": "PAM",
            "model": self._name,
            "version": VERSION,
            "error": self._loader.error,
        }

    def versions(self) -> dict[str, Any]:
        """The versions of predictions that the backend can make: one."""
        return {"versions": [self.model_version], "pam_labeling": VERSION, "model": self._name}

    def setup(self, body: SetupBody) -> dict[str, Any]:
        """Remember a project's options and access, and check its config; cheap, never waits.

        Raises:
            RequestError: extra parameters or a config that cannot work; the sentences say why.
            UnavailableError: the model could not be loaded.
        """
        key = project_key(body.project)
        access = Access(body.hostname, body.access_token)
        checked = self._checks.check(body.schema, body.extra_params)
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
            raise UnavailableError(self._loader.error, retry_after=60)
        return {"model_version": self.model_version, "hints": findings.hints}

    def predict(self, body: PredictBody) -> dict[str, Any]:
        """Answer a click, or pre-annotate a batch: `{"results": [one for each task]}`.

        Raises:
            RequestError: a click, config or options that cannot be answered.
            UnavailableError: busy, or no model (yet).
        """
        if body.prompts is not None and not body.prompts:
            # What Label Studio posts for each prompt that is left after Submit.
            return {"results": [{"result": []} for _ in body.tasks]}
        start = time.monotonic()
        project = self._projects.get(body.project)
        if project.problem is not None:
            raise RequestError(project.problem)
        config = _parse(body.label_config)
        if body.prompts is None:
            with self._posts.turn():
                deadline = start + self._settings.batch_seconds
                results = self._batches.predict(body.tasks, config, project, body.project, deadline)
            if project.hints:
                # Label Studio saves none of them; "Send Test Request" shows them to an admin.
                results = [{**result, "hints": project.hints} for result in results]
            return {"results": results, "model_version": self.model_version}
        deadline = start + self._settings.click_seconds
        with self._clicks.turn():
            results = [
                self._click(task, body.prompts, config, project, deadline) for task in body.tasks
            ]
        return {"results": results, "model_version": self.model_version}

    def predict_task(
        self,
        task: Mapping[str, Any],
        config: LabelingConfig,
        options: Options,
        access: Access,
        *,
        deadline: float | None = None,
        priority: Priority = Priority.BATCH,
    ) -> dict[str, Any]:
        """Pre-annotate one task, waiting for the model if it still loads.

        Args:
            task: as Label Studio exports it: id, data, annotations, drafts, predictions.
            config: the labelling config.
            options: the project's options.
            access: the Label Studio that the task is in.
            deadline: `time.monotonic()` after which to give up, or None.
            priority: see `Priority`.

        Returns:
            The prediction: result, score, model_version.

        Raises:
            RequestError, MediaError, ImageError, PromptDataError, LabelingConfigError,
            PredictionError: this task cannot be done; the message says why.
            DeadlineError, BusyError, ClosedError: not now.
        """
        work = self._translator.task(task, config, options, access)
        return self._annotate(work, deadline, priority)

    def webhook(self, action: str) -> dict[str, Any]:
        """Take note of an event of Label Studio; nothing of it is kept but its number."""
        known = action in _EVENTS
        self.metrics.events.labels(action if known else "other").inc()
        if known:
            _log.info("Label Studio tells of %s", action)
        return {"status": "ok"}

    def _click(
        self,
        task: Mapping[str, Any],
        prompts: list[Any],
        config: LabelingConfig,
        project: Project,
        deadline: float,
    ) -> dict[str, Any]:
        try:
            work = self._translator.click(task, prompts, config, project.options, project.access)
            if work is None:
                return {"result": []}
            return self._annotate(work, deadline, Priority.INTERACTIVE)
        except MediaError as error:
            raise self._failed(error, 502) from error
        except DeadlineError as error:
            raise self._failed(error, 504) from error
        except ValueError as error:  # of prompts, image, config or answer: with a sentence
            raise self._failed(error, 400) from error

    def _annotate(self, work: Work, deadline: float | None, priority: Priority) -> dict[str, Any]:
        def left() -> float | None:
            return None if deadline is None else max(0.0, deadline - time.monotonic())

        patience = left()
        if priority is Priority.INTERACTIVE:
            patience = self._settings.loading_seconds
        annotator = self._loader.wait(patience)
        with self.metrics.stage("model"):
            annotation = annotator.annotate(work.request, priority=priority, timeout=left())
        return self._translator.prediction(work, annotation, model_version=self.model_version)

    def _failed(self, error: Exception, status: int) -> RequestError:
        self.metrics.failures.labels(type(error).__name__).inc()
        return RequestError(str(error), status)

    def _add_gauges(self) -> None:
        def statistic(name: str) -> Callable[[], float]:
            def read() -> float:
                annotator = self._loader.annotator
                return float(getattr(annotator.statistics, name)) if annotator else 0.0

            return read

        gauge = self.metrics.gauge
        gauge("model_ready", "1 when the model is loaded.", lambda: self._loader.state == "ready")
        gauge("queue_length", "Requests that wait for the model.", statistic("waiting"))
        gauge("feature_cache_bytes", "Image features kept.", statistic("cached_bytes"))
        gauge("feature_cache_hits", "Images not encoded again.", statistic("cache_hits"))
        gauge("feature_cache_misses", "Images encoded.", statistic("cache_misses"))
        gauge("image_cache_bytes", "Decoded images kept.", lambda: self._images.nbytes)
        gauge("result_cache_bytes", "Pre-annotations kept.", lambda: self._results.nbytes)
        gauge("batch_tasks", "Tasks of batches under way.", lambda: self._results.under_way)


def _parse(xml: str) -> LabelingConfig:
    try:
        return LabelingConfig.parse(xml)
    except LabelingConfigError as error:
        raise RequestError(str(error)) from error
