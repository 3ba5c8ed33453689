"""The engine: a run from its first image to its record.

    for progress in run(job, annotator):
        print(progress.text)

The target gives images and labels, the annotator answers, the writer writes. Threads read images
ahead of the model; all regions of an image go in one request. If the generator is closed or raises
an exception, the written values are consistent and the run is recorded as interrupted.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import fiftyone as fo
from bson import ObjectId

from pam_labeling import LazyRequest, Refusal, Request, read_image
from pam_labeling.errors import InputError
from pam_labeling.media import AUTO, MAX_PIXELS, GreyRange

from ..errors import PluginError
from ..labels.regions import PROMPT_ID, LabelRegion, UnusableLabel, detection_of, single_labels
from .attribute_mapping import AttributeMapping, by_label
from .authorship import NOTHING_HELD, authorship_of
from .records import REASON_LIMIT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from pam_labeling import Annotation, Annotator, Outcome, Region
    from pam_model import AutomaticMaskOptions

    from ..targets.target import SampleWork, Target
    from .authorship import Authorship, Held
    from .records import RunRecord
    from .writer import RunWriter

_SHOWN_REGIONS = 20  # with one and the same reason
_TWINS = (
    "{} labels of the sample have this id, so none of them can be written to alone: give each of "
    "them an id of its own."
)


@dataclass(frozen=True)
class RegionJob:
    """The work of a run.

    Attributes:
        operator: the operator's name, such as `"caption_regions"`.
        target: the labels, or whole images in which to find everything.
        answers: the questions about each region, and the attributes for the answers.
        parameters: the person's choices in JSON's types, for the record.
        new_field: a field for new Detections; None: write to the target's own labels.
        use_masks: prompt with the instance masks if there are any, else with the boxes.
        everything: how to find everything; None: the target's labels are the prompts.
        max_pixels: the largest image to read, width x height.
        grey_range: how grey of more than 8 bits is read, see `pam_labeling.media.parse_range`.
        replace_human_work: whether to replace what a person wrote, accepted or edited.
    """

    operator: str
    target: Target
    answers: AttributeMapping
    parameters: dict[str, Any]
    new_field: str | None = None
    use_masks: bool = True
    everything: AutomaticMaskOptions | None = None
    max_pixels: int = MAX_PIXELS
    grey_range: GreyRange = AUTO
    replace_human_work: bool = False

    @property
    def keeps_human_work(self) -> bool:
        """Whether it could replace what a person wrote, and must not."""
        return not (self.replace_human_work or self.new_field or self.everything)


@dataclass(frozen=True)
class Progress:
    """The progress of a run.

    Attributes:
        done: the number of finished regions (or images, if everything is found).
        total: the number of all; 0 if there are none.
        text: a short sentence.
        key: the run's name in the dataset.
    """

    done: int
    total: int
    text: str
    key: str = ""


class Reason(NamedTuple):
    """Why a region, or a whole image, has no answer.

    Attributes:
        region: the region's label and id; "" for a whole image.
        sentence: the reason.
    """

    region: str
    sentence: str

    @classmethod
    def of(cls, region: LabelRegion, sentence: str) -> Reason:
        """The reason of a label that gave a prompt."""
        named = f"{region.label!r} " if region.label else ""
        return cls(f"{named}{region.label_id}", sentence)


class _NoRegionsError(InputError):
    """No label of an image gives a prompt; the reasons are recorded already."""


@dataclass
class _Turn:
    """An image in work; `request` fills `regions`, `reasons` and `kept`.

    Attributes:
        work: the image and its labels.
        held: by region, what is a person's, see `Authorship.held`.
        regions: the regions that are asked about.
        reasons: why others are not.
        kept: how many answers stay because they are a person's.
    """

    work: SampleWork
    held: Mapping[str, Held] = field(default_factory=dict)
    regions: list[LabelRegion] = field(default_factory=list)
    reasons: list[Reason] = field(default_factory=list)
    kept: int = 0

    @property
    def document(self) -> str:
        """The id of the sample or frame."""
        return self.work.frame_id or self.work.sample_id

    def request(self, job: RegionJob) -> Request:
        """Read the image and turn its labels into prompts; called by a thread that reads ahead."""
        image = read_image(self.work.filepath, max_pixels=job.max_pixels, grey_range=job.grey_range)
        if job.everything is not None:
            return job.answers.request(image, (), job.everything)
        results = self.work.regions(image.size, use_masks=job.use_masks)
        ids = Counter(label.id for label in single_labels(self.work.label))
        for result in results:
            if isinstance(result, UnusableLabel):
                self.reasons.append(Reason(result.label_id, result.reason))
            elif ids[result.label_id] > 1 and job.new_field is None:
                twins = _TWINS.format(ids[result.label_id])
                self.reasons.append(Reason(result.label_id, twins))
            else:
                self._take(result, job)
        if not self.regions:  # a request without prompts would look for everything
            raise _NoRegionsError
        prompts = tuple(region.prompt for region in self.regions)
        needed = [self.writable(region) for region in self.regions]
        wanted = {name for names in needed for name in names or ()}
        return job.answers.request(image, prompts, wanted=None if None in needed else wanted)

    def writable(self, region: LabelRegion) -> frozenset[str] | None:
        """The attributes of a region that may be written; None: all."""
        names, held = self.work.writable(region), self.held.get(region.label_id)
        if held is None:
            return names
        return held.free if names is None else names & held.free

    def _take(self, region: LabelRegion, job: RegionJob) -> None:
        """Ask about a region, unless all its answers stay as they are."""
        if job.target.policy.only == "all":
            self.kept += self.held.get(region.label_id, NOTHING_HELD).answers
        if self.writable(region) != frozenset():
            self.regions.append(region)


def run(
    job: RegionJob, annotator: Annotator, writer: RunWriter
) -> Generator[Progress, None, RunRecord]:
    """Do a job, and yield its progress after each image.

    Args:
        job: the job.
        annotator: from `models.POOL`.
        writer: a new one, not yet entered: entering it begins the run.

    Returns:
        The run's record, as the generator's return value.

    Raises:
        PluginError: the run cannot begin or continue (a name is taken, the disk is full).
    """
    counts = job.target.count()
    total = counts.samples if job.everything else counts.regions
    # Entering registers the run: from here on, its end is always recorded.
    with writer:
        if job.answers.summary is not None:
            writer.summarise(job.answers.summary, job.answers.said)
        authorship = authorship_of(job.target, job.answers) if job.keeps_human_work else None
        if authorship is not None:
            writer.keep(authorship)
        yield Progress(0, total, f"0 of {total:,}", writer.record.key)
        done, start = 0, time.monotonic()
        # Both are generators: the annotator takes only as many as its readers work ahead.
        turns = _turns(job, authorship)
        requests = (LazyRequest(turn, partial(turn.request, job)) for turn in turns)
        with closing(annotator.annotate_many(requests)) as outcomes:
            for outcome in outcomes:
                turn: _Turn = outcome.key
                _finish(job, writer, turn, outcome)
                # Labels may have been added since they were counted.
                done = min(done + (1 if job.everything else len(turn.work.label_ids)), total)
                seconds = time.monotonic() - start
                yield Progress(done, total, _sentence(done, total, seconds), writer.record.key)
    return writer.record


def _turns(job: RegionJob, authorship: Authorship | None) -> Iterator[_Turn]:
    """The images, each with what is a person's in it."""
    for works in job.target.chunks():
        turns = [_Turn(work) for work in works]
        if authorship is not None:
            held = authorship.held(ObjectId(turn.document) for turn in turns)
            for turn in turns:
                turn.held = held.get(ObjectId(turn.document), {})
        yield from turns


def _finish(job: RegionJob, writer: RunWriter, turn: _Turn, outcome: Outcome) -> None:
    """Write the results of an image, and the reasons for its failures."""
    reasons, failed = list(turn.reasons), len(turn.reasons)
    writer.count_kept(turn.kept)
    if outcome.annotation is not None:
        reasons += _write(job, writer, turn, outcome.annotation)
        failed = len(reasons)
    elif not isinstance(outcome.error, _NoRegionsError):
        reasons.append(Reason("", str(outcome.error) or type(outcome.error).__name__))
        failed = len(turn.work.label_ids)  # of whole images there are none
    if reasons:
        writer.fail(turn.document, told(reasons), regions=failed)


def told(reasons: Sequence[Reason], limit: int = REASON_LIMIT) -> str:
    """The reasons why regions of an image failed, in one text.

    Regions with the same reason stand together. If the text would be too long, it says how many
    regions are left out.
    """
    regions: dict[str, list[str]] = {}
    for reason in reasons:
        regions.setdefault(reason.sentence, []).append(reason.region)
    parts: list[str] = []
    left = len(reasons)
    for sentence, names in regions.items():
        shown, more = names[:_SHOWN_REGIONS], len(names) - _SHOWN_REGIONS
        listed = ", ".join(name for name in shown if name)
        listed += f" and {more} more regions" if more > 0 else ""
        part = f"{listed}: {sentence}" if listed else sentence
        # There must be room for the number of those left out.
        if parts and len("; ".join([*parts, part])) > limit - 40:
            break
        parts.append(part)
        left -= len(names)
    return "; ".join([*parts, *([f"and {left} more regions failed"] if left else [])])


def _write(job: RegionJob, writer: RunWriter, turn: _Turn, annotation: Annotation) -> list[Reason]:
    """Write the results, and return the reasons for failures."""
    document = turn.document
    if job.everything is not None:
        found = [_detection(job.answers, region, document) for region in annotation.regions]
        writer.add_labels(document, found)
        return []
    values: dict[str, dict[str, Any]] = {}
    reasons, new = [], []
    for source, result in zip(turn.regions, annotation.results, strict=True):
        wanted = turn.writable(source) if job.new_field is None else None
        if isinstance(result, Refusal):
            # Somebody drew it: that the model sees nothing there is an answer.
            answered = job.new_field is None and not result.scores.sees_object
            if answered and (nothing := job.answers.nothing(result.scores, wanted)):
                values[source.label_id] = nothing
            else:
                reasons.append(Reason.of(source, result.reason))
            continue
        try:
            if job.new_field is None:
                values[source.label_id] = job.answers.values(result, source, wanted)
            else:
                new.append(_detection(job.answers, result, document, source))
        except PluginError as error:
            reasons.append(Reason.of(source, str(error)))
    if new:
        writer.add_labels(document, new)
    if written := by_label(values, turn.regions):
        writer.write(document, written)
    return reasons


def _detection(
    answers: AttributeMapping, region: Region, name: str, source: LabelRegion | None = None
) -> fo.Detection:
    """A new label of a region; `name` names the file of its mask."""
    values = answers.words(region)
    label = values.pop("label", None) or (source.label if source else None)
    document = source and source.document
    # A Segmentation holds all classes of the image: none of its attributes is this region's own.
    copied = None if isinstance(document, fo.Segmentation) else document
    if source is not None:
        values[PROMPT_ID] = source.label_id
    detection = detection_of(region, label=label, source=copied, file=answers.file(name))
    for attribute, value in values.items():
        detection[attribute] = value
    return detection


def _sentence(done: int, total: int, seconds: float) -> str:
    text = f"{done:,} of {total:,}"
    # An early estimate would jump.
    if not 0 < done < total or seconds < 1:
        return text
    left = (total - done) * seconds / done
    return f"{text}, {left / 60:.0f} min left" if left >= 90 else f"{text}, {left:.0f} s left"
