"""The tags of a labelling config that concern images, and what an annotator can choose in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from label_studio_backend.config.visibility import Condition, Shown, attribute
from pam_labeling.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

BACKGROUND = frozenset({"background", "背景"})
"""Labels, in any case, that mean "not this object" on a click and are never given to a region."""


class LabelingConfigError(InputError):
    """A config that cannot be read or used; the message is a sentence."""


@dataclass(frozen=True)
class ProjectLabel:
    """One `<Label>` or `<Choice>`.

    Attributes:
        value: its spelling in results: Label Studio writes the `alias` if there is one, else the
            `value`.
        phrases: the texts that PAM scores for it, at least one: those of
            `predicted_values="a,b"` if given; else its `value`, and its `alias` if it has one.
        background: whether it is called background (see `BACKGROUND`); False for a choice.
    """

    value: str
    phrases: tuple[str, ...]
    background: bool = False


@dataclass(frozen=True)
class Control:
    """A tag of the config that results can be written to.

    Attributes:
        name: the tag's name, `from_name` of its results.
        tag: its tag as the config spells it, such as "BrushLabels".
        type: the type of its results: the tag in lower case, such as "brushlabels".
        to_name: the image that it is on. A tag whose `toName` lists several is a control of each.
        labels: the labels or choices; each value once, in the config's order.
        nodes: for a Taxonomy: the path from the root to every node, parents before children, as
            results must spell it -> the texts that PAM scores for the path's last node.
        smart: whether annotators may prompt with it. Label Studio's editor reads a missing `smart`
            as "true"; only `smart="false"` turns it off.
        per_region: whether it describes a region, not the whole image (`perRegion="true"`).
        conditions: when the editor shows it: its own condition, and those of the Views around it.
        attributes: as in the XML, read-only.
        task_key: where its labels come from in task data, such as "$meta.brands" (see
            `task_values`), if they do.
    """

    name: str
    tag: str
    type: str
    to_name: str
    labels: tuple[ProjectLabel, ...] = ()
    nodes: Mapping[tuple[str, ...], tuple[str, ...]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    smart: bool = True
    per_region: bool = False
    conditions: tuple[Condition, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    task_key: str | None = None

    def attribute(self, name: str) -> str | None:
        """The stripped text of an attribute, its name in any case; None if absent."""
        return attribute(self.attributes, name)

    def is_shown(self, shown: Shown) -> bool:
        """Whether the editor shows the tag, and the Views around it."""
        return all(condition.holds(shown) for condition in self.conditions)

    @property
    def kind(self) -> str:
        """Its type without "labels", such as "brush" for Brush and BrushLabels."""
        return self.type.removesuffix("labels")

    @property
    def has_labels(self) -> bool:
        """Whether its results hold labels, as those of BrushLabels and Labels do."""
        return self.type.endswith("labels")

    @property
    def region_labels(self) -> tuple[ProjectLabel, ...]:
        """The labels that a region can be given: all but those called background."""
        return tuple(label for label in self.labels if not label.background)

    def __str__(self) -> str:
        """Its name in messages, such as `BrushLabels "mask"`."""
        return f'{self.tag} "{self.name}"'


@dataclass(frozen=True)
class ImageTag:
    """An `<Image name="image" value="$image"/>`, or one of pages, `valueList="$pages"`."""

    name: str
    value: str
    has_pages: bool = False
