"""Attribute mapping: the questions asked about each region, and the attributes for the answers.

Nothing here knows the database.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import fiftyone as fo

from pam_labeling import Request
from pam_model import AutomaticMaskOptions, Question, Task

from ..errors import PluginError
from ..labels.fields import OWN, Attribute, Kind
from ..labels.marks import is_like_mark
from ..labels.regions import NOTHING, PROMPT_ID, LabelRegion, mask_update
from ..targets.missing import AnswerGroup

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from pam_labeling import LoadedImage, Region, Vocabulary
    from pam_labeling.regions import Scores
    from pam_model import Prompt

    Values = dict[str, dict[str, Any]]

_DESCRIPTIONS = {
    Task.LABEL: "Open label, by PAM",
    Task.DEFINITION: "Definition, by PAM",
    Task.BRIEF: "Brief caption, by PAM",
    Task.DETAILED: "Detailed caption, by PAM",
}
_SUMMARY_ORDER = (Task.BRIEF, Task.DETAILED, Task.DEFINITION, Task.LABEL)


@dataclass(frozen=True)
class Masks:
    """Where masks are stored.

    Attributes:
        folder: for one PNG file per mask; None stores masks in the document.
        tighten: make the box tight around the mask; else the mask is cut at the box.
    """

    folder: Path | None = None
    tighten: bool = False


@dataclass(frozen=True)
class AttributeMapping:
    """The questions about each region, and the attributes for the answers.

    Attributes:
        questions: the attribute of each answer.
        vocabulary: classes to choose from, or None.
        class_attribute: where the chosen class goes; `label` is the label itself.
        open_label: where the model's own label goes, if the chosen class is another; or None.
        score: where the best class's fit goes, or without classes the mask's expected IoU; or None.
        object_score: where the probability of an object goes; or None.
        embedding: where the vector of the region goes; or None.
        only_disagreeing: write the class only where it is not the present label. The score is
            written everywhere: it tells that a region was looked at.
        masks: where masks go; None: they are not kept.
        summary: a field of the sample for one short line for each of its regions; or None.
    """

    questions: Mapping[Question, str] = field(default_factory=dict)
    vocabulary: Vocabulary | None = None
    class_attribute: str = "pam_label"
    open_label: str | None = None
    score: str | None = None
    object_score: str | None = None
    embedding: str | None = None
    only_disagreeing: bool = False
    masks: Masks | None = None
    summary: str | None = None

    def __post_init__(self) -> None:
        for name in self.names:
            if self.names.count(name) > 1:
                raise PluginError(f"Two answers would go to the attribute {name!r}: rename one.")
            if name == PROMPT_ID or is_like_mark(name):
                kept = "the verdicts of the review panel"
                if name == PROMPT_ID:
                    kept = "the id of the label that a detection was made from"
                raise PluginError(f"{name!r} is for {kept}: choose another name.")
            # FiftyOne has a place of its own for a class and for a score.
            if name in OWN - {"confidence" if name == self.score else "label"}:
                raise PluginError(
                    f"{name!r} is FiftyOne's own for something else: choose another name."
                )

    @property
    def names(self) -> list[str]:
        """The attributes of words and scores, in the order in which they are asked for."""
        optional = (*self._class_attributes, self.score, self.object_score, self.embedding)
        return [*self.questions.values(), *(name for name in optional if name is not None)]

    @property
    def _class_attributes(self) -> tuple[str | None, ...]:
        return () if self.vocabulary is None else (self.class_attribute, self.open_label)

    @property
    def groups(self) -> tuple[AnswerGroup, ...]:
        """The answers that tell whether a region is done.

        A class and its fit are one: without a class that fits, the score says that it was
        looked for. Likewise a mask and its expected IoU. The probability of an object goes with
        each of them.
        """
        answers = (*self.questions.values(), self.embedding)
        found = [AnswerGroup((name,), (name,)) for name in answers if name is not None]
        score = () if self.score is None else (self.score,)
        if self.vocabulary is not None:
            signs = (self.class_attribute, *score)
            own = () if self.open_label is None else (self.open_label,)
            found.append(AnswerGroup(signs, (*signs, *own)))
            score = ()
        # A mask in either place is a mask.
        if self.masks is not None:
            signs = ("mask", "mask_path")
            found.append(AnswerGroup(signs, (*signs, "bounding_box", *score)))
        elif score:
            found.append(AnswerGroup(score, score))
        if self.object_score is None:
            return tuple(found)
        return tuple(replace(one, names=(*one.names, self.object_score)) for one in found)

    def attributes(self, label_type: type[Any]) -> tuple[Attribute, ...]:
        """The attributes to write onto each label; for a Segmentation, dictionaries by class."""
        by_class = label_type is fo.Segmentation
        text: Kind = "record" if by_class else "text"
        number: Kind = "record" if by_class else "number"
        found = [
            Attribute(name, text, f"{_DESCRIPTIONS[task]}{' (zh)' if language == 'zh' else ''}")
            for (task, language), name in self.questions.items()
        ]
        if self.vocabulary is not None:
            found.append(Attribute(self.class_attribute, text, "Class chosen from a list, by PAM"))
            if self.open_label is not None:
                meaning = "What PAM itself says, where it is not the class"
                found.append(Attribute(self.open_label, text, meaning))
        if self.score is not None:
            meaning = "Fit of the best class" if self.vocabulary else "Expected IoU of the mask"
            found.append(Attribute(self.score, number, f"{meaning}, by PAM"))
        if self.object_score is not None:
            meaning = f"Probability of an object, by PAM; up to {NOTHING}: nothing here"
            found.append(Attribute(self.object_score, number, meaning))
        if self.embedding is not None:
            found.append(Attribute(self.embedding, "vector", "To compare regions, by PAM"))
        if self.masks is not None:
            found += [Attribute("mask"), Attribute("mask_path")]
            found += [Attribute("bounding_box")] if self.masks.tighten else []
        return tuple({attribute.name: attribute for attribute in found}.values())

    @property
    def sample_attributes(self) -> tuple[Attribute, ...]:
        """The attributes to write onto each sample."""
        names = [] if self.summary is None else [self.summary]
        return tuple(Attribute(name, "texts", "A line for each region, by PAM") for name in names)

    def request(
        self,
        image: LoadedImage,
        prompts: Sequence[Prompt],
        everything: AutomaticMaskOptions | None = None,
        wanted: Collection[str] | None = None,
    ) -> Request:
        """The request to the annotator about one image.

        Args:
            image: the upright image.
            prompts: what points at its regions.
            everything: how to find everything, where there are no prompts.
            wanted: the attributes that any of the regions needs; None: all.
        """
        questions = [q for q, name in self.questions.items() if wanted is None or name in wanted]
        classes = self.vocabulary if wanted is None or self.class_attribute in wanted else None
        return Request(
            image,
            tuple(prompts),
            tuple(questions),
            classes,
            everything=everything or AutomaticMaskOptions(),
            embed=self.embedding is not None,
        )

    def values(
        self, region: Region, source: LabelRegion, wanted: Collection[str] | None = None
    ) -> dict[str, Any]:
        """The values for a label; only the score if only disagreement counts and there is none.

        Args:
            region: the region that the model found.
            source: the label that prompted it.
            wanted: the attributes that may be written; None means all.

        Raises:
            PluginError: the mask misses the label's box, or its file cannot be written.
        """
        found = self.words(region)
        said, present = (region.label or "").casefold(), (source.label or "").casefold()
        # Upper and lower case are no disagreement.
        if self.only_disagreeing and (not said or said == present):
            found.pop(self.class_attribute, None)
        if self.masks is not None and (wanted is None or "mask" in wanted):
            box = None if self.masks.tighten else source.document.bounding_box
            found |= mask_update(region, keep_box=box, file=self.file(source.label_id))
        return {name: value for name, value in found.items() if wanted is None or name in wanted}

    def nothing(self, scores: Scores, wanted: Collection[str] | None = None) -> dict[str, Any]:
        """The values for a label where the model sees no object: no class, and the probability.

        There are none if the probability is not kept: nobody would see the answer.
        """
        if self.object_score is None:
            return {}
        found: dict[str, Any] = {self.object_score: scores.object}
        if self.vocabulary is not None:
            own = {self.class_attribute} & OWN  # a person's label stays
            names = {name for name in self._class_attributes if name is not None} - own
            found |= dict.fromkeys(names)
            found |= {} if self.score is None else {self.score: 0.0}  # no class fits nothing
        return {name: value for name, value in found.items() if wanted is None or name in wanted}

    def words(self, region: Region) -> dict[str, Any]:
        """The attributes but for the mask."""
        texts = region.texts  # without the answers that no region of the image needed
        found: dict[str, Any] = {
            name: texts[question.task, question.language]
            for question, name in self.questions.items()
            if (question.task, question.language) in texts
        }
        if self.vocabulary is not None and not (
            region.label is None and self.class_attribute in OWN
        ):
            found[self.class_attribute] = region.label
        if self.vocabulary is not None and self.open_label is not None:
            found[self.open_label] = region.open_label
        if self.object_score is not None:
            found[self.object_score] = region.scores.object
        if self.embedding is not None:
            found[self.embedding] = region.embedding
        if self.score is not None:
            fit = region.scores.label
            found[self.score] = region.scores.iou if fit is None else fit
        return found

    def file(self, name: str) -> Path | None:
        """The path of a mask's file; None if masks are stored in the document."""
        folder = None if self.masks is None else self.masks.folder
        return None if folder is None else folder / f"{name.replace(':', '-')}.png"

    @property
    def said(self) -> str:
        """The attribute that is summarised."""
        by_task = {question.task: name for question, name in self.questions.items()}
        asked = next((by_task[task] for task in _SUMMARY_ORDER if task in by_task), None)
        return asked or self.class_attribute


def by_label(values: Values, sources: Sequence[LabelRegion]) -> Values:
    """The values of a Segmentation's classes as dictionaries of the whole label.

    What earlier runs said about other classes stays.

    Args:
        values: by region's id and attribute.
        sources: the regions.
    """
    merged: Values = {}
    for source in sources:
        found = values.get(source.label_id)
        if not found:
            continue
        if not isinstance(source.document, fo.Segmentation):
            merged[source.label_id] = found
            continue
        label_id, _, value = source.label_id.partition(":")
        whole = merged.setdefault(label_id, {})
        for name, said in found.items():
            before = source.document[name] if source.document.has_field(name) else None
            # MongoDB replaces the whole dictionary.
            whole.setdefault(name, dict(before) if isinstance(before, dict) else {})[value] = said
    return merged
