"""Metrics for Prometheus, in a registry of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager


class Metrics:
    """Counters, histograms and gauges; safe to use from any thread.

    Attributes:
        requests: HTTP requests by path and status.
        stages: seconds by stage. media: fetch an image, or find it on the disk. decode: decode it.
            read: read prompts. model: wait for the model, and compute. write: write results,
            including run lengths.
        busy: requests that were answered "busy".
        refusals: prompts for which the model finds no object.
        failures: tasks without a prediction, by the kind of error.
        images: look-ups of decoded images: cached (hit) or not (miss). Threads that wait for the
            same image count as one.
        results: look-ups of pre-annotations: cached (hit), under way (joined) or new (miss).
        events: webhook events by action.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = self._counter("requests", "HTTP requests.", "path", "status")
        self.stages = Histogram(
            "pam_stage_seconds",
            "Seconds by stage.",
            ("stage",),
            buckets=(0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100),
            registry=self.registry,
        )
        self.busy = self._counter("busy", "Requests that were answered busy.")
        self.refusals = self._counter("refusals", "Prompts without an object.")
        self.failures = self._counter("failures", "Tasks without a prediction.", "kind")
        self.images = self._counter("image_cache", "Look-ups of decoded images.", "found")
        self.results = self._counter("result_cache", "Look-ups of pre-annotations.", "found")
        self.events = self._counter("webhook_events", "Events of Label Studio.", "action")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"pam_{name}", text, labels, registry=self.registry)

    def gauge(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Add a gauge that is read when Prometheus asks."""
        Gauge(f"pam_{name}", text, registry=self.registry).set_function(value)

    def stage(self, name: str) -> AbstractContextManager[object]:
        """Count the seconds inside `with` for this stage, even if it fails."""
        return self.stages.labels(name).time()

    def text(self) -> bytes:
        """All metrics in Prometheus's text format."""
        return generate_latest(self.registry)
