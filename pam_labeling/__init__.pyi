from .annotator import Annotator, Statistics
from .media import ImageError, LoadedImage, read_image
from .regions import (
    Annotation,
    Prompt,
    PromptError,
    Provenance,
    Refusal,
    Region,
    Scores,
)
from .request import Outcome, Request
from .settings import Settings, SettingsError
from .vocabulary import Choice, Vocabulary, VocabularyError
from .work_queue import BusyError, ClosedError, DeadlineError, Priority

__all__ = [
    "Annotation",
    "Annotator",
    "BusyError",
    "Choice",
    "ClosedError",
    "DeadlineError",
    "ImageError",
    "LoadedImage",
    "Outcome",
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
    "read_image",
]
