"""The settings that every program of the house shares, from the environment.

Every setting has a default, and one environment variable that overrides it:

    PAM_MODEL                 nano, PAM-1.5B, PAM-3B, a folder, or a Hugging Face hub id
    PAM_SAM2                  SAM 2.1's checkpoint, where it is not beside or inside the model's
    PAM_REVISION              revision of a hub id
    PAM_DEVICE                cpu, cuda, cuda:1, mps; the fastest there is by default
    PAM_DTYPE                 float32, bfloat16 or float16; what suits the device by default
    PAM_ATTN_IMPLEMENTATION   sdpa, eager or flash_attention_2
    PAM_QUEUE_SIZE            how many requests of each priority may wait
    PAM_CACHE_BYTES           limit for kept image features
    PAM_REGIONS_PER_STEP      how many regions the language model describes in one batch
    PAM_MAX_PIXELS            the largest image that is read, width x height
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pam_labeling.environment import EnvironmentSettings
from pam_labeling.errors import SettingsError
from pam_labeling.media import MAX_PIXELS

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator

__all__ = ["Settings", "SettingsError"]

DTYPES = ("float32", "bfloat16", "float16")
ATTENTION = ("sdpa", "eager", "flash_attention_2")
_DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True)
class Settings(EnvironmentSettings):
    """See the list at the top of the module. Every value is checked when an object is made.

    Raises:
        SettingsError: a value out of its range.
    """

    model: str = "nano"
    sam2: str | None = None
    revision: str | None = None
    device: str | None = None
    dtype: str | None = None
    attn_implementation: str | None = None
    queue_size: int = 64
    cache_bytes: int = 1 << 30
    regions_per_step: int = 16
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if not self.model.strip():
            raise SettingsError("PAM_MODEL is empty: name a checkpoint, for example nano")
        self._require_one_of(_DEVICES, "device", before=":")
        self._require_one_of(DTYPES, "dtype")
        self._require_one_of(ATTENTION, "attn_implementation")
        self._require_range(1, None, "queue_size", "regions_per_step")
        self._require_range(0, None, "cache_bytes")
        self._require_range(1, MAX_PIXELS, "max_pixels")

    def open_annotator(self) -> Annotator:
        """Load the model these settings name, and give it to a new annotator.

        Raises:
            CheckpointError: the checkpoint is unknown, incomplete or damaged.
        """
        # Loading torch takes seconds, which reading settings should not.
        import torch  # noqa: PLC0415

        from pam_labeling.annotator import Annotator  # noqa: PLC0415
        from pam_model import PAM  # noqa: PLC0415

        model = PAM.from_pretrained(
            self.model,
            sam2=self.sam2,
            device=self.device,
            dtype=getattr(torch, self.dtype) if self.dtype else None,
            attn_implementation=self.attn_implementation,
            revision=self.revision,
        )
        return Annotator(
            model,
            queue_size=self.queue_size,
            cache_bytes=self.cache_bytes,
            regions_per_step=self.regions_per_step,
            max_pixels=self.max_pixels,
        )
