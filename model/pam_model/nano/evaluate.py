"""Measure nano: `python -m pam_model.nano.evaluate [--scenes 500] [--device cpu] [--json FILE]`.

It asks about one or two objects of each held-out scene of the drawn world, and about up to three
objects of each flat image drawn with Pillow. It leaves out objects of which less than half is
visible. Masks are compared with the visible part of the object, in the image's own pixels. A
caption is right only if it states every fact that it should, and nothing false.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table

from pam_model.nano import measure
from pam_model.nano.known import KnownImage, known_flat_image, known_scene
from pam_model.nano.measure import GroupReport, Measure
from pam_model.nano.world import HELD_OUT_SEED
from pam_model.pam import PAM


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(
        prog="python -m pam_model.nano.evaluate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--checkpoint", default="nano", help="a name or folder, as for PAM.from_pretrained")
    add("--scenes", type=_count, default=500, help="number of scenes (default: 500)")
    add("--flat", type=_count, default=200, help="number of flat images (default: 200)")
    add("--device", help="cpu, cuda or mps (default: the fastest there is)")
    add("--by-shape", action="store_true", help="also print the mistakes by shape and circumstance")
    add("--json", type=Path, help="write all numbers to this file")
    options = parser.parse_args(arguments)
    console, progress = Console(), Console(stderr=True)
    pam = PAM.from_pretrained(options.checkpoint, device=options.device)
    began = time.monotonic()

    def images(draw: Callable[[int], KnownImage], count: int, what: str) -> Iterable[KnownImage]:
        seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + count)
        return (draw(seed) for seed in track(seeds, what, console=progress))

    scenes = measure.ask(pam, images(known_scene, options.scenes, "scenes"))
    flat = measure.ask(
        pam, images(known_flat_image, options.flat, "flat images"), measure.FLAT_QUESTIONS
    )
    seconds = time.monotonic() - began
    measures = [*measure.scene_measures(scenes), *measure.flat_measures(flat)]
    title = f"{pam.name} on {pam.device}: {options.scenes} scenes, {options.flat} flat images"
    console.print(_table(f"{title}, {seconds:.0f} s", measures))
    groups = {
        "Scenes, by shape": measure.by_shape(scenes),
        "Scenes, by circumstance": measure.by_circumstance(scenes),
        "Flat images, by shape": measure.by_shape(flat),
    }
    facts = measure.by_fact(scenes)
    if options.by_shape:
        for heading, reports in groups.items():
            console.print(_group_table(heading, reports))
        console.print(_table("Facts that detailed captions state", facts))
    if options.json is not None:
        report = {
            "checkpoint": pam.name,
            "device": str(pam.device),
            "scenes": options.scenes,
            "flat_images": options.flat,
            "seconds": round(seconds, 1),
            "measures": _document(measures),
            "facts": _document(facts),
            "groups": {heading: _document(reports) for heading, reports in groups.items()},
        }
        options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, not {text}")
    return value


def _table(title: str, measures: Sequence[Measure]) -> Table:
    table = _empty_table(title, "measure", "value", "aim", "objects")
    for row in measures:
        value, aim = _number(row.name, row.value), ""
        if row.aim is not None:
            aim = _number(row.name, row.aim)
            value = f"[{'green' if row.value >= row.aim else 'red'}]{value}[/]"
        table.add_row(row.name, value, aim, str(row.objects))
    return table


def _group_table(title: str, reports: Sequence[GroupReport]) -> Table:
    table = _empty_table(title, "objects that are", "objects", "box IoU", "click IoU", "label (en)")
    table.add_column("taken for")
    for row in reports:
        most = islice(row.taken_for.items(), 5)
        table.add_row(
            row.group,
            str(row.objects),
            _number("IoU", row.box_iou),
            _number("IoU", row.click_iou),
            _number("label", row.label_right),
            ", ".join(f"{escape(repr(name[:24]))} {count}" for name, count in most),
        )
    return table


def _empty_table(title: str, first: str, *numbers: str) -> Table:
    columns = (Column(heading, justify="right") for heading in numbers)
    return Table(first, *columns, title=title, title_justify="left")


def _number(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.3f}" if name.endswith("IoU") else f"{100 * value:.1f} %"


def _document(rows: Sequence[Measure | GroupReport]) -> list[dict[str, object]]:
    """Rows for JSON, which has no NaN: a mean over no objects is null."""
    return [{name: _rounded(value) for name, value in row._asdict().items()} for row in rows]


def _rounded(value: object) -> object:
    if not isinstance(value, float):
        return value
    return None if math.isnan(value) else round(value, 4)


if __name__ == "__main__":
    main()
