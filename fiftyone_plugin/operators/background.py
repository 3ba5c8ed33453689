"""Runs in threads of this process, so that they do not end with the page that began them."""

from __future__ import annotations

import logging
import threading
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

from pam_labeling.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ..runs.engine import Progress
    from ..runs.records import RunRecord

logger = logging.getLogger(__name__)

_RUNS: list[BackgroundRun] = []
_LOCK = threading.Lock()


class BackgroundRun:
    """A run in a thread. Its first step, which checks what this machine can do, is done at once.

    Args:
        dataset: the dataset that it works on.
        title: what it does, in a few words.
        steps: the run, a generator of its progress.
        finish: gives the record of the run of this key, once it has ended.

    Attributes:
        id: its name in this process.
        title: see above.
        progress: how far it is; without a key while the model loads.
        record: its record, once it has ended.
        error: why it ended, if it failed.

    Raises:
        InputError: the first step failed; the message says why.
    """

    def __init__(
        self,
        dataset: Any,
        title: str,
        steps: Generator[Progress, None, None],
        finish: Callable[[str], RunRecord],
    ) -> None:
        self.id = uuid.uuid4().hex
        self.dataset_id = dataset._doc.id
        self.title = title
        self.progress = next(steps)
        self.record: RunRecord | None = None
        self.error: Exception | None = None
        self._steps, self._finish = steps, finish
        self._stop_wanted = threading.Event()
        with _LOCK:  # what failed before was seen by now
            _RUNS[:] = [run for run in _RUNS if run.is_going or run.dataset_id != self.dataset_id]
            _RUNS.append(self)
        # A daemon, or a server that ends would wait for it for hours. What is written stays.
        self._thread = threading.Thread(target=self._work, name="pam-run", daemon=True)
        self._thread.start()

    @property
    def is_going(self) -> bool:
        """Whether it has not ended."""
        return self.record is None and self.error is None

    @property
    def is_stopping(self) -> bool:
        """Whether somebody asked it to stop."""
        return self._stop_wanted.is_set()

    def stop(self) -> None:
        """End it after its current image, or as soon as the model is loaded."""
        self._stop_wanted.set()

    def wait(self) -> RunRecord:
        """Wait for its end, and return its record.

        Raises:
            Exception: whatever ended it.
        """
        self._thread.join()
        if self.error is not None:
            raise self.error
        assert self.record is not None
        return self.record

    def _work(self) -> None:
        try:
            with closing(self._steps):
                for progress in self._steps:
                    self.progress = progress
                    if progress.key and self.is_stopping:
                        break
            self.record = self._finish(self.progress.key)
        except Exception as error:
            if not isinstance(error, InputError):
                logger.exception("A run failed")
            self.error = error


def begun_on(dataset: Any) -> list[BackgroundRun]:
    """The runs of this process on a dataset that have not ended, or have failed."""
    with _LOCK:
        runs = list(_RUNS)
    return [run for run in runs if run.dataset_id == dataset._doc.id and run.record is None]
