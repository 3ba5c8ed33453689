"""Parameters in one flat buffer: a step of AdamW in a few kernels, and files to resume from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_ALIGNMENT = 64  # elements: kernels read a parameter fastest when it starts at a multiple of this
_SHARD_BYTES = 15_000_000
_BETAS, _EPSILON = (0.9, 0.98), 1e-8
# Powers of two that move averages and gradients into the range of 8-bit floats.
_AVERAGE_SCALE, _MOMENTUM_SCALE = 2.0**8, 2.0**12


class _Run(NamedTuple):
    """Parameters of one dtype: their slice of the flat buffers, and what the model computes by."""

    place: slice
    values: Tensor
    gradients: Tensor


class FlatParameters:
    """The trained parameters of a model, held once more in float32, with AdamW and an average.

    The model's own parameters (float32 or bfloat16) become views of one buffer a dtype, and so do
    their gradients.

    Args:
        parameters: to train, all on one device.
        weight_decay: of matrices; vectors (biases, norms) are not decayed.
        max_norm: gradients are scaled down to this norm.
        ema: how much of the running average stays at each step.
    """

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        *,
        weight_decay: float = 0.03,
        max_norm: float = 1.0,
        ema: float = 0.998,
    ) -> None:
        self.parameters = sorted(parameters, key=lambda p: str(p.dtype))
        sizes = [-(-p.numel() // _ALIGNMENT) * _ALIGNMENT for p in self.parameters]
        device = self.parameters[0].device
        self.master = torch.zeros(sum(sizes), device=device)
        self.decay = torch.zeros_like(self.master)
        self.momentum = torch.zeros_like(self.master)
        self.variance = torch.zeros_like(self.master)
        self.steps = torch.zeros((), device=device)
        self.learning_rate = torch.zeros((), device=device)
        self._max_norm, self._ema = max_norm, ema
        starts = [0]
        for parameter, size in zip(self.parameters, sizes, strict=True):
            start = starts[-1]
            self.master[start : start + parameter.numel()] = parameter.detach().flatten()
            self.decay[start : start + size] = weight_decay if parameter.dim() > 1 else 0.0
            starts.append(start + size)
        self._starts = starts
        self.average = self.master.clone()
        self._runs = self._bind()

    def _bind(self) -> list[_Run]:
        runs = []
        for dtype in dict.fromkeys(p.dtype for p in self.parameters):
            members = [i for i, p in enumerate(self.parameters) if p.dtype == dtype]
            place = slice(self._starts[members[0]], self._starts[members[-1] + 1])
            values = self.master[place].to(dtype, copy=True)
            gradients = torch.zeros_like(values)
            for index in members:
                parameter = self.parameters[index]
                start = self._starts[index] - place.start
                span = slice(start, start + parameter.numel())
                parameter.data = values[span].view_as(parameter)
                parameter.grad = gradients[span].view_as(parameter)
            runs.append(_Run(place, values, gradients))
        return runs

    def zero_gradients(self) -> None:
        """Before each backward pass."""
        for run in self._runs:
            run.gradients.zero_()

    @torch.no_grad()
    def step(self) -> Tensor:
        """AdamW with the present `learning_rate`; return the gradients' norm before clipping.

        A step whose gradients are not finite changes nothing. No wait for the device.
        """
        gradient = torch.cat([run.gradients.float() for run in self._runs])
        norm: Tensor = gradient.norm()
        good = norm.isfinite()
        gradient = torch.where(
            good, gradient * (self._max_norm / (norm + 1e-6)).clamp(max=1.0), 0.0
        )
        self.steps += good
        for moment, beta, value in (
            (self.momentum, _BETAS[0], gradient),
            (self.variance, _BETAS[1], gradient * gradient),
        ):
            moment.copy_(torch.where(good, moment * beta + value * (1 - beta), moment))
        steps = self.steps.clamp(min=1)
        first = self.momentum / (1 - torch.pow(_BETAS[0], steps))
        second = self.variance / (1 - torch.pow(_BETAS[1], steps))
        change = first / (second.sqrt() + _EPSILON) + self.decay * self.master
        self.master -= good * self.learning_rate * change
        # The average starts as the plain mean of what has been: the first steps are soon forgotten.
        kept = torch.clamp((steps - 1) / (steps + 9), max=self._ema)
        self.average.lerp_(self.master, 1 - kept)
        self._refresh(self.master)
        return norm

    def use_average(self) -> None:
        """Let the model compute with the average: for writing it out, after the last step."""
        self._refresh(self.average)

    def _refresh(self, source: Tensor) -> None:
        for run in self._runs:
            run.values.copy_(source[run.place])

    def state(self, *, compact: bool) -> dict[str, Tensor]:
        """What is needed to go on.

        Args:
            compact: 7 bytes a parameter instead of 16. Parameters keep 16 bits of mantissa, AdamW's
                second moment 7, its first moment and the average's distance 2.
        """
        state = {"steps": self.steps.cpu().reshape(1)}
        if not compact:
            names = ("master", "average", "momentum", "variance")
            return state | {name: getattr(self, name).cpu() for name in names}
        bits = self.master.view(torch.int32)
        distance = (self.average - self.master) * _AVERAGE_SCALE
        return state | {
            "master_high": (bits >> 16).to(torch.int16).cpu(),
            "master_low": ((bits >> 8) & 255).to(torch.uint8).cpu(),
            "average_distance": distance.to(torch.float8_e5m2).cpu(),
            "momentum_small": (self.momentum * _MOMENTUM_SCALE).to(torch.float8_e5m2).cpu(),
            "variance_short": self.variance.to(torch.bfloat16).cpu(),
        }

    @torch.no_grad()
    def load_state(self, state: dict[str, Tensor]) -> None:
        """Go on from what `state` returned.

        Raises:
            ValueError: it belongs to a model of other sizes.
        """
        device = self.master.device
        first = state["master" if "master" in state else "master_high"]
        if first.shape != self.master.shape:
            raise ValueError(
                f"the state has {first.numel()} parameters, the model {self.master.numel()}: "
                "they are of different sizes"
            )
        state = {name: value.to(device) for name, value in state.items()}
        self.steps.copy_(state["steps"][0])
        if "master" in state:
            for name in ("master", "average", "momentum", "variance"):
                getattr(self, name).copy_(state[name])
        else:
            bits = (state["master_high"].int() << 16) | (state["master_low"].int() << 8)
            self.master.copy_(bits.view(torch.float32))
            distance = state["average_distance"].float() / _AVERAGE_SCALE
            self.average.copy_(self.master + distance)
            self.momentum.copy_(state["momentum_small"].float() / _MOMENTUM_SCALE)
            self.variance.copy_(state["variance_short"].float())
        self._refresh(self.master)


def write_shards(tensors: dict[str, Tensor], folder: Path, metadata: dict[str, str]) -> None:
    """Write flat tensors as `state-N.safetensors`, each file under 15 MB.

    Args:
        tensors: one-dimensional, on the CPU.
        folder: to write to.
        metadata: kept in every file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("state-*.safetensors"):
        old.unlink()
    shard: dict[str, Tensor] = {}
    number = room = 0
    for name, tensor in tensors.items():
        pieces = math.ceil(tensor.nbytes / 4_000_000) or 1
        for index, piece in enumerate(tensor.chunk(pieces)):
            if shard and piece.nbytes > room:
                save_file(shard, folder / f"state-{number}.safetensors", metadata)
                shard, number = {}, number + 1
            if not shard:
                room = _SHARD_BYTES
            shard[f"{name}.{index:04d}"] = piece.contiguous()
            room -= piece.nbytes
    save_file(shard, folder / f"state-{number}.safetensors", metadata)


def read_shards(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write_shards` wrote.

    Raises:
        FileNotFoundError: there is nothing of the kind.
    """
    paths = sorted(folder.glob("state-*.safetensors"))
    if not paths:
        raise FileNotFoundError(f"{folder} has no state-*.safetensors to resume from")
    pieces: dict[str, Tensor] = {}
    metadata: dict[str, str] = {}
    for path in paths:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            pieces |= {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
    names = dict.fromkeys(key.rpartition(".")[0] for key in sorted(pieces))
    tensors = {
        name: torch.cat([pieces[key] for key in sorted(pieces) if key.rpartition(".")[0] == name])
        for name in names
    }
    return tensors, metadata
