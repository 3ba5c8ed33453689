"""PAM, Perceive Anything (arXiv 2506.05302): a picture and prompts in, masks and words out."""

from pam_model.checkpoint import CheckpointError
from pam_model.cropped_mask import CroppedMask
from pam_model.everything import EverythingOptions
from pam_model.language import GenerationOptions
from pam_model.pam import PAM
from pam_model.prompts import Prompt, PromptError
from pam_model.segments import PictureFeatures, RegionContexts, Segments
from pam_model.tasks import LANGUAGES, Definition, Language, Question, Task, split_definition

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
