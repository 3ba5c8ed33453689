"""Write annotated images in the formats of other programs.

`write` takes a stream of entries (see `pam_labeling.documents`) and writes a file or a folder,
completely or not at all. `docs/formats.md` says what each format keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from pam_labeling.documents import Header, ImageEntry
from pam_labeling.errors import FormatError
from pam_labeling.files import whole_file, whole_folder
from pam_labeling.formats.coco import write_coco
from pam_labeling.formats.dataset import Dataset, Options, Tally, kept, scan
from pam_labeling.formats.mask_images import write_masks
from pam_labeling.formats.own import write_document
from pam_labeling.formats.pam_data import read_pam_data, write_pam_data
from pam_labeling.formats.tables import import_pyarrow, write_csv, write_parquet
from pam_labeling.formats.tasks import write_tasks
from pam_labeling.formats.voc import write_voc
from pam_labeling.formats.yolo import write_boxes, write_segments

__all__ = [
    "FORMATS",
    "Format",
    "FormatError",
    "Report",
    "check_destination",
    "format_of",
    "read_pam_data",
    "write",
]


class Format(NamedTuple):
    """A format.

    Attributes:
        ending: how names of its files or folders end.
        is_folder: whether it is a folder.
        writer: the function that writes it.
        holds: the regions that it can hold, in words; "" if it holds all.
    """

    ending: str
    is_folder: bool
    writer: Callable[[Dataset, Path, Tally], None]
    holds: str = ""


FORMATS = {
    "coco": Format(".coco.json", False, write_coco),
    "label-studio": Format(".label-studio.json", False, write_tasks),
    "json": Format(".json", False, write_document),
    "parquet": Format(".parquet", False, write_parquet),
    "csv": Format(".csv", False, write_csv),
    "yolo-seg": Format(".yolo-seg", True, write_segments, "masks and outlines"),
    "yolo-box": Format(".yolo-box", True, write_boxes),
    "voc": Format(".voc", True, write_voc),
    "masks": Format(".masks", True, write_masks, "masks and outlines"),
    "pam-data": Format(".pam-data", True, write_pam_data, "regions with a label or a text"),
}
"""The formats by name; `format_of` takes the first whose ending a name has."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        images: the images written.
        failed: the images that had failed before.
        regions: the regions written.
        left_out: the regions that the format cannot hold.
        holes: the holes that were joined to an outline by a bridge.
        parts: the parts of regions that were joined to another part by a bridge.
        root: the folder that the names of images are relative to.
        notes: what the person who exports must know, in sentences.
    """

    images: int
    failed: int
    regions: int
    left_out: int
    holes: int
    parts: int
    root: Path
    notes: tuple[str, ...]


def format_of(path: Path) -> str:
    """The name of the format that a file's or folder's name ends with.

    Raises:
        FormatError: no format has this ending; the message lists the endings.
    """
    name = path.name.lower()
    for format_name, format_ in FORMATS.items():
        if name.endswith(format_.ending):
            return format_name
    endings = ", ".join(format_.ending for format_ in FORMATS.values())
    raise FormatError(f"the name must end with one of {endings}, not {path.name!r}")


def check_destination(name: str, destination: Path) -> None:
    """Check, before any work, what can be known of a destination.

    Raises:
        FormatError: the format is unknown or lacks a package, or the destination is in the way.
    """
    if name not in FORMATS:
        raise FormatError(f"the format must be one of {', '.join(FORMATS)}, not {name!r}")
    if name == "parquet":
        import_pyarrow()
    if not FORMATS[name].is_folder:
        if destination.is_dir():
            raise FormatError(f"{destination} is a folder: name a file in it")
    elif destination.exists() and not destination.is_dir():
        raise FormatError(f"{destination} is a file, but {name} is a folder: name another")
    elif destination.is_dir() and any(destination.iterdir()):
        raise FormatError(f"the folder {destination} is not empty: name another, or empty it")


def write(
    name: str,
    destination: Path,
    entries: Iterable[ImageEntry],
    header: Header,
    *,
    polygons: bool = False,
    root: Path | None = None,
    image_prefix: str = "",
    copy_images: bool = False,
) -> Report:
    """Write annotated images in a format, completely or not at all.

    Args:
        name: of the format, see `FORMATS`.
        destination: the file or folder. An older file is replaced; a folder must be new or empty.
        entries: the images. They are read once, and never in memory together; an `EntryFile` is
            read where it is.
        header: what a document says about all images, see `document_header`.
        polygons: write masks as outlines (coco, label-studio). Holes are bridged in coco.
        root: the folder that images' names are relative to; None: the deepest that holds them all.
        image_prefix: what stands before the names in Label Studio's tasks, such as
            "/data/local-files/?d=".
        copy_images: copy the images into the folder `images` (yolo-seg, yolo-box).

    Raises:
        FormatError: see `check_destination`; or an image is outside `root`.
        OSError: it cannot be written; the error names the destination.
    """
    check_destination(name, destination)
    format_ = FORMATS[name]
    # A folder without an ending is called by its whole name.
    stem = destination.name.removesuffix(format_.ending) or destination.name
    options = Options(polygons, image_prefix, copy_images, stem)
    tally = Tally()
    whole = whole_folder if format_.is_folder else whole_file
    with kept(entries, destination) as file:
        data = scan(file, header, options, root)
        with whole(destination) as partial:
            format_.writer(data, partial, tally)
    return Report(
        tally.images,
        data.failed,
        tally.regions,
        tally.left_out,
        tally.holes,
        tally.parts,
        data.root,
        _notes(name, data, tally),
    )


def _notes(name: str, data: Dataset, tally: Tally) -> tuple[str, ...]:
    """What was left out or changed, in sentences."""
    notes = list(tally.notes)
    # The others have an entry for an entry.
    by_image = name not in ("json", "csv", "parquet")
    if data.repeated and by_image:
        notes.insert(0, f"{_counted(data.repeated, 'image')} there again: all regions are in one")
    if data.failed and by_image:
        notes.insert(0, f"{name} leaves out {_counted(data.failed, 'failed image')}")
    if tally.left_out:
        left_out = _counted(tally.left_out, "region")
        notes.append(f"{name} leaves out {left_out}: it holds only {FORMATS[name].holds}")
    if tally.holes:
        notes.append(f"{_counted(tally.holes, 'hole')} bridged: an outline here has no holes")
    if tally.parts:
        parts = _counted(tally.parts, "part")
        notes.append(f"{parts} bridged to the rest of their region: a region here has one outline")
    return tuple(notes)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
