"""A run from its first image to its record: targets in, annotator, writer out.

    for progress in run(job, annotator):
        print(progress.text)

Images are read a little ahead of the model; all regions of an image go in one request. Closing
the generator, or an exception inside it, leaves everything that was written consistent and the run
recorded as interrupted.
"""

from __future__ import annotations

import time
from collections import deque
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import fiftyone as fo

from pam_labeling import (
    Annotation,
    Annotator,
    ImageError,
    Outcome,
    Refusal,
    Region,
    Request,
    read_image,
)
from pam_labeling.media import MAX_PIXELS

from ..errors import PluginError
from ..labels.regions import PROMPT_ID, LabelRegion, UnusableLabel, detection_of
from .attribute_mapping import AttributeMapping, by_label

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pam_model import EverythingOptions

    from ..targets.target import SampleWork, Target
    from .records import RunRecord
    from .writer import RunWriter

_NO_IMAGE = b""  # fails as soon as it is read: an image that cannot be used keeps its turn
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
    everything: EverythingOptions | None = None
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


@dataclass(frozen=True)
class _Turn:
    """An image whose request is under way."""

    work: SampleWork
    regions: Sequence[LabelRegion] = ()
    reasons: tuple[str, ...] = ()
    refused: bool = False


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
        self._turns: deque[_Turn] = deque()

    def work(self) -> Iterator[int]:
        """Do all images; how many regions (or images) are through, after each one."""
        done = 0
        with closing(self._annotator.annotate_many(self._requests())) as outcomes:
            for outcome in outcomes:
                turn = self._turns.popleft()
                self._finish(turn, outcome)
                done += 1 if self._job.everything else len(turn.work.label_ids)
                yield done

    def _requests(self) -> Iterator[Request]:
        for works in self._job.target.chunks():
            for work in works:
                turn, request = self._turn(work)
                self._turns.append(turn)
                yield request

    def _turn(self, work: SampleWork) -> tuple[_Turn, Request]:
        job = self._job
        try:
            image = read_image(work.filepath, max_pixels=job.max_pixels)
        except ImageError as error:
            return _Turn(work, reasons=(str(error),), refused=True), Request(_NO_IMAGE)
        if job.everything is not None:
            return _Turn(work), job.answers.request(image, (), job.everything)
        results = work.regions(image.size, use_masks=job.use_masks)
        regions = [result for result in results if isinstance(result, LabelRegion)]
        reasons = tuple(
            f"{result.label_id}: {result.reason}"
            for result in results
            if isinstance(result, UnusableLabel)
        )
        if not regions:  # a request without prompts would look for everything
            return _Turn(work, reasons=reasons, refused=True), Request(_NO_IMAGE)
        prompts = tuple(region.prompt for region in regions)
        request = job.answers.request(image, prompts, wanted=_wanted(work, regions))
        return _Turn(work, regions, reasons), request

    def _finish(self, turn: _Turn, outcome: Outcome) -> None:
        document = turn.work.frame_id or turn.work.sample_id
        reasons = list(turn.reasons)
        if outcome.annotation is not None:
            reasons += self._write(document, turn, outcome.annotation)
        elif not turn.refused:
            reasons.append(str(outcome.error) or type(outcome.error).__name__)
        if reasons:
            self._writer.fail(document, _shortened(reasons))

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


def _shortened(reasons: Sequence[str]) -> str:
    shown = "; ".join(reasons[:_SHOWN_REASONS])
    left = len(reasons) - _SHOWN_REASONS
    return f"{shown}; and {left} more" if left > 0 else shown


def _sentence(done: int, total: int, seconds: float) -> str:
    text = f"{done:,} of {total:,}"
    if not done or seconds < 1:
        return text
    left = (total - done) * seconds / done
    remaining = f"{left / 60:.0f} min left" if left >= 90 else f"{left:.0f} s left"
    return f"{text}, {remaining}" if done < total else text
