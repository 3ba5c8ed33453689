"""One run over a project: list, predict and write its tasks at the same time, and stop cleanly.

The calling thread lists tasks and writes predictions. The annotator's threads fetch images and
compute meanwhile, some tasks ahead. Nothing is kept between runs: a task is done when Label Studio
has its prediction.
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
    # From tasks, each with a function that reads it, to predictions or errors in their order.
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
        sink: where predictions go.
        report: is told of each task, in this thread.
        stop: no further task is begun when it is set. Whoever sets it closes the annotator, so that
            the tasks under way fail with `ClosedError`; what is finished is still written.
        limit: no more tasks than this.

    Raises:
        ApiFailure: Label Studio cannot be used any more. Predictions that are not written are not
            lost for the next run: it sees which tasks have none.
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
                written = sink.write(todo.id, result, todo.replaces)
            except RefusedError as error:
                report.failed(todo.id, str(error))
            else:
                report.wrote(written)
    sink.settle()


def _reason(error: Exception) -> str:
    """One line. An error that is not meant for people is named, too."""
    text = " ".join(str(error).split())
    if isinstance(error, PamError) and text:
        return text
    return f"{type(error).__name__}: {text}".rstrip(": ")
