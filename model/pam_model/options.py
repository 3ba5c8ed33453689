"""How answers are generated, and how everything is found; without torch, so that it loads fast."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are generated.

    Attributes:
        max_new_tokens: the longest answer in tokens.
        temperature: 0 takes the likeliest token (repeatable); above 0 samples.
        top_p: sample from the likeliest tokens that together have this probability.
        seed: of the sampling; an answer does not depend on what else is in the batch.
        deadline: `time.monotonic()` at which to give up, or None.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    deadline: float | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens != int(self.max_new_tokens) or self.max_new_tokens < 1:
            raise ValueError(
                f"max_new_tokens is {self.max_new_tokens}, and must be a whole number from 1"
            )
        if self.temperature != 0 and not 1e-4 <= self.temperature < float("inf"):
            raise ValueError(f"temperature is {self.temperature}, and must be 0, or 0.0001 or more")
        if self.seed != int(self.seed) or not -(2**63) <= self.seed < 2**63:
            raise ValueError(f"seed is {self.seed}, and must be a whole number of 64 bits")
        if not 0.0 < self.top_p <= 1.0:
            raise ValueError(f"top_p is {self.top_p}, and must be above 0 and at most 1")


@dataclass(frozen=True)
class EverythingOptions:
    """How to find everything in an image.

    Attributes:
        points_per_side: clicks along each side of the grid.
        points_per_batch: clicks decoded in one pass.
        iou_threshold: drop masks whose predicted IoU is lower.
        stability_threshold: drop masks whose stability is lower.
        nms_threshold: of two masks with a higher IoU than this the better one stays.
        min_area: drop masks that cover a smaller part of the image.
        max_area: drop masks that cover a larger part of the image.
        max_regions: keep this many of the best, or all if None.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    iou_threshold: float = 0.7
    stability_threshold: float = 0.85
    nms_threshold: float = 0.7
    min_area: float = 0.0001
    max_area: float = 0.95
    max_regions: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            counted = field.name.startswith(("points", "max_regions"))
            if counted and value is not None and value < 1:
                raise ValueError(f"{field.name} is {value}, and must be 1 or more")
            if not counted and not 0.0 <= value <= 1.0:
                raise ValueError(f"{field.name} is {value}, and must be from 0 to 1")
