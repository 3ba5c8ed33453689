"""The settings of the model and its queue, which all programs share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator

from pam_labeling.environment import EnvironmentSettings, setting
from pam_labeling.errors import SettingsError
from pam_labeling.media import AUTO, MAX_PIXELS, GreyRange, parse_range

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator

__all__ = ["Settings", "SettingsError"]

_DEVICE = r"^(cpu|cuda|mps)(:\d+)?$"


class Settings(EnvironmentSettings):
    """Which model to load, where it computes, and how many requests may wait.

    Raises:
        SettingsError: a value cannot be used; the message names its environment variable.
    """

    model: str = setting(
        "nano",
        "`nano`, `PAM-1.5B`, `PAM-3B`, a folder, or an id of the Hugging Face hub.",
        pattern=r"\S",
        examples=["nano", "PAM-3B"],
    )
    sam2: str | None = setting(
        None, "SAM 2.1's checkpoint, if it is not inside the model's or beside it."
    )
    revision: str | None = setting(None, "The branch, tag or commit of a hub id.")
    device: str | None = setting(
        None,
        "`cpu`, `cuda`, `cuda:1` or `mps`.",
        usual="the fastest there is",
        pattern=_DEVICE,
        examples=["cpu", "cuda", "cuda:1", "mps"],
    )
    dtype: Literal["float32", "bfloat16", "float16"] | None = setting(
        None, "`float32`, `bfloat16` or `float16`.", usual="what suits the device"
    )
    attn_implementation: Literal["sdpa", "eager", "flash_attention_2"] | None = setting(
        None, "`sdpa`, `eager` or `flash_attention_2`.", usual="what suits the device"
    )
    queue_size: int = setting(64, "How many requests of each priority may wait.", ge=1)
    cache_bytes: int = setting(1 << 30, "How many bytes of encoded images are kept.", ge=0)
    regions_per_step: int = setting(16, "How many regions are described in one batch.", ge=1)
    max_pixels: int = setting(
        MAX_PIXELS, "The largest image that is read, width x height.", ge=1, le=MAX_PIXELS
    )
    range: Annotated[GreyRange, BeforeValidator(parse_range)] = setting(
        AUTO,
        "The values of black and white in grey of more than 8 bits, such as `0,4095`; `auto` finds "
        "the depth of each image, `full` means 16 bits, and `data` the values of each image.",
    )

    @property
    def note(self) -> str | None:
        """What to tell people if nobody named the model; None if it was named."""
        if "model" in self.model_fields_set:
            return None
        return (
            "no model was named, so this is nano, which only knows drawings of coloured shapes: "
            "its masks and words about photographs mean nothing. For those name PAM-1.5B or PAM-3B."
        )

    def open_annotator(self) -> Annotator:
        """Load the model that these settings name, and make an annotator for it.

        Raises:
            CheckpointError: the checkpoint is unknown, incomplete or damaged.
        """
        # Importing torch takes seconds, and reading settings does not need it.
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
            grey_range=self.range,
        )
