"""Choose the device, dtype and attention of a model."""

from __future__ import annotations

import torch
from transformers.utils.import_utils import is_flash_attn_2_available

from pam_model.errors import InputError


def available(device: str | torch.device) -> torch.device:
    """The device of this name.

    Raises:
        InputError: there is no such device, or this build of torch cannot use it.
    """
    try:
        place = torch.device(device)
    except RuntimeError as error:
        raise InputError(f"{device!r} is not a device: use cpu, cuda, cuda:1 or mps") from error
    usable = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not usable.get(place.type, True):
        raise InputError(
            f"the device {place} cannot be used: there is no such hardware here, or torch "
            f"{torch.__version__} was built without it; leave the device out, or use cpu"
        )
    return place


def best_device() -> torch.device:
    """The GPU if there is one (CUDA first, then Apple's), else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def best_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 on a CUDA GPU that has it, else float32."""
    half = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if half else torch.float32


def best_attention(device: torch.device, dtype: torch.dtype) -> str:
    """flash-attn if it is installed and fits the device and dtype, else PyTorch's own ("sdpa")."""
    fits = device.type == "cuda" and dtype in (torch.bfloat16, torch.float16)
    return "flash_attention_2" if fits and is_flash_attn_2_available() else "sdpa"
