"""The training loop: steps on a CUDA graph, a schedule by the clock, a file to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from pam_model.decoding import record
from pam_model.nano.train.batch import Batch
from pam_model.nano.train.objective import METRICS, Objective
from pam_model.nano.train.state import TrainedParameters

STATE_FILE = "state.pt"

_REPORT_SECONDS = 5.0
_WARM_UP = 0.03  # of the schedule
_METRIC_MEMORY = 0.95


@dataclass(frozen=True)
class Schedule:
    """The learning rate by the fraction of the training time that has passed.

    Attributes:
        seconds: the duration of the whole training, over all calls.
        peak: the learning rate after the warm-up.
        floor: the learning rate at the end, as a fraction of the peak.
    """

    seconds: float
    peak: float = 1.5e-3
    floor: float = 0.01

    def rate(self, elapsed: float) -> float:
        """The learning rate after `elapsed` seconds of training: linear warm-up, then a cosine."""
        done = min(max(elapsed / self.seconds, 0.0), 1.0)
        warm = min(1.0, done / _WARM_UP + 0.01)
        wave = 0.5 * (1 + math.cos(math.pi * done))
        return self.peak * warm * (self.floor + (1 - self.floor) * wave)


class Trainer:
    """Trains an objective on a new batch in each step.

    Args:
        objective: on its device, with its parameters in the dtype to compute with.
        make_batch: makes the batch of each step; on a GPU, inside a CUDA graph.
    """

    def __init__(self, objective: Objective, make_batch: Callable[[], Batch]) -> None:
        self.objective = objective
        self.parameters = TrainedParameters(p for p in objective.parameters() if p.requires_grad)
        self.make_batch = make_batch
        # The metrics and the gradients' norm.
        self.metrics = torch.zeros(len(METRICS) + 1, device=objective.before_ids.device)
        self.steps = 0
        self.trained_seconds = 0.0
        self._graph: torch.cuda.CUDAGraph | None = None

    def prepare(self) -> None:
        """On a GPU, record drawing, forward and backward pass as one CUDA graph."""
        if self.metrics.is_cuda:
            self._graph = record(self._forward_backward, warm_ups=3)

    def _forward_backward(self) -> None:
        # Without gradients to add to, the recorded backward pass overwrites its own in each step.
        self.objective.zero_grad(set_to_none=True)
        loss, self._seen = self.objective(self.make_batch())
        loss.backward()

    def step(self, rate: float) -> None:
        """Train one step with this learning rate."""
        if self._graph is None:
            self._forward_backward()
        else:
            self._graph.replay()
        norm = self.parameters.step(rate)
        seen = torch.cat([self._seen, norm.reshape(1)])
        fresh = torch.where(seen.isfinite(), seen, self.metrics)
        self.metrics.lerp_(fresh, 1 - _METRIC_MEMORY)
        self.steps += 1

    def run(
        self,
        schedule: Schedule,
        *,
        until: float,
        most_steps: int | None = None,
        report: Callable[[str], None] = print,
    ) -> None:
        """Train until `time.monotonic()` reaches `until`, or the schedule or the steps run out."""
        began, earlier = time.monotonic(), self.trained_seconds
        reported, steps_then, first = began, self.steps, self.steps
        while True:
            now = time.monotonic()
            self.trained_seconds = earlier + now - began
            if now - reported >= _REPORT_SECONDS:
                report(self._line(schedule, (self.steps - steps_then) / (now - reported)))
                reported, steps_then = time.monotonic(), self.steps
            over = most_steps is not None and self.steps - first >= most_steps
            if over or now >= until or self.trained_seconds >= schedule.seconds:
                break
            self.step(schedule.rate(self.trained_seconds))
        report(self._line(schedule, (self.steps - first) / max(time.monotonic() - began, 1e-9)))

    def _line(self, schedule: Schedule, speed: float) -> str:
        values = zip((*METRICS, "norm"), self.metrics.tolist(), strict=True)
        watched = "  ".join(f"{name} {value:.4g}" for name, value in values)
        return (
            f"{self.trained_seconds:7.1f} s  step {self.steps}  {speed:.2f} steps/s  "
            f"lr {schedule.rate(self.trained_seconds):.2e}  {watched}"
        )

    def save(self, folder: Path) -> None:
        """Write `state.pt`, from which another call continues exactly."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "steps": self.steps,
                "seconds": self.trained_seconds,
                "model": self.objective.state_dict(),
                "parameters": self.parameters.state_dict(),
            },
            folder / STATE_FILE,
        )

    def load(self, folder: Path) -> None:
        """Continue from what `save` wrote.

        Raises:
            FileNotFoundError: `folder` has no `state.pt`.
            InputError: the state belongs to a model of other sizes.
        """
        state = torch.load(folder / STATE_FILE, map_location=self.metrics.device, weights_only=True)
        self.parameters.load_state_dict(state["parameters"])
        self.objective.load_state_dict(state["model"])
        self.steps, self.trained_seconds = state["steps"], state["seconds"]
