"""The errors that users meet, as one tree. Platforms catch the three in the second column.

PamError ── InputError (ValueError) ─────────── what was given is wrong
        │   ├── PromptError                     outside its image, empty, contradictory
        │   ├── MaskError                       of the wrong shape or type, or empty
        │   ├── ImageError                      not there, damaged, too large, no image
        │   ├── VocabularyError                 a list of labels that cannot be used
        │   └── SettingsError                   an option or a variable of the environment
        ├── UnavailableError (RuntimeError) ─── the input is right, but it cannot be done now
        │   ├── BusyError                       the queue is full
        │   ├── DeadlineError (TimeoutError)    the time ran out before the work was done
        │   └── ClosedError                     the annotator was closed
        └── CheckpointError (ValueError) ────── a checkpoint is missing, damaged or not PAM's

Any other exception is a fault in the program, and is never reported as a fault of the input.
"""

from __future__ import annotations

from pam_model.errors import CheckpointError, InputError, PamError, PromptError

__all__ = [
    "BusyError",
    "CheckpointError",
    "ClosedError",
    "DeadlineError",
    "ImageError",
    "InputError",
    "MaskError",
    "PamError",
    "PromptError",
    "SettingsError",
    "UnavailableError",
    "VocabularyError",
]


class MaskError(InputError):
    """A mask of the wrong shape or type, or an encoding that is not one."""


class ImageError(InputError):
    """An image that cannot be read; the message names it."""


class VocabularyError(InputError):
    """A list of labels that cannot be chosen from."""


class SettingsError(InputError):
    """A setting with a value that it cannot have; the message names its variable."""


class UnavailableError(PamError, RuntimeError):
    """The input is right, but the work cannot be done now."""


class BusyError(UnavailableError):
    """The queue is full; try again in a moment."""


class DeadlineError(UnavailableError, TimeoutError):
    """The request's time ran out before its work was done."""


class ClosedError(UnavailableError):
    """The annotator was closed before the work was done."""
