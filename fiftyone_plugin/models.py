"""A pool of annotators: one for each model and device, kept for a while for the next use."""

from __future__ import annotations

import math
import os
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pam_labeling import Settings, SettingsError
from pam_labeling.errors import InputError
from pam_model import CheckpointError
from pam_model.checkpoints.hub import check_name, usual_name

from .errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pam_labeling import Annotator


MODELS = ("nano", "PAM-1.5B", "PAM-3B")
"""The checkpoints that the forms offer; a folder or a hub id may be typed instead."""

IDLE_VARIABLE = "PAM_IDLE_SECONDS"


@dataclass
class _Lent:
    annotator: Annotator | None = None
    users: int = 0
    timer: threading.Timer | None = None
    loading: threading.Lock = field(default_factory=threading.Lock)


class AnnotatorPool:
    """Lends annotators by their settings; safe to use from any thread.

    An unused annotator is closed after a while, and at once when another model is requested: two
    models may not fit on one device.

    Args:
        idle_seconds: how long an unused annotator is kept; None takes `PAM_IDLE_SECONDS`, or ten
            minutes; 0 keeps none.
    """

    def __init__(self, idle_seconds: float | None = None) -> None:
        self._idle_seconds = idle_seconds
        self._lock = threading.Lock()
        self._entries: dict[Settings, _Lent] = {}

    def __len__(self) -> int:
        """How many annotators are loaded."""
        with self._lock:
            return sum(entry.annotator is not None for entry in self._entries.values())

    @contextmanager
    def lend(self, settings: Settings) -> Iterator[Annotator]:
        """Lend the annotator of these settings for the length of `with`; load it on first use.

        Raises:
            PluginError: the model cannot be loaded; the message says why.
        """
        if settings not in self._entries:  # the idle models make room before it is loaded
            self.close()
        with self._lock:
            entry = self._entries.setdefault(settings, _Lent())
            entry.users += 1
            if entry.timer is not None:
                entry.timer.cancel()
        try:
            # Each entry has a lock: loading takes minutes, and other models are lent meanwhile.
            with entry.loading:
                if entry.annotator is None:
                    entry.annotator = _load(settings)
            yield entry.annotator
        finally:
            self._leave(settings, entry)

    def close(self) -> None:
        """Close every annotator that is not in use."""
        for settings in list(self._entries):
            self._close_if_idle(settings)

    def _leave(self, settings: Settings, entry: _Lent) -> None:
        seconds = idle_seconds() if self._idle_seconds is None else self._idle_seconds
        with self._lock:
            entry.users -= 1
            if entry.users:
                return
            if seconds > 0 and entry.annotator is not None:
                entry.timer = threading.Timer(seconds, self._close_if_idle, [settings])
                entry.timer.daemon = True
                entry.timer.start()
                return
        self._close_if_idle(settings)

    def _close_if_idle(self, settings: Settings) -> None:
        with self._lock:
            entry = self._entries.get(settings)
            # The timer may fire while the annotator is lent again.
            if entry is None or entry.users:
                return
            del self._entries[settings]
            if entry.timer is not None:
                entry.timer.cancel()
        # Outside the lock, because it waits for the worker.
        if entry.annotator is not None:
            entry.annotator.close()


POOL = AnnotatorPool()
"""The annotators of this process; operators, panel and zoo model share them."""


def settings_of(
    model: str | None = None, device: str | None = None, batch_size: int | None = None
) -> Settings:
    """The settings of the environment, overridden by a person's choices.

    Raises:
        PluginError: a setting cannot be used; a person's own choice goes by the operators' name.
    """
    chosen: dict[str, Any] = {
        "model": str(usual_name(model)) if model else None,
        "device": device or None,
        "regions_per_step": batch_size,
    }
    try:
        return Settings.from_environment(**chosen)
    except SettingsError as error:
        sentence = str(error)
        for name, value in chosen.items():
            if value is not None:
                said = "batch_size" if name == "regions_per_step" else name
                sentence = sentence.replace(f"{Settings.spoken(name)} must", f"{said} must")
        raise PluginError(sentence) from error


def check_model(settings: Settings, *, here: bool = False) -> None:
    """Refuse an unknown model before it is loaded, and before a run waits for a worker.

    Args:
        settings: the model's settings.
        here: whether it is loaded on this machine; else an absolute path may be a folder of the
            worker's, which must check it.

    Raises:
        PluginError: there is no such model; the message is the same as when it is loaded.
    """
    # Names of hub models and of folders look alike; only an absolute path is certainly a folder.
    if not here and Path(settings.model).is_absolute():
        return
    try:
        check_name(settings.model)
    except CheckpointError as error:
        raise _unusable(settings.model, error) from error


def idle_seconds() -> float:
    """How long unused annotators are kept, in seconds, from `PAM_IDLE_SECONDS`.

    Raises:
        PluginError: the variable is not a number from 0.
    """
    text = os.environ.get(IDLE_VARIABLE, "").strip() or "600"
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise PluginError(f"{IDLE_VARIABLE} must be a number of seconds from 0, not {text!r}.")
    return seconds


def _load(settings: Settings) -> Annotator:
    try:
        return settings.open_annotator()
    except (CheckpointError, InputError, OSError, ImportError, RuntimeError) as error:
        raise _unusable(settings.model, error) from error


def _unusable(model: str, error: Exception) -> PluginError:
    reason = str(error).removeprefix(f"{model}: ")
    return PluginError(f"The model {model} cannot be used: {reason.rstrip('.')}.")
