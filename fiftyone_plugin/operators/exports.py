"""Plan and do an export: read what a view shows, and write it in a format."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from pam_labeling import formats
from pam_labeling.documents import EntryFile, document_header, entry_line, failed_entry
from pam_labeling.errors import InputError
from pam_labeling.media import read_image
from pam_model.tasks import Task

from ..errors import PluginError
from ..labels.entries import LabelReader
from ..labels.fields import attributes_of
from ..runs.provenance import provenance_of
from ..targets.shown import shown_images

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pam_labeling.documents import Header, ImageEntry

    from ..runs.provenance import Provenance
    from ..targets.target import Target
    from .export_options import ExportOptions

HOLD_ALL = ("json", "csv", "parquet", "pam-data")
"""The formats that hold keypoints and open lines, as the prompts that they are."""


@dataclass(frozen=True, eq=False)
class Export:
    """An export that has been checked.

    Attributes:
        target: what is exported.
        options: how.
        name: the format's.
        output: the file or folder.
        provenance: which attributes say what.
    """

    target: Target
    options: ExportOptions
    name: str
    output: Path
    provenance: Provenance

    def run(self) -> Generator[int, None, dict[str, Any]]:
        """Write, and yield the number of images read so far.

        Returns:
            What was written, as the call from Python documents it.

        Raises:
            PluginError: the output cannot be written.
        """
        said_in, targets = self.provenance.said_in, self.target.mask_targets
        reader = LabelReader(said_in, targets, holds_all=self.name in HOLD_ALL)
        failure = ""
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            with TemporaryDirectory(prefix=".export-", dir=self.output.parent) as folder:
                kept = EntryFile(Path(folder) / "entries.jsonl")
                with kept.path.open("w", encoding="utf-8") as lines:
                    for number, entry in enumerate(_entries(self.target, reader), start=1):
                        lines.write(entry_line(entry))
                        failure = failure or entry["error"] or ""
                        yield number
                report = self._write(kept)
        except OSError as error:
            reason = error.strerror or error
            raise PluginError(f"{self.output} cannot be written: {reason}.") from error
        return {
            **asdict(report),
            "root": str(report.root),
            "output": str(self.output),
            "left_out": report.left_out + reader.points + reader.lines + reader.unusable,
            "notes": [*report.notes, *_notes(self.name, reader, failure)],
        }

    def _write(self, entries: EntryFile) -> formats.Report:
        options = self.options
        return formats.write(
            self.name,
            self.output,
            entries,
            self._header(),
            polygons=options.polygons,
            root=None if options.root is None else Path(options.root).expanduser(),
            image_prefix=options.image_prefix,
            copy_images=options.copy_images,
        )

    def _header(self) -> Header:
        dataset, provenance = self.target.dataset, self.provenance
        classes = dataset.classes.get(self.target.field) or dataset.default_classes
        return document_header(
            model=provenance.model or dataset.name,
            language=provenance.language,
            tasks=[task.value for task in Task if task.value in provenance.said_in.texts],
            # Classes that no label has are categories, too; an attribute has a list of its own.
            labels=classes if classes and provenance.said_in.label == "label" else None,
        )


def plan_export(options: ExportOptions, target: Target) -> Export:
    """Check an export before any label is read.

    Raises:
        InputError: it cannot be done; the message says why.
    """
    name, output = options.destination()
    provenance = provenance_of(target, options.language)
    texts = {task.value: named for task in Task if (named := getattr(options, task.value))}
    scores = {"score": options.score} if options.score else provenance.said_in.scores
    there = attributes_of(target.dataset, str(target.field))
    for attribute in (*texts.values(), options.class_attribute, options.score):
        if attribute is not None and attribute not in there:
            raise PluginError(
                f"The labels in {target.field!r} have no attribute {attribute!r}, but "
                f"{', '.join(there)}; dataset.add_dynamic_sample_fields() adds what is missing "
                "in this list."
            )
    said_in = replace(
        provenance.said_in,
        texts={**provenance.said_in.texts, **texts},
        scores=scores,
        label=options.class_attribute or "label",
    )
    return Export(target, options, name, output, replace(provenance, said_in=said_in))


def _entries(target: Target, reader: LabelReader) -> Iterator[ImageEntry]:
    """An entry for each image; successive patches of one image are one entry."""
    for file, shown in groupby(shown_images(target), itemgetter(0)):
        labels = [label for _, label in shown if label is not None]
        try:
            if file is None:
                raise PluginError("a frame of a video has no image of its own")
            # The size of the upright image; metadata may hold that of the stored one.
            size = read_image(file).size
        except InputError as error:
            yield failed_entry(file or "", error)
            continue
        yield {
            "file": file,
            "width": size[0],
            "height": size[1],
            "regions": [region for label in labels for region in reader.regions(label, size)],
            "refusals": [],
            "note": None,
            "error": None,
        }


def _notes(name: str, reader: LabelReader, failure: str) -> Iterator[str]:
    """What was left out before the format was written, in sentences."""
    hold = ", ".join(HOLD_ALL)
    for number, kind in ((reader.points, "keypoints"), (reader.lines, "open polylines")):
        if number:
            yield f"{name} leaves out {number:,} {kind}; {hold} hold them"
    if reader.unusable:
        yield f"{reader.unusable:,} labels have no usable shape, such as {reader.reason}"
    if reader.unwritten:
        named = ", ".join(sorted(reader.unwritten))
        yield f"these attributes are no text, number or list of these, and are left out: {named}"
    if failure:
        yield f"an image that cannot be read: {failure}"
