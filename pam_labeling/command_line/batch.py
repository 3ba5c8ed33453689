"""Annotate many image files; each gets an entry of the document, even if it fails."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2

from pam_labeling.annotator import Annotator
from pam_labeling.command_line.overlay import draw_overlay
from pam_labeling.documents import ImageEntry, failed_entry, image_entry
from pam_labeling.media import SUFFIXES, read_image
from pam_labeling.regions import Region
from pam_labeling.request import Request

_LONGEST_STEM = 200  # bytes; most file systems allow 255, and a number and a suffix are added


class OverlayError(OSError):
    """An overlay cannot be drawn or written."""


def image_files(paths: Iterable[Path]) -> list[str]:
    """The files to annotate: named files, and all images in named folders, sorted by name."""
    files: list[str] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            files += sorted(str(file) for file in inside if file.is_file())
        else:
            files.append(str(path))
    return list(dict.fromkeys(files))  # each file once


def annotate_files(
    annotator: Annotator, files: Sequence[str], template: Request, *, overlays: Path | None = None
) -> Generator[tuple[ImageEntry, OverlayError | None], None, None]:
    """Annotate files, and yield an entry for each in their order.

    If a file fails, its entry has the error, and the others go on. Each entry comes with the error
    of its overlay, or None; the annotation is complete even if its overlay fails.

    Args:
        annotator: the annotator that does the work.
        files: paths of image files.
        template: the request for every image; its own image is ignored.
        overlays: the folder to write overlay images to, or None.
    """
    names = {} if overlays is None else overlay_names(files)
    requests = (replace(template, image=file) for file in files)
    with closing(annotator.annotate_many(requests)) as outcomes:
        for file, outcome in zip(files, outcomes, strict=True):
            if outcome.annotation is None:
                assert outcome.error is not None
                yield failed_entry(file, outcome.error), None
                continue
            failure = None
            if overlays is not None:
                failure = _try_overlay(file, overlays / names[file], outcome.annotation.regions)
            yield image_entry(file, outcome.annotation), failure


def overlay_names(files: Iterable[str]) -> dict[str, str]:
    """The file name of each image's overlay: `STEM.overlay.png`, numbered if stems are equal.

    Names that differ only in case count as equal, and long stems are cut.
    """
    names: dict[str, str] = {}
    taken: set[str] = set()
    numbers: dict[str, int] = {}  # the last number of each stem; thousands may be "image.png"
    for file in files:
        # Cut between letters, and drop the bytes that are not UTF-8.
        stem = os.fsencode(Path(file).stem)[:_LONGEST_STEM].decode("utf-8", "ignore")
        # Never the image's own name: overlays may go into the folder of the images.
        name, number = f"{stem}.overlay.png", numbers.get(stem.casefold(), 1)
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}.overlay.png"
        numbers[stem.casefold()] = number
        taken.add(name.casefold())
        names[file] = name
    return names


def _try_overlay(file: str, path: Path, regions: Sequence[Region]) -> OverlayError | None:
    try:
        overlay = draw_overlay(read_image(file).pixels, regions)
        _, content = cv2.imencode(".png", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
        path.write_bytes(content.tobytes())
    except Exception as error:  # noqa: BLE001 - the caller gets it; the annotation is not lost
        return OverlayError(f"cannot write the overlay {path}: {error}")
    return None
