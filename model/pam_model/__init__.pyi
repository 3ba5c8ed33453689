from .checkpoint_files import CheckpointError
from .cropped_mask import CroppedMask
from .options import EverythingOptions, GenerationOptions
from .pam import PAM
from .prompts import Prompt, PromptError
from .segments import PictureFeatures, RegionContexts, Segments
from .tasks import LANGUAGES, Definition, Language, Question, Task, split_definition

__all__ = [
    "LANGUAGES",
    "PAM",
    "CheckpointError",
    "CroppedMask",
    "Definition",
    "EverythingOptions",
    "GenerationOptions",
    "Language",
    "PictureFeatures",
    "Prompt",
    "PromptError",
    "Question",
    "RegionContexts",
    "Segments",
    "Task",
    "split_definition",
]
