"""The trained parameters in float32, with AdamW and a running average."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pam_model.errors import InputError

_WEIGHT_DECAY = 0.03
_MAX_NORM = 1.0
_AVERAGE_KEPT = 0.998


class TrainedParameters:
    """Float32 copies of a model's trained parameters; the model may compute in bfloat16.

    AdamW changes the copies, because bfloat16 would lose most of its small changes.

    Args:
        parameters: the model's parameters, all on one device.
    """

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        self.used = list(parameters)
        self.master = nn.ParameterList(p.detach().to(torch.float32, copy=True) for p in self.used)
        self.adamw = torch.optim.AdamW(
            [
                {"params": [p for p in self.master if p.dim() > 1], "weight_decay": _WEIGHT_DECAY},
                # Biases and norms are not decayed.
                {"params": [p for p in self.master if p.dim() <= 1], "weight_decay": 0.0},
            ],
            betas=(0.9, 0.98),
            fused=True,
        )
        self.average = AveragedModel(self.master, multi_avg_fn=_running_mean)

    def step(self, rate: float) -> Tensor:
        """Take one step of AdamW with the gradients of the last backward pass.

        A step whose gradients are not finite changes nothing.

        Args:
            rate: the learning rate.

        Returns:
            The norm of all gradients before clipping, a scalar.
        """
        for master, used in zip(self.master, self.used, strict=True):
            assert used.grad is not None
            master.grad = used.grad.float()
        norm = nn.utils.clip_grad_norm_(self.master, _MAX_NORM)
        if norm.isfinite():
            for group in self.adamw.param_groups:
                group["lr"] = rate
            self.adamw.step()
            self.average.update_parameters(self.master)
            self._compute_with(self.master)
        return norm

    def use_average(self) -> None:
        """Let the model compute with the average, to write it out after the last step."""
        self._compute_with(self.average.module.parameters())

    @torch.no_grad()
    def _compute_with(self, source: Iterable[Tensor]) -> None:
        for used, value in zip(self.used, source, strict=True):
            used.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """Everything that `load_state_dict` needs to continue exactly."""
        parts = (("master", self.master), ("adamw", self.adamw), ("average", self.average))
        return {name: part.state_dict() for name, part in parts}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned.

        Raises:
            InputError: the state belongs to a model of other sizes.
        """
        try:
            self.master.load_state_dict(state["master"])
        except RuntimeError as error:  # torch lists each parameter that does not fit
            raise InputError(f"the saved state is of a model of other sizes ({error})") from error
        self.adamw.load_state_dict(state["adamw"])
        self.average.load_state_dict(state["average"])
        self._compute_with(self.master)


def _running_mean(averages: Any, values: Any, steps: Tensor | int) -> None:
    """Update averages in place; `steps` is the number of earlier updates.

    The average starts as the plain mean of all values, so that the first ones soon stop counting.
    """
    kept = min(int(steps) / (int(steps) + 10), _AVERAGE_KEPT)
    torch._foreach_lerp_(averages, values, 1 - kept)
