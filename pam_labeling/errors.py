"""The errors that users meet, as one tree. Platforms catch the three in the second column.

PamError ── InputError (ValueError) ─────────── the input is wrong
        │   ├── PromptError                     a prompt is outside its image, empty, contradictory
        │   ├── MaskError                       a mask is empty or of the wrong shape or type
        │   ├── ImageError                      an image is missing, damaged, too large or no image
        │   ├── VocabularyError                 a list of labels cannot be used
        │   ├── SettingsError                   an option or an environment variable is wrong
        │   └── FormatError                     annotations cannot be written or read in a format
        ├── UnavailableError (RuntimeError) ─── the input is right, but the work cannot be done now
        │   ├── BusyError                       the queue is full
        │   ├── DeadlineError (TimeoutError)    the time ran out before the work was done
        │   └── ClosedError                     the annotator was closed
        └── CheckpointError (ValueError) ────── a checkpoint is missing, damaged or not PAM's

Any other exception is a fault in the program; it is never reported as a fault in the input.
"""

from __future__ import annotations

from pam_model.errors import CheckpointError, InputError, PamError, PromptError

__all__ = [
    "BusyError",
    "CheckpointError",
    "ClosedError",
    "DeadlineError",
    "FormatError",
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
    """A mask is empty or of the wrong shape or type, or its encoding is wrong."""


class ImageError(InputError):
    """An image cannot be read; the message names it."""


class VocabularyError(InputError):
    """A list of labels cannot be used."""


class SettingsError(InputError):
    """A setting has a value that it cannot have; the message names its environment variable."""


class FormatError(InputError):
    """Annotations cannot be written or read in a format; the message names the file."""


class UnavailableError(PamError, RuntimeError):
    """The input is right, but the work cannot be done now."""


class BusyError(UnavailableError):
    """The queue is full; try again in a moment."""


class DeadlineError(UnavailableError, TimeoutError):
    """The request's time ran out before its work was done."""


class ClosedError(UnavailableError):
    """The annotator was closed before the work was done."""
