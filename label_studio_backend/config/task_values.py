"""Read what a tag's `value="$images[0]"` stands for in task data, like Label Studio's editor."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from label_studio_backend.json_pieces import JsonList

VARIABLE = re.compile(r"\$[\w\[\].{}]+", re.ASCII)
"""A variable, as the editor finds it in an attribute."""

_STEP = re.compile(r"[^.\[\]]+")


def task_value(value: str, data: object) -> Any:
    """What the attribute of a tag stands for.

    A variable is `$key`, `$key.inner`, `$key[0]`, and so on; a key of the data that is spelled like
    all of it comes first. It may have ASCII letters, digits and underscores only.

    Args:
        value: the attribute. If it is one variable, whatever the data has there is returned. Else
            it is a text in which every variable is replaced, such as "https://a.org/$id/x.png".
        data: the task's data, not trusted.

    Raises:
        KeyError: the name of a variable that the data does not have, or has no text for.
    """
    if VARIABLE.fullmatch(value):
        found = _look_up(value[1:], data)
        return found.whole() if isinstance(found, JsonList) else found
    return VARIABLE.sub(lambda variable: _text(variable[0][1:], data), value)


def _look_up(name: str, data: Any) -> Any:
    if isinstance(data, Mapping) and name in data:
        return data[name]
    try:
        for step in _STEP.findall(name):
            if isinstance(data, JsonList):
                data = data.whole()
            data = data[step] if isinstance(data, Mapping) else data[int(step)]
    except (LookupError, TypeError, ValueError):
        raise KeyError(name) from None
    return data


def _text(name: str, data: object) -> str:
    found = _look_up(name, data)
    if not isinstance(found, str | int | float):
        raise KeyError(name)
    return str(found)
