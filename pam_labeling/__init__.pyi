from .annotator import Annotator, Statistics
from .errors import (
    BusyError,
    CheckpointError,
    ClosedError,
    DeadlineError,
    ImageError,
    InputError,
    MaskError,
    PamError,
    PromptError,
    SettingsError,
    UnavailableError,
    VocabularyError,
)
from .jobs import Job, Priority
from .media import LoadedImage, read_image
from .regions import Annotation, Prompt, Provenance, Refusal, Region, Scores
from .request import LazyRequest, Outcome, Request
from .settings import Settings
from .vocabulary import Choice, Vocabulary

__all__ = [
    "Annotation",
    "Annotator",
    "BusyError",
    "CheckpointError",
    "Choice",
    "ClosedError",
    "DeadlineError",
    "ImageError",
    "InputError",
    "Job",
    "LazyRequest",
    "LoadedImage",
    "MaskError",
    "Outcome",
    "PamError",
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
    "UnavailableError",
    "Vocabulary",
    "VocabularyError",
    "read_image",
]
