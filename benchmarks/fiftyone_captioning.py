"""Measure memory while FiftyOne captions a dataset: `python benchmarks/fiftyone_captioning.py`.

`caption_regions` runs with nano on small images of one region each, and asks for one brief caption.
A few files are used again and again; each is read and encoded every time, so memory is that of many
different files. The memory of this process is measured after several parts of the run: if it grew
with the dataset, the last number would show it.

This needs FiftyOne's database: set FIFTYONE_DATABASE_URI, or let FiftyOne start its own.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import psutil
from PIL import Image
from rich.console import Console
from rich.table import Table

from fiftyone_plugin.models import POOL
from fiftyone_plugin.operators.model_operator import collection_target
from fiftyone_plugin.operators.options import CaptionOptions
from fiftyone_plugin.operators.plans import plan_captions
from fiftyone_plugin.runs.undo import undo_run
from pam_model.nano.world import HELD_OUT_SEED, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterator

FIELD = "ground_truth"
FILES = 16
SHARES = (0.02, 0.1, 0.25, 0.5, 0.75, 1.0)


def make_dataset(folder: Path, samples: int, side: int) -> Any:
    """A dataset of nano's scenes, `side` pixels wide, each with the box of one object."""
    dataset = fo.Dataset()
    for number in range(min(FILES, samples)):
        scene = render_scene(HELD_OUT_SEED + number)
        height, width = scene.image.shape[:2]
        x1, y1, x2, y2 = scene.objects[0].box
        box = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        path = folder / f"{number}.png"
        Image.fromarray(scene.image).resize((side, round(side * height / width))).save(path)
        labels = fo.Detections(detections=[fo.Detection(label="thing", bounding_box=box)])
        dataset.add_sample(fo.Sample(filepath=str(path), **{FIELD: labels}))
    while len(dataset) < samples:  # the database copies them, so this process holds no samples
        more = min(len(dataset), samples - len(dataset))
        dataset.add_collection(dataset.limit(more), new_ids=True)
    return dataset


def memory(dataset: Any) -> Iterator[tuple[str, float, float]]:
    """Yield the share of the run, the process's MiB, and the seconds since the first image."""
    options = CaptionOptions(field=FIELD, model="nano")
    steps = plan_captions(options, collection_target(dataset, options)).run()
    waiting = list(SHARES)
    start, key = 0.0, ""
    for step in steps:
        if step.key and not key:
            start, key = time.perf_counter(), step.key
            yield "begun", _held(), 0.0
        if key and waiting and step.done >= waiting[0] * step.total:
            yield f"{waiting.pop(0):.0%}", _held(), time.perf_counter() - start
    undo_run(dataset, key)
    yield "undone", _held(), time.perf_counter() - start


def _held() -> float:
    gc.collect()
    return float(psutil.Process().memory_info().rss) / 2**20


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--side", type=int, default=128, help="side of the images, in pixels")
    parser.add_argument("--json", type=Path, default=None, help="write the numbers here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        dataset = make_dataset(Path(folder), options.samples, options.side)
        title = f"captioning {options.samples:,} images of one region, {FILES} different files"
        table = Table("of the run", "MiB", "seconds", title=title)
        found = []
        for share, mebibytes, seconds in memory(dataset):
            found.append((share, mebibytes, seconds))
            table.add_row(share, f"{mebibytes:.0f}", f"{seconds:.0f}")
        dataset.delete()
    POOL.close()
    Console(width=110).print(table)
    if options.json:
        options.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
