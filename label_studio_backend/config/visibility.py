"""For which regions Label Studio shows a tag: `whenLabelValue`, and `visibleWhen` around it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from xml.etree.ElementTree import Element


@dataclass(frozen=True)
class RegionCondition:
    """What a region must be for a tag to be shown; None requires nothing.

    Attributes:
        tag: the name of the tag that the region has its label from.
        labels: the labels of which it must have one.
    """

    tag: str | None
    labels: frozenset[str] | None

    def holds(self, tag: str | None, label: str | None) -> bool:
        """Whether it holds for a region with this label of this tag."""
        return self.tag in (None, tag) and (self.labels is None or label in self.labels)


def with_conditions(
    element: Element, above: tuple[RegionCondition, ...] = ()
) -> Iterator[tuple[Element, tuple[RegionCondition, ...]]]:
    """All elements of a config outside `<Repeater>`, and the conditions under which they show."""
    conditions = (*above, *_conditions(element))
    yield element, conditions
    for child in element:
        if child.tag.lower() != "repeater":
            yield from with_conditions(child, conditions)


def _conditions(element: Element) -> Iterator[RegionCondition]:
    given = {name.lower(): text for name, text in element.attrib.items()}
    by_view = given.get("visiblewhen") == "region-selected"
    if by_view or given.get("perregion", "").lower() == "true":
        value = given.get("whenlabelvalue")
        # As Label Studio reads it: a label, or labels separated by commas without blanks.
        labels = frozenset({value, *value.split(",")}) if value else None
        yield RegionCondition(given.get("whentagname") or None if by_view else None, labels)
