"""Loads the model in a background thread, while the caller does something else."""

from __future__ import annotations

import gc
import logging
import threading
import time
from typing import TYPE_CHECKING, Literal

from pam_labeling.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pam_labeling import Annotator

State = Literal["loading", "ready", "failed"]

_log = logging.getLogger(__name__)


class ModelLoader:
    """Opens an annotator in a background thread, and owns it.

    Args:
        open_annotator: loads the model; called once, after `start`.
    """

    def __init__(self, open_annotator: Callable[[], Annotator]) -> None:
        self._open = open_annotator
        self._settled = threading.Event()
        self._lock = threading.Lock()
        self._annotator: Annotator | None = None
        self._error: str | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._load, name="pam-loader", daemon=True)

    def start(self) -> None:
        """Begin to load."""
        self._thread.start()

    @property
    def state(self) -> State:
        """Whether the model is loading, is ready or failed to load."""
        if not self._settled.is_set():
            return "loading"
        return "ready" if self._error is None else "failed"

    @property
    def error(self) -> str | None:
        """Why the model could not be loaded, or None."""
        return self._error

    @property
    def annotator(self) -> Annotator | None:
        """The annotator; None until it is loaded."""
        return self._annotator

    def wait(self, seconds: float | None) -> Annotator:
        """The annotator, after waiting up to `seconds` for it; None: as long as it takes.

        Raises:
            UnavailableError: the model is still loading, or could not be loaded.
        """
        self._settled.wait(seconds)
        if self._error is not None:
            raise UnavailableError(self._error)
        if self._annotator is None:
            raise UnavailableError("the model is still loading: try again in a moment")
        return self._annotator

    def close(self) -> None:
        """Close the annotator, now or as soon as it is loaded."""
        with self._lock:
            self._closed = True
            annotator = self._annotator
        if annotator is not None:
            annotator.close()

    def _load(self) -> None:
        start = time.monotonic()
        try:
            annotator = self._open()
        except Exception as error:  # noqa: BLE001 - whoever asks for the model is told
            _log.exception("the model cannot be loaded")
            # An admin sees the message in a status line, which is one line.
            self._error = " ".join(f"the model cannot be loaded: {error}".split())
            self._settled.set()
            return
        # A full collection would stop all threads while it visits the many objects of torch.
        gc.freeze()
        with self._lock:
            self._annotator = annotator
            closed = self._closed
        self._settled.set()
        if closed:
            annotator.close()
            return
        seconds = time.monotonic() - start
        _log.info("the model %s is ready after %.1f s", annotator.model_name, seconds)
