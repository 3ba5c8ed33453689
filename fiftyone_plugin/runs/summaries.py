"""Summaries: a field of the samples with a short line for each region."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..labels.fields import short_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Summary:
    """A field of the samples, and the texts that it summarises.

    Attributes:
        name: the field of the samples (or of a video's frames) that gets the lines.
        root: the path of the labels inside the document, such as `"ground_truth.detections"`.
        attribute: the labels' attribute with the text; for a Segmentation, with texts by class.
        frames: whether the documents are frames.
    """

    name: str
    root: str
    attribute: str
    frames: bool = False

    @property
    def paths(self) -> tuple[str, str, str]:
        """The paths that the lines are made from."""
        return f"{self.root}._id", f"{self.root}.label", f"{self.root}.{self.attribute}"

    def lines(self, labels: Iterable[Mapping[str, Any]], classes: Mapping[str, str]) -> list[str]:
        """A line for each label that has a text, in the order of the labels.

        Args:
            labels: the labels in MongoDB's types.
            classes: the class names of a Segmentation's values.
        """
        found: list[str] = []
        for label in labels:
            said = label.get(self.attribute)
            # A Segmentation has a text for each class.
            if isinstance(said, dict):
                found += [_line(classes.get(value, value), text) for value, text in said.items()]
            elif said:
                found.append(_line(label.get("label"), said))
        return found


def classes_of(dataset: Any, summary: Summary) -> dict[str, str]:
    """The class names of a Segmentation's values, by the keys of its attributes."""
    field = f"frames.{summary.root}" if summary.frames else summary.root
    targets = dataset.mask_targets.get(field) or dataset.default_mask_targets or {}
    return {str(value): name for value, name in targets.items()}


def _line(name: str | None, text: Any) -> str:
    # If the text is the label itself, it is shown once.
    short = short_text(str(text))
    return short if not name or name == text else f"{name}: {short}"
