"""The engine: a run from its first image to its record.

    for progress in run(job, annotator):
        print(progress.text)

The target gives images and labels, the annotator answers, the writer writes. Threads read images
ahead of the model; all regions of an image go in one request. Closing the generator, or an
exception inside it, leaves what was written consistent and the run recorded as interrupted.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import fiftyone as fo

from pam_labeling import LazyRequest, Refusal, Request, read_image
from pam_labeling.errors import InputError
from pam_labeling.media import MAX_PIXELS

from ..errors import PluginError
from ..labels.regions import PROMPT_ID, LabelRegion, detection_of
from .attribute_mapping import AttributeMapping, by_label

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pam_labeling import Annotation, Annotator, Outcome, Region
    from pam_model import AutomaticMaskOptions

    from ..targets.target import SampleWork, Target
    from .records import RunRecord
    from .writer import RunWriter

_SHOWN_REASONS = 5


@dataclass(frozen=True)
class RegionJob:
    """What a run does.

    Attributes:
        operator: such as `"caption_regions"`.
        target: the labels, or whole images to find everything in.
        answers: what is asked about each region, and where the answers go.
        parameters: what the person chose, as JSON has it, for the record.
        new_field: a field for new Detections; None: onto the target's own labels.
        use_masks: point with the instance masks that there are, else with the boxes.
        everything: how to find everything; None: the target's labels are the prompts.
        max_pixels: the largest image that is read, width x height.
    """

    operator: str
    target: Target
    answers: AttributeMapping
    parameters: dict[str, Any]
    new_field: str | None = None
    use_masks: bool = True
    everything: AutomaticMaskOptions | None = None
    max_pixels: int = MAX_PIXELS


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        done: regions (or images, where everything is looked for) that are through.
        total: how many there are; 0 if there are none.
        text: a short sentence.
        key: the run's name in the dataset.
    """

    done: int
    total: int
    text: str
    key: str = ""


class _NoRegionsError(InputError):
    """No label of an image points at anything; the reasons are noted already."""


@dataclass
class _Turn:
    """An image whose request is under way; `regions` and `reasons` are known when it is made."""

    work: SampleWork
    regions: list[LabelRegion] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)

    @property
    def document(self) -> str:
        """The id of the sample or frame."""
        return self.work.frame_id or self.work.sample_id

    def request(self, job: RegionJob) -> Request:
        """Read the image and turn its labels into prompts; called by a thread that reads ahead."""
        image = read_image(self.work.filepath, max_pixels=job.max_pixels)
        if job.everything is not None:
            return job.answers.request(image, (), job.everything)
        for result in self.work.regions(image.size, use_masks=job.use_masks):
            if isinstance(result, LabelRegion):
                self.regions.append(result)
            else:
                self.reasons.append(f"{result.label_id}: {result.reason}")
        if not self.regions:  # a request without prompts would look for everything
            raise _NoRegionsError
        prompts = tuple(region.prompt for region in self.regions)
        return job.answers.request(image, prompts, wanted=_wanted(self.work, self.regions))


def run(
    job: RegionJob, annotator: Annotator, writer: RunWriter
) -> Generator[Progress, None, RunRecord]:
    """Do a job, and give its progress after each image.

    Args:
        job: what to do.
        annotator: from `models.POOL`.
        writer: new, not entered: entering it begins the run.

    Returns:
        The run's record, as the generator's return value.

    Raises:
        PluginError: the run cannot begin, or cannot go on (a name that is taken, a full disk).
    """
    counts = job.target.count()
    total = counts.samples if job.everything else counts.regions
    with writer:
        if job.answers.summary is not None:
            writer.summarise(job.answers.summary, job.answers.said)
        runner = _Runner(job, annotator, writer)
        yield Progress(0, total, f"0 of {total:,}", writer.record.key)
        start = time.monotonic()
        for done in runner.work():
            text = _sentence(min(done, total), total, time.monotonic() - start)
            yield Progress(min(done, total), total, text, writer.record.key)
    return writer.record


class _Runner:
    def __init__(self, job: RegionJob, annotator: Annotator, writer: RunWriter) -> None:
        self._job = job
        self._annotator = annotator
        self._writer = writer

    def work(self) -> Iterator[int]:
        """Do all images; how many regions (or images) are through, after each one."""
        done = 0
        turns = (_Turn(work) for works in self._job.target.chunks() for work in works)
        requests = (LazyRequest(turn, partial(turn.request, self._job)) for turn in turns)
        with closing(self._annotator.annotate_many(requests)) as outcomes:
            for outcome in outcomes:
                turn: _Turn = outcome.key
                self._finish(turn, outcome)
                done += 1 if self._job.everything else len(turn.work.label_ids)
                yield done

    def _finish(self, turn: _Turn, outcome: Outcome) -> None:
        """Write what was found in an image, and why some of it was not."""
        reasons = list(turn.reasons)
        if outcome.annotation is not None:
            reasons += self._write(turn.document, turn, outcome.annotation)
        elif not isinstance(outcome.error, _NoRegionsError):
            reasons.append(str(outcome.error) or type(outcome.error).__name__)
        if reasons:
            shown, left = reasons[:_SHOWN_REASONS], reasons[_SHOWN_REASONS:]
            more = [f"and {len(left)} more"] if left else []
            self._writer.fail(turn.document, "; ".join([*shown, *more]))

    def _write(self, document: str, turn: _Turn, annotation: Annotation) -> list[str]:
        """Write what was found; why some of it was not."""
        if self._job.everything is not None:
            new = [self._new(region, document) for region in annotation.regions]
            self._writer.add_labels(document, new)
            return []
        answers = self._job.answers
        values: dict[str, dict[str, Any]] = {}
        reasons: list[str] = []
        new = []
        for source, result in zip(turn.regions, annotation.results, strict=True):
            if isinstance(result, Refusal):
                reasons.append(f"{source.label_id}: {result.reason}")
                continue
            try:
                if self._job.new_field is None:
                    wanted = turn.work.writable(source)
                    values[source.label_id] = answers.values(result, source, wanted)
                else:
                    new.append(self._new(result, document, source))
            except PluginError as error:
                reasons.append(f"{source.label_id}: {error}")
        if new:
            self._writer.add_labels(document, new)
        written = by_label(values, turn.regions)
        if written:
            self._writer.write(document, written)
        return reasons

    def _new(self, region: Region, name: str, source: LabelRegion | None = None) -> Any:
        answers = self._job.answers
        values = answers.words(region)
        label = values.pop("label", None) or (source.label if source else None)
        copied = None
        if source is not None and not isinstance(source.document, fo.Segmentation):
            copied = source.document
        detection = detection_of(region, label=label, source=copied, file=answers.file(name))
        if source is not None:
            values[PROMPT_ID] = source.label_id
        for attribute, value in values.items():
            detection[attribute] = value
        return detection


def _wanted(work: SampleWork, regions: Sequence[LabelRegion]) -> frozenset[str] | None:
    """The attributes that any of an image's regions needs; None: all."""
    found: frozenset[str] = frozenset()
    for region in regions:
        names = work.writable(region)
        if names is None:
            return None
        found |= names
    return found


def _sentence(done: int, total: int, seconds: float) -> str:
    text = f"{done:,} of {total:,}"
    if not done or seconds < 1:
        return text
    left = (total - done) * seconds / done
    remaining = f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
    return f"{text}, {remaining}" if done < total else text
