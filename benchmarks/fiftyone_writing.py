"""Measure how long a run writes in FiftyOne, without a model: `benchmarks/fiftyone_writing.py`.

The same attributes are set on the same regions, in turns by FiftyOne's plain `set_label_values`
and by a run, which keeps the old values for undo, writes in chunks and keeps its record. Then the
memory of one process is measured while a run writes to more and more samples.

This needs FiftyOne's database: set FIFTYONE_DATABASE_URI, or let FiftyOne start its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FIELD = "ground_truth"
CAPTION = "a large red circle with a thin black border, left of two small blue squares"
_PAGE = 200  # samples
MASK = np.pad(np.ones((40, 40), dtype=bool), 12)
Regions = list[tuple[str, list[str]]]  # each sample's id, and the ids of its regions


def make_dataset(samples: int, regions: int) -> Any:
    """A dataset of boxes without image files, which are never read."""
    dataset = fo.Dataset()
    box = [0.25, 0.25, 0.5, 0.5]
    labels = [fo.Detection(label="thing", bounding_box=box) for _ in range(regions)]
    first = fo.Sample(filepath="/nowhere.png", **{FIELD: fo.Detections(detections=labels)})
    dataset.add_sample(first)
    while len(dataset) < samples:  # the database copies them, so this process holds no samples
        more = min(len(dataset), samples - len(dataset))
        dataset.add_collection(dataset.limit(more), new_ids=True)
    return dataset


def regions_of(dataset: Any) -> Regions:
    """The regions' ids by sample."""
    return list(zip(*dataset.values(["id", f"{FIELD}.detections.id"]), strict=True))


def bare(dataset: Any, regions: Regions, attribute: str, value: Any) -> None:
    """Set all values at once, as a script would."""
    dataset.set_label_values(
        f"{FIELD}.detections.{attribute}",
        [
            {"sample_id": sample, "label_id": label, "value": value}
            for sample, labels in regions
            for label in labels
        ],
    )


def run(dataset: Any, regions: Regions, attribute: str, value: Any) -> str:
    """Write as an operator does; return the run's key."""
    attributes = [Attribute(attribute, "text", "What the region is.")]
    with RunWriter(dataset, FIELD, operator="benchmark", attributes=attributes) as writer:
        for sample, labels in regions:
            writer.write(sample, {label: {attribute: value} for label in labels})
    return writer.record.key


def compare(samples: int, regions_each: int, repeats: int) -> dict[str, list[float]]:
    """The median seconds of each way to write, measured in turns on clones of one dataset."""
    cases: dict[str, tuple[str, list[Any]]] = {
        "captions, new": ("caption", [CAPTION]),
        "captions, over old ones": ("caption", [CAPTION, CAPTION + "."]),
        "masks of 64 pixels": ("mask", [MASK]),
    }
    base = make_dataset(samples, regions_each)
    seconds: dict[str, list[float]] = {}
    for name, (attribute, values) in cases.items():
        turns = [_turn(base, attribute, values) for _ in range(repeats + 1)]
        seconds[name] = [statistics.median(column) for column in zip(*turns[1:], strict=True)]
    base.delete()
    return seconds


def _turn(base: Any, attribute: str, values: list[Any]) -> tuple[float, float, float]:
    """The seconds of `set_label_values`, of a run, and of undoing the run."""
    theirs, ours = base.clone(), base.clone()
    for dataset in (theirs, ours):
        if attribute != "mask":
            path = f"{FIELD}.detections.{attribute}"
            dataset.add_sample_field(path, fo.StringField)
        for value in values[:-1]:
            bare(dataset, regions_of(dataset), attribute, value)
    left, right = regions_of(theirs), regions_of(ours)
    without, _ = _timed(lambda: bare(theirs, left, attribute, values[-1]))
    with_undo, key = _timed(lambda: run(ours, right, attribute, values[-1]))
    undo, _ = _timed(lambda: undo_run(ours, str(key)))
    for dataset in (theirs, ours):
        dataset.delete()
    return without, with_undo, undo


def _timed(call: Callable[[], object]) -> tuple[float, object]:
    gc.collect()
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def memory(samples: int, regions_each: int, points: int) -> Iterator[tuple[str, float]]:
    """Yield the process's MiB while a run writes to more and more samples."""
    dataset = make_dataset(samples, regions_each)
    process = psutil.Process()
    attributes = [Attribute("caption", "text", "What the region is.")]
    path = f"{FIELD}.detections.id"
    with RunWriter(dataset, FIELD, operator="benchmark", attributes=attributes) as writer:
        yield "none", _held(process)
        for start in range(0, samples, _PAGE):
            page = dataset[start : start + _PAGE].values(["id", path])
            for sample, labels in zip(*page, strict=True):
                writer.write(sample, {label: {"caption": CAPTION} for label in labels})
            written = min(start + _PAGE, samples)
            if written * points // samples > start * points // samples:
                yield f"{written:,}", _held(process)
    undo_run(dataset, writer.record.key)
    yield "all undone", _held(process)
    dataset.delete()


def _held(process: psutil.Process) -> float:
    gc.collect()
    return float(process.memory_info().rss) / 2**20


def main() -> None:
    """Measure, print two tables, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--regions", type=int, default=10, help="regions of each sample")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-samples", type=int, default=10_000)
    parser.add_argument("--json", type=Path, default=None, help="write the numbers here")
    options = parser.parse_args()
    seconds = compare(options.samples, options.regions, options.repeats)
    console = Console(width=110)
    title = f"{options.samples * options.regions:,} regions of {options.samples:,} samples"
    table = Table("what", "set_label_values, s", "a run, s", "times", "its undo, s", title=title)
    for name, (without, with_undo, undo) in seconds.items():
        table.add_row(
            name,
            f"{without:.2f}",
            f"{with_undo:.2f}",
            f"{with_undo / without:.2f}",
            f"{undo:.2f}",
        )
    console.print(table)
    held = list(memory(options.memory_samples, options.regions, points=5))
    table = Table("samples written", "MiB", title="memory of the process")
    for written, mebibytes in held:
        table.add_row(written, f"{mebibytes:.0f}")
    console.print(table)
    if options.json:
        numbers = {"seconds": seconds, "memory": held}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
