"""Write the folders of YOLO: `data.yaml`, and a text file of labels for each image.

`classes.txt` has the labels again, for older programs.

A line of `labels/NAME.txt` is a region: the number of its class, then for boxes the centre and the
size, for segments an outline, as shares of the image's width and height. Words and scores, which
have no place there, are in `regions.csv`, in the order of the lines.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from pam_labeling.documents import RegionEntry
from pam_labeling.formats.dataset import Dataset, Image, Tally, label_of
from pam_labeling.formats.shapes import joined, mask_of, outlines
from pam_labeling.formats.tables import RegionTable


def write_boxes(data: Dataset, path: Path, tally: Tally) -> None:
    """Write labels for detection."""
    _write(data, path, tally, segments=False)


def write_segments(data: Dataset, path: Path, tally: Tally) -> None:
    """Write labels for segmentation: one outline for a region, without holes."""
    _write(data, path, tally, segments=True)


def _write(data: Dataset, path: Path, tally: Tally, *, segments: bool) -> None:
    numbers = {label: number for number, label in enumerate(data.labels)}
    (path / "data.yaml").write_text(_data_yaml(data.labels), encoding="utf-8")
    classes = "".join(" ".join(label.split()) + "\n" for label in data.labels)
    (path / "classes.txt").write_text(classes, encoding="utf-8")
    renamed = 0
    with RegionTable(path / "regions.csv", data, ("labels", "line")) as table:
        for image in data.images():
            tally.images += 1
            file = f"labels/{image.stem}.txt"
            lines = []
            for region in image.regions:
                values = _segment(image, region, tally) if segments else _box(image, region)
                if values is None:
                    tally.left_out += 1
                    table.add(image, region)
                    continue
                tally.regions += 1
                numbers_written = (f"{value:.7f}" for value in values)
                lines.append(" ".join([str(numbers[label_of(region)]), *numbers_written]) + "\n")
                table.add(image, region, labels=file, line=len(lines))
            target = path / file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text("".join(lines), encoding="utf-8")
            renamed += image.stem != Path(image.name).with_suffix("").as_posix()
            if data.options.copy_images:
                copy = path / "images" / (image.stem + Path(image.name).suffix)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(image.file, copy)
    if renamed:
        tally.notes.append(
            f"{renamed} {'image has' if renamed == 1 else 'images have'} the name of another but "
            "for its ending, which YOLO does not look at: see the labels with a full name, such as "
            "a.jpg.txt"
        )


def _data_yaml(labels: Sequence[str]) -> str:
    names = "".join(f"  {number}: {_quoted(label)}\n" for number, label in enumerate(labels))
    # Without `path`, the folders are looked for beside this file.
    return f"train: images\nval: images\nnc: {len(labels)}\nnames:{_mapping(names)}"


def _mapping(lines: str) -> str:
    return f"\n{lines}" if lines else " {}\n"


def _quoted(text: str) -> str:
    """A text in YAML's double quotes, which are JSON's, with all that cannot be printed escaped."""
    inside = json.dumps(text, ensure_ascii=False)
    return "".join(
        character if character.isprintable() else f"\\U{ord(character):08x}" for character in inside
    )


def _box(image: Image, region: RegionEntry) -> Iterable[float]:
    (x1, y1, x2, y2), (width, height) = region["box"], image.size
    return (
        (x1 + x2) / 2 / width,
        (y1 + y2) / 2 / height,
        (x2 - x1) / width,
        (y2 - y1) / height,
    )


def _segment(image: Image, region: RegionEntry, tally: Tally) -> Iterable[float] | None:
    """The outline of a region; None if it is only a box."""
    polygons = region.get("polygons", [])
    if region["mask"] is None and len(polygons) == 1:
        points = [number for point in polygons[0] for number in point]
    else:
        mask = mask_of(region, image.size)
        if mask is None or not mask.any():
            return None
        found = joined(outlines(mask))
        tally.holes += found.holes
        tally.parts += found.joined
        points = found.through_pixels[0].ravel().tolist()
        # A region of one pixel has four corners, so no outline has fewer than three.
    return [point / image.size[index % 2] for index, point in enumerate(points)]
