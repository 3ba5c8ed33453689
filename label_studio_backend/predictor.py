"""Predict tasks of Label Studio.

The predictor owns the model, the media and the translator between them. The HTTP backend and
`prelabel` both use it.
"""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from label_studio_backend.media.images import Images
from label_studio_backend.media.task_media import Access, TaskMedia
from label_studio_backend.metrics import Metrics
from label_studio_backend.model_loader import ModelLoader
from label_studio_backend.settings import ServerSettings
from label_studio_backend.translation.model_versions import usual_version
from label_studio_backend.translation.translator import Translator, Work, joined
from pam_labeling import Annotation, Annotator, LazyRequest, Priority, Request
from pam_labeling.command_line.exit_codes import CommandError
from pam_labeling.media import AUTO, MAX_PIXELS, GreyRange
from pam_labeling.settings import Settings
from pam_model.checkpoints.hub import usual_name

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.config.options import Options
    from label_studio_backend.json_pieces import JsonList

K = TypeVar("K")
Prediction = dict[str, Any]


class Predictor:
    """Predicts tasks; safe to use from any thread.

    Args:
        open_annotator: loads the model; called once by `load`, in a thread of its own.
        media: fetches the images of tasks.
        model: the checkpoint that `open_annotator` loads, for the name that predictions carry.
        image_cache_bytes: limit on the decoded images that are kept in memory.
        max_pixels: of the largest image that is read.
        grey_range: how grey of more than 8 bits is read, see `pam_labeling.media.parse_range`.

    Attributes:
        metrics: the counters.
        loader: loads the model.
        images: decodes images, and keeps some.
        name: the checkpoint's name.
        model_version: the name that predictions carry. It is the same before the model is loaded,
            because Label Studio skips tasks that have a prediction of the version that `/setup`
            names.
    """

    def __init__(
        self,
        open_annotator: Callable[[], Annotator],
        media: TaskMedia,
        *,
        model: str = "nano",
        image_cache_bytes: int = 512 << 20,
        max_pixels: int = MAX_PIXELS,
        grey_range: GreyRange = AUTO,
    ) -> None:
        self.metrics = Metrics()
        self.loader = ModelLoader(open_annotator)
        self.images = Images(
            media,
            self.metrics,
            max_bytes=image_cache_bytes,
            max_pixels=max_pixels,
            grey_range=grey_range,
        )
        self.name = Path(usual_name(model)).name
        self.model_version = usual_version(self.name)
        self._media = media
        self._translator = Translator(self.images, self.metrics)

    def close(self) -> None:
        """Stop after the step in progress; waiting requests fail."""
        self.loader.close()
        self._media.close()

    def click(
        self,
        task: Mapping[str, Any],
        prompts: Sequence[Any] | JsonList,
        config: LabelingConfig,
        options: Options,
        access: Access,
        *,
        deadline: float,
        loading_seconds: float,
    ) -> Prediction:
        """Answer a click.

        Args:
            task: its id and data.
            prompts: the results that an annotator drew, at least one.
            config: the labelling config.
            options: the project's options.
            access: the Label Studio that asks.
            deadline: when to give up, on `time.monotonic()`'s clock.
            loading_seconds: how long to wait for a model that is still loading.

        Returns:
            The prediction: result, score, model_version. Its result is [] if the model finds no
            object.

        Raises:
            InputError: this click cannot be answered; the message says why.
            UnavailableError: the model is not loaded, or too busy.
        """
        work = self._translator.click(task, prompts, config, options, access)
        annotator = self.loader.wait(loading_seconds)
        with self.metrics.stage("model"):
            annotation = annotator.annotate(
                work.request,
                priority=Priority.CLICK,
                timeout=max(0.0, deadline - time.monotonic()),
            )
        return self._translator.prediction(work, annotation, model_version=self.model_version)

    def predict_many(
        self,
        tasks: Iterable[tuple[K, Callable[[], Mapping[str, Any]]]],
        config: LabelingConfig,
        options: Options,
        access: Access,
        *,
        priority: Priority = Priority.BATCH,
        loading_seconds: float | None = None,
    ) -> Generator[tuple[K, Prediction | Exception], None, None]:
        """Pre-annotate many tasks; yield the prediction or the error of each, in their order.

        The annotator's reader threads fetch images a little ahead of the model. A task fails if one
        of its images or pages does.

        Args:
            tasks: a key for each task, and a function that reads it as Label Studio exports tasks:
                id, data, annotations, drafts, predictions. Consumed as the work goes on.
            config: the labelling config.
            options: the project's options.
            access: the Label Studio that the tasks are in.
            priority: WATCHED if an annotator waits at the screen.
            loading_seconds: how long to wait for a model that is still loading; None sets no limit.

        Raises:
            UnavailableError: the model is still loading, or could not be loaded.
        """
        annotator = self.loader.wait(loading_seconds)
        pages: dict[K, list[Callable[[], Work]]] = {}

        def first(key: K, read: Callable[[], Mapping[str, Any]]) -> Work:
            work, *pages[key] = self._translator.task(read(), config, options, access)
            return work()

        works = ((key, partial(first, key, read)) for key, read in tasks)
        with closing(self._predictions(annotator, works, priority)) as predictions:
            for key, prediction in predictions:
                others = self._predictions(annotator, enumerate(pages.pop(key, ())), priority)
                with closing(others):
                    yield key, joined(prediction, (other for _, other in others))

    def _predictions(
        self,
        annotator: Annotator,
        works: Iterable[tuple[K, Callable[[], Work]]],
        priority: Priority,
    ) -> Generator[tuple[K, Prediction | Exception], None, None]:
        """The prediction or the error of each, in their order."""
        made: dict[K, Work] = {}

        def request(key: K, make: Callable[[], Work]) -> Request:
            made[key] = make()
            return made[key].request

        requests = (LazyRequest(key, partial(request, key, make)) for key, make in works)
        with closing(annotator.annotate_many(requests, priority=priority)) as outcomes:
            for outcome in outcomes:
                work = made.pop(outcome.key, None)
                yield outcome.key, outcome.error or self._written(work, outcome.annotation)

    def _written(self, work: Work | None, annotation: Annotation | None) -> Prediction | Exception:
        try:
            assert work is not None
            assert annotation is not None
            return self._translator.prediction(work, annotation, model_version=self.model_version)
        except Exception as error:  # noqa: BLE001 - this task's failure; the others go on
            return error


def read_settings(
    model: Mapping[str, Any], server: Mapping[str, Any]
) -> tuple[Settings, ServerSettings]:
    """Settings of the model and of the server from the environment.

    Args:
        model: settings by name; those that are not None override the environment.
        server: the same for the server.

    Raises:
        SettingsError: a setting cannot be used.
    """
    options = Settings.from_environment(option="--{}", **model)
    return options, ServerSettings.from_environment(**server)


def open_predictor(model: Settings, server: ServerSettings) -> Predictor:
    """A predictor that can load the model.

    Raises:
        MediaError: a setting about media cannot be used.
        CommandError: the folder of media cannot be used.
    """

    def open_annotator() -> Annotator:
        torch.set_num_threads(server.model_threads)
        return model.open_annotator()

    try:
        media = TaskMedia(server)
    except OSError as error:
        raise CommandError(str(error)) from error
    return Predictor(
        open_annotator,
        media,
        model=model.model,
        image_cache_bytes=server.image_cache_bytes,
        max_pixels=model.max_pixels,
        grey_range=model.range,
    )
