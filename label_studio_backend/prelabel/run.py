"""Run over a project: list, predict and write its tasks at the same time, and stop cleanly.

The calling thread lists tasks and writes predictions. Meanwhile the annotator's threads fetch
images and compute, some tasks ahead. No state is kept between runs: a task is done when Label
Studio has its prediction.
"""

from __future__ import annotations

import logging
from contextlib import closing, suppress
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import RefusedError, StoppedError
from pam_labeling.errors import ClosedError, PamError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from label_studio_backend.prelabel.report import Report
    from label_studio_backend.prelabel.sink import PredictionSink
    from label_studio_backend.prelabel.source import Todo

    Task = Mapping[str, Any]
    # Takes tasks, each with a function that reads it; yields predictions or errors in their order.
    PredictMany = Callable[
        [Iterable[tuple[Todo, Callable[[], Task]]]],
        Generator[tuple[Todo, dict[str, Any] | Exception], None, None],
    ]

_log = logging.getLogger(__name__)


def run(
    source: Iterable[Todo],
    predict_many: PredictMany,
    sink: PredictionSink,
    report: Report,
    *,
    stop: threading.Event,
    limit: int | None = None,
) -> None:
    """Predict tasks and write their predictions, to the end or until `stop` is set.

    Args:
        source: the tasks.
        predict_many: see `Predictor.predict_many`.
        sink: writes the predictions.
        report: counts each task, in this thread.
        stop: when it is set, no further task is begun. The code that sets it closes the annotator,
            so that tasks under way fail with `ClosedError`; finished ones are still written.
        limit: the most tasks to do.

    Raises:
        ApiFailure: Label Studio cannot be used any more. The next run sees which tasks have no
            prediction, and does them.
    """

    def chosen() -> Iterator[tuple[Todo, Callable[[], Task]]]:
        with suppress(StoppedError):
            for todo in islice(source, limit):
                if stop.is_set():
                    return
                yield todo, partial(getattr, todo, "task")

    with closing(predict_many(chosen())) as results:
        for todo, result in results:
            if isinstance(result, ClosedError) and stop.is_set():
                continue
            if isinstance(result, Exception):
                _log.debug("task %d failed", todo.id, exc_info=result)
                report.failed(todo.id, _reason(result))
                continue
            try:
                report.wrote(sink.write(todo.id, result, todo.replaces))
            except RefusedError as error:
                report.failed(todo.id, str(error))
    sink.settle()


def _reason(error: Exception) -> str:
    """An error as one line; one that is not a `PamError` gets its class name in front."""
    text = " ".join(str(error).split())
    if isinstance(error, PamError) and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")
