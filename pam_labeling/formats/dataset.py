"""The annotations of many images, as the writers of all formats read them.

Entries come as a stream and are read more than once: first for what a format must know before it
writes (the labels, the folder that holds all images), then to be written. So the stream is kept in
a file; only names and labels are in memory.
"""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pam_labeling.documents import (
    UNLABELLED,
    EntryFile,
    Header,
    ImageEntry,
    RegionEntry,
    entry_line,
)
from pam_labeling.errors import FormatError
from pam_labeling.files import naming


@dataclass(frozen=True)
class Options:
    """How to write, see `pam_labeling.formats.write`; `name` is that of the whole data set."""

    polygons: bool = False
    image_prefix: str = ""
    copy_images: bool = False
    name: str = ""


_DEFAULT = Options()


@dataclass
class Tally:
    """What a writer counts.

    Attributes:
        images: the images written.
        regions: the regions written.
        left_out: the regions that the format cannot hold.
        holes: the holes that were joined to an outline by a bridge.
        parts: the parts of regions that were joined to another part by a bridge.
        notes: further sentences for the person who exports.
    """

    images: int = 0
    regions: int = 0
    left_out: int = 0
    holes: int = 0
    parts: int = 0
    notes: list[str] = field(default_factory=list)


class Image(NamedTuple):
    """An image that did not fail.

    Attributes:
        name: its path below `Dataset.root`, with "/" between folders.
        stem: the name of its own file in a folder of files, without suffix; no two are equal.
        file: its path as it was given.
        source: the address that it comes from, or None.
        size: `(width, height)` of the upright image in pixels.
        regions: its regions.
    """

    name: str
    stem: str
    file: str
    source: str | None
    size: tuple[int, int]
    regions: list[RegionEntry]


@dataclass(frozen=True)
class Dataset:
    """Annotated images that can be read again and again.

    Attributes:
        header: what a document says about all images.
        entries: the entries as they came, with those that failed.
        root: the folder that the images' names are relative to.
        labels: of the categories, the list of the header first. Regions without a label are
            `UNLABELLED`.
        text_keys: the keys of all texts, and `attribute_keys` those of all attributes.
        failed: how many images failed.
        options: how to write.
    """

    header: Header
    entries: EntryFile
    root: Path
    labels: tuple[str, ...]
    text_keys: tuple[str, ...]
    attribute_keys: tuple[str, ...]
    failed: int
    options: Options
    _places: dict[str, list[int]]  # where the entries of each absolute path are
    _stems: dict[str, str]

    def images(self) -> Iterator[Image]:
        """The images that did not fail; the regions of entries for one image come together."""
        with self.entries.path.open("rb") as lines:
            for path, places in self._places.items():
                entries: list[ImageEntry] = []
                for place in places:
                    lines.seek(place)
                    entries.append(json.loads(lines.readline()))
                first, *others = entries
                width, height = first["width"], first["height"]
                assert width is not None
                assert height is not None
                if any((one["width"], one["height"]) != (width, height) for one in others):
                    raise FormatError(f"the image {first['file']} is there with different sizes")
                yield Image(
                    self.name(path),
                    self._stems[path],
                    first["file"],
                    first.get("source"),
                    (width, height),
                    [region for one in entries for region in one["regions"]],
                )

    @property
    def repeated(self) -> int:
        """How many entries are for an image that another entry is for, too."""
        return sum(len(places) - 1 for places in self._places.values())

    def name(self, file: str) -> str:
        """The name of an image's file below `root`, with "/" between folders."""
        return Path(os.path.relpath(file, self.root)).as_posix()


def label_of(region: RegionEntry) -> str:
    """The region's label, or `UNLABELLED`."""
    return region["label"] or UNLABELLED


@contextmanager
def kept(entries: Iterable[ImageEntry], beside: Path) -> Iterator[EntryFile]:
    """A file with the entries; made beside a destination for this time, unless they are in one.

    Raises:
        OSError: that file cannot be written; the error names the destination.
    """
    if isinstance(entries, EntryFile):
        yield entries
        return
    path = beside.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with naming(beside):
            stream = path.open("w", encoding="utf-8", newline="\n")
        try:
            for entry in entries:  # its errors are not those of the file
                with naming(beside):
                    stream.write(entry_line(entry))
        finally:
            with naming(beside):
                stream.close()
        yield EntryFile(path)
    finally:
        path.unlink(missing_ok=True)


def scan(
    entries: EntryFile, header: Header, options: Options = _DEFAULT, root: Path | None = None
) -> Dataset:
    """Read the entries once for what must be known before they are written.

    Args:
        entries: see `kept`.
        header: what a document says about all images.
        options: how to write.
        root: the folder that names are relative to; None: the deepest that holds all images.

    Raises:
        FormatError: an image is outside `root`, or no folder holds all images.
    """
    places: dict[str, list[int]] = {}
    # A dictionary keeps the order, and holds each name once.
    labels = dict.fromkeys(header["labels"] or ())
    texts: dict[str, None] = {}
    attributes: dict[str, None] = {}
    failed = 0
    for place, entry in entries.placed():
        if entry["error"] is not None:
            failed += 1
            continue
        places.setdefault(os.path.abspath(entry["file"]), []).append(place)  # noqa: PTH100 - links stay
        for region in entry["regions"]:
            labels[label_of(region)] = None
            texts.update(dict.fromkeys(region["texts"]))
            attributes.update(dict.fromkeys(region.get("attributes", ())))
    top = _root(places, root)
    names = {path: Path(os.path.relpath(path, top)).as_posix() for path in places}
    outside = next((path for path, name in names.items() if name.startswith("../")), None)
    if outside is not None:
        raise FormatError(f"the image {outside} is not in the folder {top}")
    return Dataset(
        header,
        entries,
        top,
        tuple(labels),
        tuple(texts),
        tuple(attributes),
        failed,
        options,
        places,
        dict(zip(names, _unique_stems(names.values()), strict=True)),
    )


def _root(paths: Iterable[str], root: Path | None) -> Path:
    if root is not None:
        return Path(os.path.abspath(root))  # noqa: PTH100 - links stay
    folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120 - a text
    try:
        return Path(os.path.commonpath(folders)) if folders else Path.cwd()
    except ValueError as error:  # on two drives of Windows
        raise FormatError("no folder holds all images: they are on several drives") from error


def _unique_stems(names: Iterable[str]) -> list[str]:
    """The names without suffix; where these are equal, but for case, each but the first with it."""
    taken: set[str] = set()
    stems = []
    for name in names:
        plain = str(PurePosixPath(name).with_suffix(""))
        stem, number = plain, 1
        while stem.casefold() in taken:
            stem = name if number == 1 else f"{name}-{number}"
            number += 1
        taken.add(stem.casefold())
        stems.append(stem)
    return stems
