"""The options of the operators, for forms, Python calls and remembered settings alike.

Each field here is a parameter of the Python call, holds its help, and checks its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator
from pydantic_core import PydanticUseDefault

from pam_labeling.validation import CheckedModel
from pam_labeling.vocabulary import LABEL_FIT, replaced
from pam_model.tasks import Language, Question, Task

from ..errors import PluginError
from ..labels.regions import OBJECT_SCORE, OPEN_LABEL
from ..targets.missing import Only  # noqa: TC001 - pydantic reads it

if TYPE_CHECKING:
    from typing_extensions import Self

OWN_CLASSES: Literal["dataset"] = "dataset"
"""In place of a class list: the classes that the dataset itself knows for the field."""

_SEPARATOR = re.compile(r"[,，、\n]")
_NAME = re.compile(r'\s*"((?:[^"]|"")+)"\s*(?=[,，、\n]|$)|([^,，、\n]+)')


def names_in(text: str) -> list[str]:
    """Split a text into names at commas and line ends; a name with a comma is in quotes."""
    return [quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(text)]


def text_of(names: Sequence[str]) -> str:
    """Join names into a text that `names_in` can split again."""
    return ", ".join(
        '"' + name.replace('"', '""') + '"'
        if name.startswith('"') or _SEPARATOR.search(name)
        else name
        for name in names
    )


def _trimmed(value: Any) -> Any:
    """A text without spaces around it; None for a blank one, as forms leave them."""
    return (value.strip() or None) if isinstance(value, str) else value


def _or_default(value: Any) -> Any:
    value = _trimmed(value)
    if value is None:
        raise PydanticUseDefault
    return value


def class_names(value: Any) -> Any:
    """Names from a list or a text; `OWN_CLASSES` and None as they are."""
    if value is None or value in ("", OWN_CLASSES):
        return value or None
    names = names_in(value) if isinstance(value, str) else value
    names = list(names) if isinstance(names, Iterable) else [names]
    # Numbers are indices of somebody's own list, not names.
    if not all(isinstance(name, str) for name in names):
        raise PluginError(f"classes must be a list of names, not {value!r}.")
    found = tuple(dict.fromkeys(name.strip() for name in names if name.strip()))
    if not found:
        raise PluginError("The list of classes has no name in it: give one or more.")
    # Where labels are compared, case does not count.
    spelt: dict[str, str] = {}
    for name in found:
        other = spelt.setdefault(name.casefold(), name)
        if other != name:
            raise PluginError(
                f"The list has a class in two spellings, {other!r} and {name!r}: keep one."
            )
    return found


Name = Annotated[str, BeforeValidator(_trimmed)]
Text = Annotated[str | None, BeforeValidator(_trimmed)]
OrDefault = BeforeValidator(_or_default)
Classes = Annotated[tuple[str, ...] | Literal["dataset"] | None, BeforeValidator(class_names)]
MaskPlace = Literal["instance", "mask_path"]


class RunOptions(CheckedModel):
    """The options of every run of the model."""

    error: ClassVar = PluginError
    noun: ClassVar = "parameter"
    nothing: ClassVar = ", or None"
    replaced: ClassVar[Mapping[str, str]] = {"threshold": replaced("threshold")}

    target: Literal["dataset", "view", "selected_samples", "selected_labels", "current_sample"] = (
        Field(default="view", description="in the App: which samples or labels to work on")
    )
    all_slices: bool = Field(
        default=False, description="all slices of a grouped dataset, not only the one that it shows"
    )
    model: Text = Field(
        default=None,
        description="nano, PAM-1.5B, PAM-3B, a folder or a hub id; None: PAM_MODEL, or nano",
    )
    device: Text = Field(
        default=None, description="cpu, cuda, cuda:1 or mps; None: the fastest there is"
    )
    object_score: Text = Field(
        default=OBJECT_SCORE,
        description="the attribute for the probability, from 0 to 1, that there is an object; up "
        "to 0.5 the model sees nothing there, and says no more. None for none",
    )
    batch_size: Annotated[int | None, BeforeValidator(_trimmed)] = Field(
        default=None,
        ge=1,
        le=4096,
        description="how many regions the language model describes at a time",
    )

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """Options from an operator's parameters.

        Raises:
            PluginError: a parameter that is unknown, missing or of the wrong kind.
        """
        # A form has none to give where no field has regions.
        if "field" in cls.model_fields and params.get("field") is None:
            raise PluginError("A field is missing: name one.")
        return cls(**params)

    def to_params(self) -> dict[str, Any]:
        """The options as JSON, as `from_params` reads them."""
        return self.model_dump(mode="json")


class ClassOptions(RunOptions):
    """How a class is chosen from a list."""

    label_fit: Annotated[float, OrDefault] = Field(
        default=LABEL_FIT,
        ge=0,
        le=1,
        description="a region gets no class if the best one fits less well, from 0 (always a "
        "class) to 1",
    )
    open_label: Text = Field(
        default=OPEN_LABEL,
        description="the attribute for what the model itself says, where no class fits well or it "
        "says something else; None for none",
    )


class ExistingOptions(RunOptions):
    """The options of runs on regions that a field already has."""

    field: Name = Field(
        description="Detections, Detection, Polylines, Polyline, Keypoints, Keypoint or "
        "Segmentation; a Segmentation's answers are dictionaries, a text for each class"
    )
    only: Only = Field(
        default="all",
        description='"all" writes over what is there. "missing" writes only the answers that a '
        'region does not have, so that a stopped run goes on; "empty" also those that are blank. '
        "What the dataset holds decides, also where the view hides it. A class and its score are "
        "one answer: with a score, a region where no class was sure enough counts as done",
    )
    replace_human_work: bool = Field(
        default=False,
        description="also replace what a person wrote, accepted or edited, and what no run wrote; "
        "it stays otherwise, and is counted before the run",
    )


class WordOptions(ClassOptions):
    """The texts that are written about each region: an attribute for each."""

    label: Text = Field(default=None, description="the attribute for the open label; None for none")
    definition: Text = Field(
        default=None, description="the attribute for the definition; None for none"
    )
    brief: Text = Field(
        default=None, description="the attribute for the brief caption; None for none"
    )
    detailed: Text = Field(
        default=None, description="the attribute for the detailed caption; None for none"
    )
    language: Language = Field(default="en", description="en or zh")
    classes: Classes = Field(
        default=None,
        description="a list to choose each region's class from; \"dataset\" for the dataset's own "
        "(`dataset.classes[field]`, `default_classes`, or else the labels in use)",
    )
    class_attribute: Annotated[str, OrDefault] = Field(
        default="pam_label", description='where the chosen class goes; "label" is the label itself'
    )
    score: Text = Field(
        default=None,
        description="the attribute for how well the best class fits, from 0 to 1, or "
        "without classes for the mask's expected IoU; None for none",
    )

    @property
    def questions(self) -> dict[Question, str]:
        """The attribute of each answer that is wanted."""
        return {
            Question(task, self.language): name
            for task in Task
            if (name := getattr(self, task.value))  # each task's attribute is an option
        }


class MaskOptions(RunOptions):
    """Where masks are stored."""

    mask: Annotated[MaskPlace | None, BeforeValidator(_trimmed)] = Field(
        default=None,
        description='"instance" keeps each mask in the dataset, "mask_path" as a PNG file; None: '
        "masks are not kept",
    )
    mask_folder: Text = Field(
        default=None, description="the absolute path of the folder of the files"
    )
    tighten: bool = Field(
        default=False,
        description="make the boxes tight around the masks, instead of cutting masks at the boxes",
    )

    @model_validator(mode="after")
    def _check_folder(self) -> Self:
        if self.mask == "mask_path" and self.mask_folder is None:
            raise PluginError(
                "Masks in files need a folder: name one, or keep them in the dataset."
            )
        return self


class CaptionOptions(ExistingOptions, WordOptions, MaskOptions):
    """`caption_regions`."""

    brief: Text = Field(
        default="caption", description="the attribute for the brief caption; None for none"
    )
    summary: bool = Field(
        default=True,
        description="also write a line for each region into the samples' field `{field}_captions`",
    )

    @model_validator(mode="after")
    def _check_questions(self) -> Self:
        if not (self.questions or self.classes):
            raise PluginError(
                "Nothing is asked: choose a caption, a label, a definition or classes; for masks "
                "only, use segment_regions."
            )
        return self


class SegmentOptions(ExistingOptions, MaskOptions):
    """`segment_regions`."""

    mask: MaskPlace = Field(
        default="instance",
        description='"instance" keeps each mask in the dataset, "mask_path" as a PNG file',
    )
    new_field: Text = Field(
        default=None,
        description='make detections in this field instead; with it only="missing" skips what has '
        "a detection there already",
    )
    score: Text = Field(default=None, description="the attribute for the mask's expected IoU")


class FindOptions(WordOptions, MaskOptions):
    """`find_regions`."""

    field: Name = Field(description="the new field of detections")
    label: Text = Field(
        default="label",
        description='the attribute for the open label; "label" is the label itself; None for none',
    )
    class_attribute: Annotated[str, OrDefault] = Field(
        default="label", description='where the chosen class goes; "label" is the label itself'
    )
    score: Text = Field(
        default="confidence",
        description="the attribute for how well the best class fits, or without classes for the "
        "mask's expected IoU; None for none",
    )
    mask: MaskPlace = Field(
        default="instance",
        description='"instance" keeps each mask in the dataset, "mask_path" as a PNG file',
    )
    tighten: bool = Field(default=True, description="new boxes are tight around their masks anyway")
    points_per_side: Annotated[int, OrDefault] = Field(
        default=32, ge=1, le=128, description="clicks along each side of the grid"
    )
    min_area: Annotated[float, OrDefault] = Field(
        default=0.0001, ge=0, le=1, description="the smallest region, as a part of the image"
    )
    max_regions: Annotated[int | None, BeforeValidator(_trimmed)] = Field(
        default=None, ge=1, description="the most regions of an image, the surest first; None: all"
    )
    only: Literal["all", "missing"] = Field(
        default="all",
        description='"all" needs a field that is not there; "missing" goes on with a run that '
        "stopped: images that have the field already are skipped",
    )


class LabelOptions(ExistingOptions, ClassOptions):
    """`label_regions`."""

    classes: Annotated[
        tuple[str, ...] | Literal["dataset"], BeforeValidator(class_names), OrDefault
    ] = Field(
        default=OWN_CLASSES,
        description='the list; "dataset" for `dataset.classes[field]`, `default_classes`, or else '
        "the labels in use",
    )
    attribute: Annotated[str, OrDefault] = Field(
        default="pam_label",
        description='where the chosen class goes; "label" replaces the label itself',
    )
    score: Text = Field(
        default="pam_score",
        description="the attribute for how well the best class fits, from 0 to 1. None for none: "
        'then only="missing" looks at regions without a class of the list again',
    )
    language: Annotated[Language | None, BeforeValidator(_trimmed)] = Field(
        default=None, description="en or zh: the language of the classes; None: as they are written"
    )
    only_disagreeing: bool = Field(
        default=False,
        description="write the class only where it is another than the label (upper and lower case "
        "count as the same); the score is written everywhere",
    )
    saved_view: Text = Field(
        default=None,
        description="save a view of this name of the regions whose label is another than the "
        "chosen class, or is in the list but does not fit, or where the model sees no object; "
        "these come first",
    )
