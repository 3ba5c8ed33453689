"""Load the model, usually in a background thread."""

from __future__ import annotations

import gc
import logging
import threading
import time
from concurrent import futures
from concurrent.futures import Future
from typing import TYPE_CHECKING, Literal

from pam_labeling.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pam_labeling import Annotator

State = Literal["loading", "ready", "failed"]

_log = logging.getLogger(__name__)


class ModelLoader:
    """Opens an annotator, and owns it.

    Args:
        open_annotator: loads the model; called once, by `start` or `load`.
    """

    def __init__(self, open_annotator: Callable[[], Annotator]) -> None:
        self._open = open_annotator
        self._loaded: Future[Annotator] = Future()

    def start(self) -> None:
        """Begin to load in a background thread, and return at once."""
        threading.Thread(target=self.load, name="pam-loader", daemon=True).start()

    def load(self) -> None:
        """Load in this thread."""
        start = time.monotonic()
        try:
            annotator = self._open()
        except Exception as error:  # noqa: BLE001 - raised in all that ask for the model
            _log.exception("the model cannot be loaded")
            # An admin sees the message in a status line, so it must be one line.
            sentence = " ".join(f"the model cannot be loaded: {error}".split())
            self._loaded.set_exception(UnavailableError(sentence))
            return
        # A full collection would stop all threads while it visits the many objects of torch.
        gc.freeze()
        self._loaded.set_result(annotator)
        _log.info(
            "the model %s is ready after %.1f s", annotator.model_name, time.monotonic() - start
        )

    @property
    def state(self) -> State:
        """Whether the model is loading, is ready or failed to load."""
        if not self._loaded.done():
            return "loading"
        return "ready" if self._loaded.exception() is None else "failed"

    @property
    def error(self) -> str | None:
        """Why the model could not be loaded, or None."""
        return str(self._loaded.exception()) if self.state == "failed" else None

    @property
    def annotator(self) -> Annotator | None:
        """The annotator; None until it is loaded."""
        return self._loaded.result() if self.state == "ready" else None

    def wait(self, seconds: float | None) -> Annotator:
        """Wait up to `seconds` for the annotator; None waits as long as it takes.

        Raises:
            UnavailableError: the model is still loading, or could not be loaded.
        """
        futures.wait([self._loaded], seconds)
        if self.error is not None:
            raise UnavailableError(self.error)
        if self.annotator is None:
            raise UnavailableError("the model is still loading: try again in a moment")
        return self.annotator

    def close(self) -> None:
        """Close the annotator, now or as soon as it is loaded."""
        self._loaded.add_done_callback(_close)


def _close(loaded: Future[Annotator]) -> None:
    if loaded.exception() is None:
        loaded.result().close()
