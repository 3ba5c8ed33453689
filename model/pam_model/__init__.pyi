from .cropped_mask import CroppedMask
from .errors import CheckpointError, InputError, PamError, PromptError
from .key_values import RegionContexts
from .options import AutomaticMaskOptions, GenerationOptions
from .pam import PAM
from .prompts import Prompt
from .segments import ImageFeatures, PreparedImage, Segments
from .tasks import LANGUAGES, Definition, Language, Question, Task, split_definition

__all__ = [
    "LANGUAGES",
    "PAM",
    "AutomaticMaskOptions",
    "CheckpointError",
    "CroppedMask",
    "Definition",
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
