"""What a project asks of the backend: the extra parameters of its model connection."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeVar, get_args

from pam_labeling.errors import InputError
from pam_model.tasks import LANGUAGES, Language, Task

LabelSource = Literal["project", "open"]
LABEL_SOURCES: tuple[LabelSource, ...] = get_args(LabelSource)

_MAX_BYTES = 1024 * 1024
_MAX_POINTS_PER_SIDE = 128
_Name = TypeVar("_Name", bound=str)


class OptionsError(InputError):
    """Parameters that cannot be used; a sentence that says which, what was given, what may be."""


@dataclass(frozen=True)
class Options:
    """How a project's regions are found and described.

    A tag's own `pam`, `pam_language` and `pam_threshold` win over these.

    Attributes:
        tasks: the texts that are generated at most; None: all that the config's tags ask for.
        language: of the questions.
        labels: "project": the likeliest of the project's own labels; "open": what PAM calls it,
            where `mapping` or an equal label makes a label of the project of it.
        mapping: what PAM may call it (in any case) -> a label of the project; for "open".
        keep_label: whether the label that the annotator chose stays.
        label_threshold: 0 to 1; a label with a lower score is not given.
        iou_threshold: 0 to 1; a region that is found by itself and has a lower predicted IoU is
            left out; 0 stands for the 0.7 of `EverythingOptions`.
        output: the name of the tag to answer in; None: see `answer_plan`.
        polygon_tolerance: pixels that a polygon may be off the mask's border.
        max_regions: pre-annotation keeps this many of the best; None: all.
        points_per_side: clicks along each side of the grid that finds everything.
        min_area: smallest region to find, as a part of the image, 0 to 1.
        max_area: largest region to find, as a part of the image, 0 to 1.
        boxes: the key of task data that holds boxes to start from, or None.
    """

    tasks: tuple[Task, ...] | None = None
    language: Language = "en"
    labels: LabelSource = "project"
    mapping: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    keep_label: bool = True
    label_threshold: float = 0.0
    iou_threshold: float = 0.0
    output: str | None = None
    polygon_tolerance: float = 1.0
    max_regions: int | None = None
    points_per_side: int = 32
    min_area: float = 0.0001
    max_area: float = 0.95
    boxes: str | None = None

    @classmethod
    def read(cls, extra_params: object) -> Options:
        """Read what Label Studio's connection form holds as "extra parameters".

        Args:
            extra_params: None or "" for the defaults, an object, or an object as JSON text.

        Raises:
            OptionsError: not an object, an unknown key, or a value that the key cannot have.
        """
        given = _object(extra_params)
        for key in given:
            if key not in _READERS:
                raise OptionsError(_unknown(key))
        read = {key: _READERS[key](key, value) for key, value in given.items()}
        options = cls(**read)
        if options.min_area > options.max_area:
            raise OptionsError(
                f"min_area is {options.min_area:g} and max_area {options.max_area:g}; "
                "min_area must not be larger."
            )
        if options.mapping and options.labels != "open":
            raise OptionsError('mapping is only used with labels "open"; set that as well.')
        return options


def _object(extra_params: object) -> Mapping[str, Any]:
    value = extra_params
    if isinstance(value, str):
        value = _from_json(value)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise OptionsError(
            f'The extra parameters must be an object such as {{"tasks": ["brief"]}}, '
            f"not {_shown(value)}."
        )
    return value


def _from_json(text: str) -> object:
    if not text.strip():
        return None
    if len(text) > _MAX_BYTES:
        raise OptionsError(
            f"The extra parameters have {len(text):,} characters; at most {_MAX_BYTES:,} are read."
        )
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise OptionsError(f"The extra parameters are not valid JSON: {error}.") from error


def _unknown(key: object) -> str:
    near = difflib.get_close_matches(str(key), _READERS, n=1, cutoff=0.5)
    meant = f' Did you mean "{near[0]}"?' if near else ""
    return f"There is no extra parameter {_shown(key)}.{meant} There are: {', '.join(_READERS)}."


def _shown(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False, default=repr)
    text = text.encode("utf-8", "replace").decode("utf-8")
    return text if len(text) <= 60 else text[:57] + "..."


def _refusal(key: str, value: object, allowed: str) -> OptionsError:
    return OptionsError(f"{key} must be {allowed}, not {_shown(value)}.")


def _tasks(key: str, value: object) -> tuple[Task, ...] | None:
    names = ", ".join(task.value for task in Task)
    if value is None:
        return None
    if isinstance(value, str):
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list):
        raise _refusal(key, value, f"a list of {names}")
    for name in value:
        if not isinstance(name, str) or name not in names.split(", "):
            raise OptionsError(f"{key} holds {_shown(name)}; the tasks are {names}.")
    return tuple(dict.fromkeys(Task(name) for name in value))


def _one_of(names: tuple[_Name, ...]) -> Callable[[str, object], _Name]:
    def read(key: str, value: object) -> _Name:
        for name in names:
            if value == name:
                return name
        raise _refusal(key, value, " or ".join(f'"{name}"' for name in names))

    return read


def _mapping(key: str, value: object) -> Mapping[str, str]:
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) and text.strip() for pair in value.items() for text in pair
    ):
        raise _refusal(key, value, 'an object of texts such as {"puppy": "Dog"}')
    return MappingProxyType(dict(value))


def _truth(key: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise _refusal(key, value, "true or false")
    return value


def _number(low: float, high: float, allowed: str) -> Callable[[str, object], float]:
    def read(key: str, value: object) -> float:
        # bool is an int to Python.
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise _refusal(key, value, allowed)
        if not low <= value <= high:  # nan is not either
            raise _refusal(key, value, allowed)
        return float(value)

    return read


def _count(low: int, high: int | None, allowed: str) -> Callable[[str, object], int]:
    def read(key: str, value: object) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise _refusal(key, value, allowed)
        if high is not None and value > high:
            raise _refusal(key, value, allowed)
        return value

    return read


def _text(key: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _refusal(key, value, "a name")
    return value.strip()


def _or_none(read: Callable[[str, object], Any]) -> Callable[[str, object], Any]:
    return lambda key, value: None if value is None else read(key, value)


_share = _number(0.0, 1.0, "a number from 0 to 1")
_READERS: dict[str, Callable[[str, object], Any]] = {
    "tasks": _tasks,
    "language": _one_of(LANGUAGES),
    "labels": _one_of(LABEL_SOURCES),
    "mapping": _mapping,
    "keep_label": _truth,
    "label_threshold": _share,
    "iou_threshold": _share,
    "output": _or_none(_text),
    "polygon_tolerance": _number(0.0, 100.0, "a number of pixels from 0 to 100"),
    "max_regions": _or_none(_count(1, None, "a whole number of 1 or more, or null")),
    "points_per_side": _count(
        1, _MAX_POINTS_PER_SIDE, f"a whole number from 1 to {_MAX_POINTS_PER_SIDE}"
    ),
    "min_area": _share,
    "max_area": _share,
    "boxes": _or_none(_text),
}
