"""The settings that every program of the house shares, from the environment.

Every setting has a default, and one environment variable that overrides it:

    PAM_MODEL                 nano, PAM-1.5B, PAM-3B, a folder, or a Hugging Face hub id
    PAM_SAM2                  SAM 2.1's checkpoint, where it is not beside or inside the model's
    PAM_REVISION              revision of a hub id
    PAM_DEVICE                cpu, cuda, cuda:1, mps; the fastest there is by default
    PAM_DTYPE                 float32, bfloat16 or float16; what suits the device by default
    PAM_ATTN_IMPLEMENTATION   sdpa, eager or flash_attention_2
    PAM_QUEUE_SIZE            how many requests of each priority may wait
    PAM_CACHE_BYTES           limit for kept picture features
    PAM_REGIONS_PER_STEP      how many regions the language model describes in one batch
    PAM_MAX_PIXELS            the largest picture that is read, width x height
"""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pam_labeling.media import MAX_PIXELS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pam_labeling.annotator import Annotator

DTYPES = ("float32", "bfloat16", "float16")
ATTENTION = ("sdpa", "eager", "flash_attention_2")
_DEVICES = ("cpu", "cuda", "mps")


class SettingsError(ValueError):
    """A setting that cannot be used; the message names its environment variable."""


@dataclass(frozen=True)
class Settings:
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
        _one_of("device", self.device and self.device.partition(":")[0], _DEVICES)
        _one_of("dtype", self.dtype, DTYPES)
        _one_of("attn_implementation", self.attn_implementation, ATTENTION)
        _in_range("queue_size", self.queue_size, 1)
        _in_range("cache_bytes", self.cache_bytes, 0)
        _in_range("regions_per_step", self.regions_per_step, 1)
        _in_range("max_pixels", self.max_pixels, 1, MAX_PIXELS)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **overrides: Any
    ) -> Settings:
        """Read the environment; `overrides` that are not None win over it.

        An empty variable counts as one that is not set.

        Args:
            environment: `os.environ` by default.
            overrides: settings by name, for example from a command line.

        Raises:
            SettingsError: a value that is not of its kind, or out of its range.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for setting in fields(cls):
            text = environment.get(variable(setting.name), "").strip()
            if text:
                values[setting.name] = (
                    _whole_number(setting.name, text) if setting.type == "int" else text
                )
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)

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


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return f"PAM_{name.upper()}"


def _whole_number(name: str, text: str) -> int:
    try:
        return int(text.replace("_", ""))
    except ValueError as error:
        raise SettingsError(f"{variable(name)} is a whole number, not {text!r}") from error


def _one_of(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise SettingsError(f"{variable(name)} is one of {', '.join(allowed)}, not {value!r}")


def _in_range(name: str, value: int, low: int, high: int | None = None) -> None:
    if value < low or (high is not None and value > high):
        limits = f"at least {low:,}" if high is None else f"from {low:,} to {high:,}"
        raise SettingsError(f"{variable(name)} is {limits}, not {value:,}")
