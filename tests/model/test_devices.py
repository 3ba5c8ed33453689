"""Devices: what is not there is refused with a sentence."""

from __future__ import annotations

import pytest
import torch

from pam_model import PAM, devices


def test_the_cpu_is_there_and_computes_in_float32() -> None:
    assert devices.available("cpu") == torch.device("cpu")
    assert devices.best_dtype(torch.device("cpu")) == torch.float32
    assert devices.best_attention(torch.device("cpu"), torch.float32) == "sdpa"


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match=f"the device {name} cannot be used"):
        PAM.from_pretrained("nano", device=name)


def test_what_is_not_a_device_is_refused() -> None:
    with pytest.raises(ValueError, match="'gpu' is not a device"):
        devices.available("gpu")


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    assert devices.best_device() == torch.device("cuda")
    assert devices.best_dtype(torch.device("cuda")) == torch.bfloat16
