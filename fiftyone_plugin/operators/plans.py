"""Plans: turn options into a run that is checked and can begin."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiftyone as fo

from pam_labeling import Settings, Vocabulary, VocabularyError
from pam_labeling.version import VERSION
from pam_model import AutomaticMaskOptions, Question, Task

from ..errors import PluginError
from ..labels.fields import Attribute, Kind, attributes_of, label_class
from ..labels.regions import PROMPT_ID
from ..models import POOL, check_model, settings_of
from ..runs.attribute_mapping import AttributeMapping, Masks
from ..runs.engine import Progress, RegionJob, run
from ..runs.writer import RunWriter
from ..targets.missing import OverwritePolicy
from ..targets.target import ALL, Target
from ..targets.views import PATCHES
from .here import check_here
from .new_fields import check_new_field, path_of
from .options import (
    OWN_CLASSES,
    CaptionOptions,
    ExistingOptions,
    FindOptions,
    LabelOptions,
    MaskOptions,
    RunOptions,
    SegmentOptions,
    WordOptions,
    class_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ..runs.records import RunRecord

    Resolve = Callable[[str | None, OverwritePolicy], Target]
    """Field, and which of its regions are open -> target."""

KEEP_MASKS = (fo.Detections, fo.Detection)
MOST_CLASSES = 1000
KINDS: dict[type, Kind] = {
    fo.StringField: "text",
    fo.FloatField: "number",
    fo.IntField: "count",
    fo.BooleanField: "flag",
    fo.DictField: "record",
}
_SOURCE = Attribute(PROMPT_ID, "text", "Id of the label that it was made from, by PAM")


@dataclass(frozen=True)
class Plan:
    """A run that is checked and can begin.

    Attributes:
        job: the work.
        settings: the annotator's settings.
        attributes: the attributes that it writes on labels.
    """

    job: RegionJob
    settings: Settings
    attributes: tuple[Attribute, ...]

    def writer(self, model: str) -> RunWriter:
        """A writer for the run.

        Raises:
            PluginError: a field or an attribute cannot be written; the message says why.
        """
        job, new = self.job, self.job.new_field
        return RunWriter(
            job.target.dataset,
            str(job.target.field) if new is None else path_of(job.target, new),
            operator=job.operator,
            attributes=self.attributes,
            sample_attributes=job.answers.sample_attributes,
            create=None if new is None else fo.Detections,
            description="" if new is None else f"Regions by PAM ({job.operator})",
            parameters=job.parameters,
            model=model,
            version=VERSION,
        )

    def run(self) -> Generator[Progress, None, RunRecord]:
        """Load the model if it is not loaded, and do the job; see `engine.run`.

        The first step checks what only the machine that does it can know.

        Raises:
            PluginError: the model, the device or the folder of the masks cannot be used here.
        """
        masks = self.job.answers.masks
        check_here(self.settings, None if masks is None else masks.folder)
        yield Progress(0, 0, f"Loading {self.settings.model}")
        with POOL.lend(self.settings) as annotator:
            record = yield from run(self.job, annotator, self.writer(annotator.model_name))
        self.job.target.refresh()
        return record


def plan_captions(options: CaptionOptions, resolve: Resolve) -> Plan:
    """Plan `caption_regions`.

    Raises:
        PluginError: the run cannot be done; the message says why, and what to do.
    """
    summary = f"{options.field.removeprefix('frames.').replace('.', '_')}_captions"
    answers = AttributeMapping(
        questions=options.questions,
        vocabulary=_vocabulary(options, resolve(options.field, ALL)),
        class_attribute=options.class_attribute,
        open_label=options.open_label,
        score=options.score,
        object_score=options.object_score,
        masks=_masks(options),
        summary=summary if options.summary else None,
    )
    return plan_existing("caption_regions", options, answers, resolve)


def plan_labels(options: LabelOptions, resolve: Resolve) -> Plan:
    """Plan `label_regions`.

    Raises:
        PluginError: the run cannot be done; the message says why, and what to do.
    """
    target = resolve(options.field, ALL)
    if options.saved_view is not None:
        _check_view(options.saved_view, options.attribute, target)
    answers = AttributeMapping(
        vocabulary=_vocabulary(options, target),
        class_attribute=options.attribute,
        open_label=options.open_label,
        score=options.score,
        object_score=options.object_score,
        only_disagreeing=options.only_disagreeing,
    )
    return plan_existing("label_regions", options, answers, resolve)


def plan_segments(options: SegmentOptions, resolve: Resolve) -> Plan:
    """Plan `segment_regions`.

    Raises:
        PluginError: the run cannot be done; the message says why, and what to do.
    """
    answers = AttributeMapping(
        score=options.score, object_score=options.object_score, masks=_masks(options)
    )
    if options.new_field is None:
        return plan_existing("segment_regions", options, answers, resolve)
    inside = options.new_field.removeprefix("frames.")
    target = resolve(options.field, OverwritePolicy(options.only, new_field=inside))
    check_new_field("segment_regions", target, options.new_field, options.only)
    plan = _checked("segment_regions", options, answers, target, options.new_field)
    # New detections keep the attributes of the labels from which they are made.
    copied = _copied_attributes(target, answers)
    return replace(plan, attributes=(*plan.attributes, _SOURCE, *copied))


def plan_finding(options: FindOptions, resolve: Resolve) -> Plan:
    """Plan `find_regions`.

    Raises:
        PluginError: the run cannot be done; the message says why, and what to do.
    """
    inside = options.field.removeprefix("frames.")
    target = resolve(None, OverwritePolicy(options.only, new_field=inside))
    if isinstance(target.collection, PATCHES):
        raise PluginError(
            "find_regions looks at whole images: choose the dataset or a view of samples or "
            "frames, not of patches."
        )
    check_new_field("find_regions", target, options.field, options.only)
    questions, vocabulary = options.questions, _vocabulary(options, target)
    if vocabulary is not None and options.label == options.class_attribute:
        # The class takes the open label's place.
        questions.pop(Question(Task.LABEL, options.language), None)
    answers = AttributeMapping(
        questions=questions,
        vocabulary=vocabulary,
        class_attribute=options.class_attribute,
        open_label=options.open_label,
        score=options.score,
        object_score=options.object_score,
        masks=_masks(options),
    )
    everything = AutomaticMaskOptions(
        points_per_side=options.points_per_side,
        min_area=options.min_area,
        max_regions=options.max_regions,
    )
    return _checked("find_regions", options, answers, target, options.field, everything)


def plan_existing(
    operator: str, options: ExistingOptions, answers: AttributeMapping, resolve: Resolve
) -> Plan:
    """Plan a run on the labels of a field: all, or those that `only` selects."""
    target = resolve(
        options.field,
        OverwritePolicy(options.only, answers.groups, object_score=answers.object_score),
    )
    if answers.masks is not None and target.label_type not in KEEP_MASKS:
        raise PluginError(
            f"{target.label_type.__name__} keep no instance masks: let segment_regions make "
            "detections in a new field."
        )
    return _checked(operator, options, answers, target)


def _checked(
    operator: str,
    options: RunOptions,
    answers: AttributeMapping,
    target: Target,
    new_field: str | None = None,
    everything: AutomaticMaskOptions | None = None,
) -> Plan:
    settings = settings_of(options.model, options.device, options.batch_size)
    check_model(settings)
    job = RegionJob(
        operator=operator,
        target=target,
        answers=answers,
        parameters=options.to_params(),
        new_field=new_field,
        use_masks=operator != "segment_regions",
        everything=everything,
        max_pixels=settings.max_pixels,
        grey_range=settings.range,
        replace_human_work=isinstance(options, ExistingOptions) and options.replace_human_work,
    )
    label_type = fo.Detection if new_field else target.label_type
    plan = Plan(job, settings, answers.attributes(label_type))
    # Only a check: the run makes its own writer.
    plan.writer(settings.model)  # refuses names and types that cannot be written
    return plan


def _vocabulary(options: WordOptions | LabelOptions, target: Target) -> Vocabulary | None:
    if options.classes is None:
        return None
    names = _classes_of(target) if options.classes == OWN_CLASSES else options.classes
    # The language of other options is that of the texts.
    language = options.language if isinstance(options, LabelOptions) else None
    try:
        return Vocabulary(names, language, label_fit=options.label_fit)
    except VocabularyError as error:
        raise PluginError(f"The classes cannot be chosen from: {error}.") from error


def _classes_of(target: Target) -> tuple[str, ...]:
    """The classes that a dataset knows for a field: its own, the default ones, or those in use.

    For whole images, these are the default ones.

    Raises:
        PluginError: there are none, or too many labels are in use, or one is in two spellings.
    """
    dataset, field = target.dataset, target.field
    # The surest first: set for the field, set for the dataset, found in use.
    names: Any = dataset.classes.get(field) or dataset.default_classes
    if not names and target.label_type is fo.Segmentation:
        names = target.mask_targets.values()
    # Somebody set these: they are as good as a list that is given.
    chosen = [str(name) for name in names or () if str(name).strip()]
    if chosen:
        return tuple(class_names(chosen))
    found: tuple[str, ...] = ()
    if field is not None and target.label_type is not fo.Segmentation:
        in_use = dataset.distinct(f"{target.path}.label")
        found = tuple(name for name in in_use if str(name).strip())
    if not found:
        where = f"{dataset.name} has no classes" + (f" for {field!r}" if field else "")
        raise PluginError(f"{where}: give a list, or set the dataset's default_classes.")
    if len(found) > MOST_CLASSES:
        raise PluginError(
            f"The labels of {field!r} have {len(found):,} different names, more than "
            f"{MOST_CLASSES:,}: give a list."
        )
    return found


def _masks(options: MaskOptions) -> Masks | None:
    if options.mask != "mask_path":
        return None if options.mask is None else Masks(None, options.tighten)
    folder = Path(str(options.mask_folder))
    with suppress(RuntimeError):  # nobody is called so, or has no home: refused below
        folder = folder.expanduser()
    # A worker has another working directory than the App.
    if not folder.is_absolute():
        raise PluginError(f"The folder of the masks must be an absolute path, not {str(folder)!r}.")
    return Masks(folder, options.tighten)


def _check_view(name: str, attribute: str, target: Target) -> None:
    dataset = target.dataset
    if dataset.has_saved_view(name):
        raise PluginError(f"{dataset.name} already has a saved view {name!r}: choose another name.")
    # Once the old label is overwritten, nothing disagrees any more.
    if attribute == "label":
        raise PluginError(
            "A view of disagreements compares the label with PAM's class: keep the label, and "
            "choose another attribute for PAM's class."
        )
    if target.label_type is fo.Segmentation:
        raise PluginError(
            "A Segmentation's classes have no labels of their own, so there is no view of those "
            "that disagree: let segment_regions make detections in a new field first."
        )


def _copied_attributes(target: Target, answers: AttributeMapping) -> Iterator[Attribute]:
    """The attributes of a field's labels that detections in a new field take over."""
    label_type = label_class(target.label_type)
    own = {*label_type._fields_ordered, *fo.Detection._fields_ordered, *answers.names, PROMPT_ID}
    for name, field in attributes_of(target.dataset, str(target.field)).items():
        kind = KINDS.get(type(field))
        if name not in own and kind is not None and target.label_type is not fo.Segmentation:
            yield Attribute(name, kind, field.description or "")
