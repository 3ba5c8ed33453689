"""What a person chooses for a run, checked: the same for a form, a call, and what is remembered."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from pam_model.tasks import LANGUAGES, Language, Question, Task

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from ..targets.missing import Only

    Reader = Callable[[str, Any], Any]

OptionsT = TypeVar("OptionsT", bound="Options")

TARGETS = ("dataset", "view", "selected_samples", "selected_labels", "current_sample")
ONLY = ("all", "missing", "empty")
MASKS = ("instance", "mask_path")
OWN_CLASSES = "dataset"
"""In place of a class list: the classes that the dataset itself knows for the field."""

_SEPARATOR = re.compile(r"[,，、\n]")
_NAME = re.compile(r'\s*"((?:[^"]|"")+)"\s*(?=[,，、\n]|$)|([^,，、\n]+)')


def text(name: str, value: Any) -> str | None:
    """A text, or None for an empty one."""
    if value is not None and not isinstance(value, str):
        raise PluginError(f"{_spoken(name)} is a text, not {value!r}.")
    return (value or "").strip() or None


def needed(name: str, value: Any) -> str:
    """A text that is not empty."""
    found = text(name, value)
    if found is None:
        raise PluginError(f"{_spoken(name)} is missing: name one.")
    return found


def one_of(*allowed: str, optional: bool = False) -> Reader:
    """One of these texts."""

    def read(name: str, value: Any) -> str | None:
        found = text(name, value)
        if found in allowed or (optional and found is None):
            return found
        raise PluginError(f"{_spoken(name)} is one of {', '.join(allowed)}, not {value!r}.")

    return read


def number(low: float, high: float = math.inf, *, whole: bool = False) -> Reader:
    """A number within limits, or None."""

    def read(name: str, value: Any) -> float | int | None:
        if value is None or value == "":
            return None
        right = isinstance(value, int | float) and not isinstance(value, bool)
        if not right or not low <= value <= high or (whole and value != int(value)):
            limits = f"from {low:g} to {high:g}" if math.isfinite(high) else f"from {low:g}"
            kind = "whole number" if whole else "number"
            raise PluginError(f"{_spoken(name)} is a {kind} {limits}, not {value!r}.")
        return int(value) if whole else float(value)

    return read


def fallback(reader: Reader, value: float | str) -> Reader:
    """What another reader reads, and this value where it reads none."""
    return lambda name, given: value if (found := reader(name, given)) is None else found


def yes_or_no(name: str, value: Any) -> bool:
    """A bool; None is no."""
    if value is not None and not isinstance(value, bool):
        raise PluginError(f"{_spoken(name)} is yes or no, not {value!r}.")
    return bool(value)


def class_list(name: str, value: Any) -> tuple[str, ...] | str | None:
    """Names as a list or as a text (see `names_in`); or `OWN_CLASSES`; or None for no list."""
    if value is None or value == "":
        return None
    if value == OWN_CLASSES:
        return OWN_CLASSES
    names = names_in(value) if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
        raise PluginError(f"{_spoken(name)} is a list of names, not {value!r}.")
    found = tuple(dict.fromkeys(one.strip() for one in names if one.strip()))
    if not found:
        raise PluginError(f"{_spoken(name)} has no name in it: give one or more.")
    spelt: dict[str, str] = {}
    for one in found:
        other = spelt.setdefault(one.casefold(), one)
        if other != one:
            raise PluginError(
                f"{_spoken(name)} has {other!r} and {one!r}, one class in two spellings: keep one."
            )
    return found


def names_in(text: str) -> list[str]:
    """The names of a text with commas or lines between them; one with a comma is in quotes."""
    return [quoted.replace('""', '"') if quoted else plain for quoted, plain in _NAME.findall(text)]


def text_of(names: Sequence[str]) -> str:
    """Names as a text, from which `names_in` reads them again."""
    return ", ".join(
        '"' + name.replace('"', '""') + '"'
        if name.startswith('"') or _SEPARATOR.search(name)
        else name
        for name in names
    )


def option(reader: Reader, default: Any = None) -> Any:
    """A dataclass field that `reader` checks."""
    return field(default=default, metadata={"read": reader})


_language = one_of(*LANGUAGES)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every run of the model has in common.

    Attributes:
        target: which samples or labels: one of `TARGETS`.
        all_slices: every slice of a grouped dataset, not only the current one.
        model: nano, PAM-1.5B, PAM-3B, a folder or a hub id; None: as PAM_MODEL says, or nano.
        device: cpu, cuda, cuda:1, mps; None: the fastest there is.
        batch_size: how many regions the language model describes at a time.

    Raises:
        PluginError: a value that cannot be used; the sentence says which and why.
    """

    target: str = option(one_of(*TARGETS), "view")
    all_slices: bool = option(yes_or_no, False)
    model: str | None = option(text)
    device: str | None = option(text)
    batch_size: int | None = option(number(1, 4096, whole=True))

    def __post_init__(self) -> None:
        for each in fields(self):
            value = each.metadata["read"](each.name, getattr(self, each.name))
            object.__setattr__(self, each.name, value)

    @classmethod
    def from_params(cls: type[OptionsT], params: Mapping[str, Any]) -> OptionsT:
        """Options from an operator's parameters.

        Raises:
            PluginError: a parameter that is unknown, missing or of the wrong kind.
        """
        known = {each.name for each in fields(cls)}
        unknown = sorted(name for name in params if name not in known)
        if unknown:
            raise PluginError(
                f"There is no parameter {unknown[0]!r}; there are {', '.join(sorted(known))}."
            )
        if "field" in known and params.get("field") is None:
            raise PluginError("A field is missing: name one.")
        return cls(**params)

    def to_params(self) -> dict[str, Any]:
        """The options as JSON, as `from_params` reads them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in asdict(self).items()
        }


@dataclass(frozen=True, kw_only=True)
class ExistingOptions(Options):
    """Runs on regions that a field already has.

    Attributes:
        field: the field with the regions.
        only: all, writing over what is there; missing: only answers that are not there; empty:
            also those that are blank. What has a text of its own stays with both, answer by answer.
    """

    field: str = option(needed, "")
    only: Only = option(one_of(*ONLY), "all")  # noqa: RUF009 - a field


@dataclass(frozen=True, kw_only=True)
class WordOptions(Options):
    """What is said about each region: the attribute that each answer goes to, None for no answer.

    Attributes:
        label: attribute for the open label.
        definition: attribute for the definition.
        brief: attribute for the brief caption.
        detailed: attribute for the detailed caption.
        language: en or zh.
        classes: a list to choose a class from, or `OWN_CLASSES`.
        class_attribute: where the chosen class goes.
        threshold: the score under which no class is chosen, from 0 to 1.
        score: attribute for the chosen class's share, or without classes the mask's expected IoU.
    """

    label: str | None = option(text)
    definition: str | None = option(text)
    brief: str | None = option(text)
    detailed: str | None = option(text)
    language: Language = option(_language, "en")  # noqa: RUF009 - a field
    classes: tuple[str, ...] | str | None = option(class_list)
    class_attribute: str = option(fallback(text, "pam_label"), "pam_label")
    threshold: float = option(fallback(number(0, 1), 0.0), 0.0)
    score: str | None = option(text)

    @property
    def questions(self) -> dict[Question, str]:
        """The attribute of each answer that is wanted."""
        wanted = {
            Task.LABEL: self.label,
            Task.DEFINITION: self.definition,
            Task.BRIEF: self.brief,
            Task.DETAILED: self.detailed,
        }
        return {Question(task, self.language): name for task, name in wanted.items() if name}


@dataclass(frozen=True, kw_only=True)
class MaskOptions(Options):
    """Where masks go.

    Attributes:
        mask: instance (in the document) or mask_path (a PNG file each); None: masks are not kept.
        mask_folder: the folder of the PNG files.
        tighten: make the boxes tight around the masks; else the boxes stay as they are.
    """

    mask: str | None = option(one_of(*MASKS, optional=True))
    mask_folder: str | None = option(text)
    tighten: bool = option(yes_or_no, False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.mask == "mask_path" and self.mask_folder is None:
            raise PluginError(
                "Masks in files need a folder: name one, or keep them in the dataset."
            )


@dataclass(frozen=True, kw_only=True)
class CaptionOptions(ExistingOptions, WordOptions, MaskOptions):
    """`caption_regions`.

    Attributes:
        summary: also write one short line for each region into the samples' own field
            `{field}_captions`, which the App shows on the images and finds words in.
    """

    brief: str | None = option(text, "caption")
    summary: bool = option(yes_or_no, True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.questions or self.classes):
            raise PluginError(
                "Nothing is asked: choose a caption, a label, a definition or classes; for masks "
                "alone use segment_regions."
            )


@dataclass(frozen=True, kw_only=True)
class SegmentOptions(ExistingOptions, MaskOptions):
    """`segment_regions`.

    Attributes:
        new_field: Detections in a new field; None: masks on the field's own detections. There,
            `only` means regions that no detection was made from yet.
        score: attribute for the mask's expected IoU.
    """

    mask: str | None = option(one_of(*MASKS), "instance")
    new_field: str | None = option(text)
    score: str | None = option(text)


@dataclass(frozen=True, kw_only=True)
class FindOptions(WordOptions, MaskOptions):
    """`find_regions`.

    Attributes:
        field: the new field.
        points_per_side: clicks along each side of the grid.
        min_area: the smallest region, as a part of the image.
        max_regions: the most regions of an image; None: all.
        only: all; missing: images without the field, to go on with a run that stopped.
    """

    field: str = option(needed, "")
    label: str | None = option(text, "label")
    class_attribute: str = option(fallback(text, "label"), "label")
    score: str | None = option(text, "confidence")
    mask: str | None = option(one_of(*MASKS), "instance")
    tighten: bool = option(yes_or_no, True)
    points_per_side: int = option(fallback(number(1, 128, whole=True), 32), 32)
    min_area: float = option(fallback(number(0, 1), 0.0001), 0.0001)
    max_regions: int | None = option(number(1, whole=True))
    only: Only = option(one_of("all", "missing"), "all")  # noqa: RUF009 - a field


@dataclass(frozen=True, kw_only=True)
class LabelOptions(ExistingOptions):
    """`label_regions`.

    Attributes:
        classes: the list to choose from, or `OWN_CLASSES`.
        attribute: where the chosen class goes; `label` replaces the label itself.
        score: attribute for the chosen class's share of the list.
        threshold: the score under which no class is chosen, from 0 to 1.
        language: en or zh: the language of the classes.
        only_disagreeing: write only where the chosen class is not the present label.
        saved_view: the name of a saved view of the regions whose label disagrees.
    """

    classes: tuple[str, ...] | str = option(fallback(class_list, OWN_CLASSES), OWN_CLASSES)
    attribute: str = option(fallback(text, "pam_label"), "pam_label")
    score: str | None = option(text, "pam_score")
    threshold: float = option(fallback(number(0, 1), 0.0), 0.0)
    language: Language = option(_language, "en")  # noqa: RUF009 - a field
    only_disagreeing: bool = option(yes_or_no, False)
    saved_view: str | None = option(text)


def _spoken(name: str) -> str:
    return f"The parameter {name}"
