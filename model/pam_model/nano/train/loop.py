"""The training loop: one step as a CUDA graph, a schedule by the clock, files to resume from."""

from __future__ import annotations

import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from pam_model.nano.train.objective import METRICS, Objective
from pam_model.nano.train.state import FlatParameters, read_shards, write_shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pam_model.nano.train.batch import Batch

_REPORT_SECONDS = 5.0
_WARM_UP = 0.03  # of the schedule
_METRIC_MEMORY = 0.95


@dataclass(frozen=True)
class Schedule:
    """Learning rate by the fraction of the training time that has passed.

    Attributes:
        seconds: of the whole training, over all calls.
        peak: learning rate after the warm-up.
        floor: at the end, as a fraction of the peak.
    """

    seconds: float
    peak: float = 1.5e-3
    floor: float = 0.01

    def rate(self, elapsed: float) -> float:
        """Learning rate after `elapsed` seconds of training: linear warm-up, then a cosine."""
        done = min(max(elapsed / self.seconds, 0.0), 1.0)
        warm = min(1.0, done / _WARM_UP + 0.01)
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return self.peak * warm * (self.floor + (1 - self.floor) * wave)


class Trainer:
    """Trains an objective on batches that are made anew for each step.

    Args:
        objective: on its device, its parameters in the dtype to compute with.
        parameters: to train, held by `FlatParameters`.
        make_batch: called for each step; inside a CUDA graph on a GPU.
    """

    def __init__(
        self, objective: Objective, parameters: FlatParameters, make_batch: Callable[[], Batch]
    ) -> None:
        self.objective = objective
        self.parameters = parameters
        self._make_batch = make_batch
        device = parameters.master.device
        self.metrics = torch.zeros(len(METRICS) + 1, device=device)  # and the gradients' norm
        self.steps = 0
        self.trained_seconds = 0.0
        self._graph: torch.cuda.CUDAGraph | None = None

    def _step(self) -> None:
        batch = self._make_batch()
        self.parameters.zero_gradients()
        loss, metrics = self.objective(batch)
        loss.backward()
        norm = self.parameters.step()
        seen = torch.cat([metrics, norm.reshape(1)])
        fresh = torch.where(seen.isfinite(), seen, self.metrics)
        self.metrics.lerp_(fresh, 1 - _METRIC_MEMORY)

    def prepare(self) -> None:
        """On a GPU: warm up (with learning rate 0) and capture a step as a graph."""
        if not self.metrics.is_cuda:
            return
        self.parameters.learning_rate.zero_()
        before = {name: value.clone() for name, value in self._moving().items()}
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call] # torch's, untyped
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self._step()
        torch.cuda.current_stream().wait_stream(stream)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._step()
        self._graph = graph
        for name, value in self._moving().items():
            value.copy_(before[name])

    def _moving(self) -> dict[str, Tensor]:
        p = self.parameters
        return {
            "steps": p.steps,
            "momentum": p.momentum,
            "variance": p.variance,
            "average": p.average,
            "metrics": self.metrics,
        }

    def step(self, rate: float) -> None:
        """Train one step."""
        self.parameters.learning_rate.fill_(rate)
        if self._graph is None:
            self._step()
        else:
            self._graph.replay()
        self.steps += 1

    def run(
        self,
        schedule: Schedule,
        *,
        until: float,
        most_steps: int | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train until `time.monotonic()` is `until`, or the schedule or the steps have run out."""
        began, earlier = time.monotonic(), self.trained_seconds
        reported, steps_then, first = began, self.steps, self.steps
        while True:
            now = time.monotonic()
            self.trained_seconds = earlier + now - began
            if now - reported >= _REPORT_SECONDS:
                speed = (self.steps - steps_then) / (now - reported)
                report(self._line(schedule, speed))
                reported, steps_then = time.monotonic(), self.steps
            over = most_steps is not None and self.steps - first >= most_steps
            if over or now >= until or self.trained_seconds >= schedule.seconds:
                break
            self.step(schedule.rate(self.trained_seconds))
            if self._graph is not None and self.steps % 4 == 0:
                torch.cuda.synchronize()  # so that the clock says when work is done
        report(self._line(schedule, (self.steps - first) / max(time.monotonic() - began, 1e-9)))

    def _line(self, schedule: Schedule, speed: float) -> str:
        values = dict(zip((*METRICS, "norm"), self.metrics.tolist(), strict=True))
        watched = "  ".join(f"{name} {value:.4g}" for name, value in values.items())
        rate = schedule.rate(self.trained_seconds)
        return (
            f"{self.trained_seconds:7.1f} s  step {self.steps}  {speed:.2f} steps/s  "
            f"lr {rate:.2e}  {watched}"
        )

    def save(self, folder: Path, frozen: dict[str, Tensor], *, compact: bool) -> None:
        """Write everything that another call needs to go on.

        Args:
            folder: for `state-N.safetensors`, files of at most 15 MB.
            frozen: tensors of the model that are not trained, kept as they are.
            compact: see `FlatParameters.state`.
        """
        tensors = {f"trained.{k}": v for k, v in self.parameters.state(compact=compact).items()}
        shapes = {}
        for name, value in frozen.items():
            tensors[f"frozen.{name}"] = value.detach().flatten().cpu()
            shapes[name] = list(value.shape)
        progress = {"steps": self.steps, "seconds": self.trained_seconds}
        metadata = {"progress": json.dumps(progress), "shapes": json.dumps(shapes)}
        write_shards(tensors, folder, metadata)

    def load(self, folder: Path) -> dict[str, Tensor]:
        """Go on from `save`; return the frozen tensors.

        Raises:
            FileNotFoundError: nothing was saved there.
            ValueError: a model of other sizes was.
        """
        tensors, metadata = read_shards(folder)
        prefix = "trained."
        self.parameters.load_state(
            {n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)}
        )
        progress = json.loads(metadata["progress"])
        self.steps, self.trained_seconds = progress["steps"], progress["seconds"]
        shapes = json.loads(metadata["shapes"])
        return {name: tensors[f"frozen.{name}"].view(shape) for name, shape in shapes.items()}
