from .cropped_mask import CroppedMask
from .errors import CheckpointError, InputError, PamError, PromptError
from .key_values import RegionContexts
from .options import AutomaticMaskOptions, GenerationOptions
from .pam import PAM
from .perceiver import clip_frames
from .prompts import Prompt
from .segments import ImageFeatures, PreparedImage, Segments
from .tasks import LANGUAGES, Definition, Language, Question, Task, split_definition
from .tracking.memory import MemoryLimits
from .tracking.tracker import TrackedFrame, Tracker, TrackerState

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
    "MemoryLimits",
    "PamError",
    "PreparedImage",
    "Prompt",
    "PromptError",
    "Question",
    "RegionContexts",
    "Segments",
    "Task",
    "TrackedFrame",
    "Tracker",
    "TrackerState",
    "clip_frames",
    "split_definition",
]
