"""Tags that a task's data adds to a config, in Label Studio's editor and here.

These are what `<Repeater on="$pages">` repeats for each item of a list, and the labels and choices
of tags such as `<Labels value="$labels">`.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.etree.ElementTree import Element, SubElement, tostring

from label_studio_backend.config.task_values import task_value
from label_studio_backend.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""A character that XML cannot hold, even escaped."""

_MAX_DEPTH = 50  # of a task's own taxonomy


class Repeater(NamedTuple):
    """A `<Repeater>`.

    Attributes:
        element: the tag.
        on: its list, such as "$pages".
        flag: what the attributes inside have for the number of an item.
    """

    element: Element
    on: str
    flag: str

    @classmethod
    def read(cls, element: Element) -> Repeater | None:
        """The repeater that a tag is; None if it is another tag."""
        if element.tag.lower() != "repeater":
            return None
        given = {name.lower(): text for name, text in element.attrib.items()}
        return cls(element, given.get("on", ""), given.get("indexflag", "{{idx}}"))


def repeaters(root: Element) -> Iterator[Repeater]:
    """The repeaters of a config."""
    return filter(None, map(Repeater.read, root.iter()))


def repeated_names(root: Element) -> frozenset[str]:
    """The names of all tags that are repeated."""
    inside = (element for repeater in repeaters(root) for element in repeater.element.iter())
    return frozenset(name for element in inside if (name := element.get("name")))


def fault(root: Element) -> str | None:
    """A sentence about a repeater that cannot be used, or None."""
    for repeater, on, flag in repeaters(root):
        if not on.startswith("$"):
            return f'A <{repeater.tag}> needs a list of task data, as on="$pages" names it.'
        for inside in repeater.iter():
            name = inside.get("name")
            if name and inside is not repeater and flag not in name:
                return (
                    f'The name "{name}" inside <{repeater.tag}> would be given to several tags; '
                    f'put "{flag}" into it.'
                )
    return None


def unfold(root: Element, data: Mapping[str, Any], most: int) -> None:
    """Repeat what the repeaters of a config hold, in place.

    Args:
        root: the config's tree.
        data: the task's data, not trusted.
        most: the bytes of XML that all repetitions may have together.

    Raises:
        RequestError: the data has no such list, or one that is too long.
    """
    left = most
    open_elements = [root]
    while open_elements:
        element = open_elements.pop()
        repeater = Repeater.read(element)
        if repeater is not None:
            count = _length(repeater.on, data)
            left -= count * len(tostring(element))
            if left < 0:
                raise RequestError(
                    f"the labelling config is too long when <{element.tag}> repeats its tags "
                    f'{count:,} times, for the list "{repeater.on}" of the task\'s data'
                )
            _repeat(repeater, count)
        open_elements += list(element)


def _length(on: str, data: Mapping[str, Any]) -> int:
    try:
        found = task_value(on, data)
    except KeyError:
        found = None
    if not isinstance(found, list):
        raise RequestError(f'the task has no list "{on}" in its data, as <Repeater> needs it')
    return len(found)


def _repeat(repeater: Repeater, count: int) -> None:
    children = list(repeater.element)
    repeater.element.clear()
    repeater.element.tag = "View"
    for index in range(count):
        for child in copy.deepcopy(children):
            for element in child.iter():
                for name, text in element.attrib.items():
                    element.set(name, text.replace(repeater.flag, str(index)))
            repeater.element.append(child)


def add_labels(element: Element, tag: str, listed: object, depth: int = 0) -> None:
    """Add what a task lists, `[{"value": "car", "alias": ..., "children": [...]}]`, to a tag.

    Anything of another form is left out.

    Args:
        element: the tag, changed in place.
        tag: what is added, "Label" or "Choice".
        listed: the list, not trusted.
        depth: how deep the tag is in a taxonomy.
    """
    if not isinstance(listed, list) or depth == _MAX_DEPTH:
        return
    for item in listed:
        if not isinstance(item, Mapping):
            continue
        attributes = {
            name: text
            for name in ("value", "alias", "predicted_values")
            if isinstance(text := item.get(name), str) and not NOT_XML.search(text)
        }
        if "value" in attributes:
            # Other keys are left out: only the project's admin may set our attributes.
            child = SubElement(element, tag, attributes)
            add_labels(child, tag, item.get("children"), depth + 1)
