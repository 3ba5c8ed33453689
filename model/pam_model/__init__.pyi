from .cropped_mask import CroppedMask
from .errors import CheckpointError, InputError, PamError, PromptError
from .options import EverythingOptions, GenerationOptions
from .pam import PAM
from .prompts import Prompt
from .segments import ImageFeatures, PreparedImage, RegionContexts, Segments
from .tasks import LANGUAGES, Definition, Language, Question, Task, split_definition

__all__ = [
    "LANGUAGES",
    "PAM",
    "CheckpointError",
    "CroppedMask",
    "Definition",
    "EverythingOptions",
    "GenerationOptions",
    "ImageFeatures",
    "InputError",
    "Language",
    "PamError",
    "PreparedImage",
    "Prompt",
    "PromptError",
    "Question",
    "RegionContexts",
    "Segments",
    "Task",
    "split_definition",
]
