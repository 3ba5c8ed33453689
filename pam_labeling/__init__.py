"""From media and prompts to annotated regions; what every platform stands on."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator, Statistics
    from pam_labeling.media import Picture, PictureError, read_picture
    from pam_labeling.regions import (
        Annotation,
        Prompt,
        PromptError,
        Provenance,
        Refusal,
        Region,
        Scores,
    )
    from pam_labeling.request import Outcome, Request
    from pam_labeling.settings import Settings, SettingsError
    from pam_labeling.vocabulary import Choice, Vocabulary, VocabularyError
    from pam_labeling.work_queue import BusyError, ClosedError, DeadlineError, Priority

__all__ = [
    "Annotation",
    "Annotator",
    "BusyError",
    "Choice",
    "ClosedError",
    "DeadlineError",
    "Outcome",
    "Picture",
    "PictureError",
    "Priority",
    "Prompt",
    "PromptError",
    "Provenance",
    "Refusal",
    "Region",
    "Request",
    "Scores",
    "Settings",
    "SettingsError",
    "Statistics",
    "Vocabulary",
    "VocabularyError",
    "read_picture",
]

_HOME = {
    "annotator": ("Annotator", "Statistics"),
    "media": ("Picture", "PictureError", "read_picture"),
    "regions": (
        "Annotation",
        "Prompt",
        "PromptError",
        "Provenance",
        "Refusal",
        "Region",
        "Scores",
    ),
    "request": ("Outcome", "Request"),
    "settings": ("Settings", "SettingsError"),
    "vocabulary": ("Choice", "Vocabulary", "VocabularyError"),
    "work_queue": ("BusyError", "ClosedError", "DeadlineError", "Priority"),
}


def __getattr__(name: str) -> object:
    # On first use, not on import: the command line answers --help without loading torch.
    for module, names in _HOME.items():
        if name in names:
            return getattr(import_module(f"pam_labeling.{module}"), name)
    raise AttributeError(f"module 'pam_labeling' has no attribute {name!r}")
