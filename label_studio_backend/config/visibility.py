"""When Label Studio's editor shows a tag for an answer: `visibleWhen` and its companions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from xml.etree.ElementTree import Element


@dataclass
class Shown:
    """What the editor shows when it decides whether to show a tag.

    Attributes:
        labels_tag: the tag that the selected region's labels are from; None if it has no label.
        labels: the selected region's labels.
        choices: for Choices and Taxonomies by name: what is chosen, of a path its last part.
        is_region: whether a region is selected, or the image as a whole is described.
    """

    labels_tag: str | None = None
    labels: Sequence[str] = ()
    choices: dict[str, Sequence[str]] = field(default_factory=dict)
    is_region: bool = True


@dataclass(frozen=True)
class Condition:
    """The attributes `visibleWhen`, `whenTagName`, `whenLabelValue` and `whenChoiceValue`.

    Attributes:
        when: `visibleWhen` in lower case, or "".
        tag: the tag that the label or the choice must be from; None: any.
        labels: a region needs one of these; none: any.
        choices: one of these must be chosen; none: any.
    """

    when: str
    tag: str | None
    labels: tuple[str, ...]
    choices: tuple[str, ...]

    @classmethod
    def read(cls, attributes: Mapping[str, str], *, per_region: bool) -> Condition:
        """The condition of one tag; `per_region`: it has `perRegion="true"`."""
        when = (attribute(attributes, "visibleWhen") or "").lower()
        # A tag for regions heeds whenLabelValue without visibleWhen; other tags do not.
        heeds_labels = per_region or when == "region-selected"
        labels = attribute(attributes, "whenLabelValue") if heeds_labels else None
        choices = attribute(attributes, "whenChoiceValue")
        return cls(when, attribute(attributes, "whenTagName"), _listed(labels), _listed(choices))

    def holds(self, shown: Shown) -> bool:
        """Whether the editor shows the tag."""
        if self.labels and not set(self.labels) & set(shown.labels):
            return False
        if self.when == "region-selected":
            return shown.is_region and self.tag in (None, shown.labels_tag)
        if self.when == "no-region-selected":
            return not shown.is_region
        if self.when == "choice-unselected":
            return not self._is_chosen(shown.choices)
        if self.when == "choice-selected" or self.choices:
            return self._is_chosen(shown.choices)
        return True

    def _is_chosen(self, choices: Mapping[str, Iterable[str]]) -> bool:
        from_tags = choices.values() if self.tag is None else [choices.get(self.tag, ())]
        chosen = {value for values in from_tags for value in values}
        return bool(chosen & set(self.choices) if self.choices else chosen)


def conditions_of(
    element: Element, parents: Mapping[Element, Element], *, per_region: bool
) -> tuple[Condition, ...]:
    """The conditions of a tag and of the tags around it; `per_region`: it is one for regions."""
    conditions = [Condition.read(element.attrib, per_region=per_region)]
    around = parents.get(element)
    while around is not None:
        conditions.append(Condition.read(around.attrib, per_region=False))
        around = parents.get(around)
    return tuple(conditions)


def attribute(attributes: Mapping[str, str], name: str) -> str | None:
    """The stripped text of an attribute, its name in any case as the editor reads it; or None."""
    found = (text.strip() for key, text in attributes.items() if key.lower() == name.lower())
    return next(found, None)


def _listed(text: str | None) -> tuple[str, ...]:
    # A label may itself have a comma.
    return tuple(dict.fromkeys([text, *text.split(",")])) if text else ()
