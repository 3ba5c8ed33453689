"""Options of generation and of automatic masks. They load fast, because they do not need torch."""

from __future__ import annotations

from dataclasses import dataclass, fields
from numbers import Real

from pam_model.errors import InputError


@dataclass(frozen=True)
class GenerationOptions:
    """How answers are generated.

    Attributes:
        max_new_tokens: the longest answer in tokens.
        temperature: 0 always takes the likeliest token (repeatable); above 0 samples.
        top_p: sample from the likeliest tokens that together have this probability.
        seed: the sampling's seed; an answer does not depend on what else is in the batch.
        deadline: the `time.monotonic()` at which to give up, or None.
    """

    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    deadline: float | None = None

    def __post_init__(self) -> None:
        for name, right, must in (
            (
                "max_new_tokens",
                _is_whole(self.max_new_tokens) and self.max_new_tokens >= 1,
                "a whole number, 1 or more",
            ),
            (
                "temperature",
                _is_number(self.temperature)
                and (self.temperature == 0 or 1e-4 <= self.temperature < float("inf")),
                "0, or 0.0001 or more",
            ),
            (
                "seed",
                _is_whole(self.seed) and -(2**63) <= self.seed < 2**63,
                "a whole number of 64 bits",
            ),
            (
                "top_p",
                _is_number(self.top_p) and 0.0 < self.top_p <= 1.0,
                "above 0 and at most 1",
            ),
        ):
            if not right:
                raise InputError(f"{name} must be {must}, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class AutomaticMaskOptions:
    """How to find everything in an image.

    Attributes:
        points_per_side: the number of clicks along each side of the grid.
        points_per_batch: the number of clicks decoded in one pass.
        iou_threshold: drop masks whose predicted IoU is lower.
        stability_threshold: drop masks whose stability is lower.
        nms_threshold: of two masks whose IoU is higher than this, keep only the better one.
        min_area: drop masks that cover a smaller fraction of the image.
        max_area: drop masks that cover a larger fraction of the image.
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
            if field.name == "max_regions" and value is None:
                continue
            if counted and not (_is_whole(value) and value >= 1):
                raise InputError(f"{field.name} must be a whole number, 1 or more, not {value!r}")
            if not counted and not (_is_number(value) and 0.0 <= value <= 1.0):
                raise InputError(f"{field.name} must be from 0 to 1, not {value!r}")


def _is_number(value: object) -> bool:
    return isinstance(value, Real)  # also NumPy's


def _is_whole(value: object) -> bool:
    return isinstance(value, Real) and float(value).is_integer()
