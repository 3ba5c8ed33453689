"""Read a project's options: the extra parameters of its model connection in Label Studio."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    Strict,
    StringConstraints,
    model_validator,
)

from pam_labeling.errors import InputError
from pam_labeling.validation import CheckedModel, shown
from pam_labeling.vocabulary import LABEL_FIT, replaced
from pam_model.tasks import Language, Task

if TYPE_CHECKING:
    from typing_extensions import Self

LabelSource = Literal["project", "open"]

_MAX_BYTES = 1024 * 1024


class OptionsError(InputError):
    """Parameters that cannot be used; the message names the parameter and its allowed values."""


def split_names(value: object) -> object:
    """Turn a list or comma-separated text of names into a tuple; leave anything else as it is.

    JSON and environment variables have no tuples, but pydantic's strict check requires one.
    """
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    return tuple(value) if isinstance(value, list) else value


_Tasks = Annotated[
    tuple[Annotated[Task, Strict(strict=False)], ...],
    BeforeValidator(split_names),
    AfterValidator(lambda tasks: tuple(dict.fromkeys(tasks))),
]
_Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_Text = Annotated[str, StringConstraints(pattern=r"\S")]
_Mapping = Annotated[
    Mapping[_Text, _Text], AfterValidator(lambda value: MappingProxyType({**value}))
]
_Share = Annotated[float, Field(ge=0, le=1)]


class Options(CheckedModel):
    """How a project's regions are found and described.

    A tag's own `pam`, `pam_language` and `pam_label_fit` win over these.

    Attributes:
        tasks: generate texts only for these tasks; None: for all that the config's tags ask for.
        language: of the questions.
        labels: "project": the likeliest of the project's own labels; "open": PAM names the region
            freely, and `mapping` or a label of the same name turns that into a project's label.
        mapping: PAM's name for a region (in any case) -> a label of the project; for "open".
        keep_label: whether the label that the annotator chose stays.
        label_fit: 0 to 1; a label that fits less well is not given, and 0 always gives one. See
            `pam_labeling.Vocabulary`.
        iou_threshold: 0 to 1; a region that nobody pointed at is left out if its predicted IoU is
            lower; 0 stands for the 0.7 of `AutomaticMaskOptions`.
        output: the name of the tag that gets the shape; None: see `output_mapping`.
        polygon_tolerance: how far, in pixels, a polygon may be from the mask's border.
        max_regions: pre-annotation keeps at most this many, the best ones; None: all.
        points_per_side: clicks along each side of the grid that finds everything.
        min_area: smallest region to find, as a part of the image, 0 to 1.
        max_area: largest region to find, as a part of the image, 0 to 1.
        boxes: the key of task data that holds boxes to start from, or None.
    """

    error = OptionsError
    noun = "extra parameter"
    replaced: ClassVar[Mapping[str, str]] = {"label_threshold": replaced("label_threshold")}

    tasks: _Tasks | None = None
    language: Language = "en"
    labels: LabelSource = "project"
    mapping: _Mapping = Field(
        default_factory=lambda: MappingProxyType({}),
        examples=[{"puppy": "Dog"}],
        json_schema_extra={"unit": "texts"},
    )
    keep_label: bool = True
    label_fit: _Share = LABEL_FIT
    iou_threshold: _Share = 0.0
    output: _Name | None = None
    polygon_tolerance: float = Field(
        default=1.0, ge=0, le=100, json_schema_extra={"unit": "pixels"}
    )
    max_regions: int | None = Field(default=None, ge=1)
    points_per_side: int = Field(default=32, ge=1, le=128)
    # Smaller than a pixel-wide speck or as large as the whole image: hardly ever an object.
    min_area: _Share = 0.0001
    max_area: _Share = 0.95
    boxes: _Name | None = None

    @classmethod
    def read(cls, extra_params: object) -> Options:
        """Read the "extra parameters" of Label Studio's connection form.

        Args:
            extra_params: None or "" for the defaults, an object, or an object as JSON text.

        Raises:
            OptionsError: they are not an object, or have an unknown key or a wrong value.
        """
        value = extra_params
        if isinstance(value, str) and not value.strip():
            value = None
        elif isinstance(value, str):
            if len(value) > _MAX_BYTES:
                raise OptionsError(
                    f"The extra parameters have {len(value):,} characters; at most "
                    f"{_MAX_BYTES:,} are read."
                )
            try:
                value = json.loads(value)
            except (ValueError, RecursionError) as error:
                raise OptionsError(f"The extra parameters are not valid JSON: {error}.") from error
        if value is None:
            return cls()
        if not isinstance(value, Mapping):
            raise OptionsError(
                'The extra parameters must be an object such as {"tasks": ["brief"]}, '
                f"not {shown(value)}."
            )
        return cls(**{str(key): given for key, given in value.items()})

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.min_area > self.max_area:
            raise ValueError(
                f"min_area must be at most max_area ({self.max_area:g}), not {self.min_area:g}."
            )
        if self.mapping and self.labels != "open":
            raise ValueError('mapping works only with labels "open"; set that option too.')
        return self
