"""Many picture files through an annotator, one entry for each, whatever becomes of it."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pam_labeling.documents import PictureEntry, failed_entry, picture_entry
from pam_labeling.media import SUFFIXES, read_picture
from pam_labeling.overlay import draw_overlay

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from pam_labeling.annotator import Annotator
    from pam_labeling.regions import Region
    from pam_labeling.request import Request


class OverlayError(OSError):
    """An overlay picture that cannot be written."""


def picture_files(paths: Iterable[Path]) -> list[str]:
    """The files to annotate: what is named, and of a folder every picture in it, sorted by name."""
    files: list[str] = []
    for path in paths:
        if path.is_dir():
            inside = (file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
            files += sorted(str(file) for file in inside if file.is_file())
        else:
            files.append(str(path))
    return list(dict.fromkeys(files))


def annotate_files(
    annotator: Annotator, files: Sequence[str], template: Request, *, overlays: Path | None = None
) -> Generator[PictureEntry, None, None]:
    """Annotate files one after the other, and give each one's entry in their order.

    A file that fails has an entry with its error, and the others go on.

    Args:
        annotator: does the work.
        files: paths of picture files.
        template: the request for every picture; its own picture is not looked at.
        overlays: the folder to write overlay pictures to, or None.

    Raises:
        OverlayError: an overlay cannot be written.
    """
    names = overlay_names(files)
    requests = (replace(template, picture=file) for file in files)
    with closing(annotator.annotate_many(requests)) as outcomes:
        for file, outcome in zip(files, outcomes, strict=True):
            if outcome.annotation is None:
                assert outcome.error is not None
                yield failed_entry(file, outcome.error)
                continue
            if overlays is not None:
                _write_overlay(file, overlays / names[file], outcome.annotation.regions)
            yield picture_entry(file, outcome.annotation)


def overlay_names(files: Iterable[str]) -> dict[str, str]:
    """The overlay of each picture: `STEM.overlay.png`, numbered where stems are equal."""
    names: dict[str, str] = {}
    for file in files:
        stem = Path(file).stem
        # Never the picture's own name: the overlays' folder may be the pictures'.
        name, number = f"{stem}.overlay.png", 1
        while name in names.values():
            number += 1
            name = f"{stem}-{number}.overlay.png"
        names[file] = name
    return names


def _write_overlay(file: str, path: Path, regions: Sequence[Region]) -> None:
    overlay = draw_overlay(read_picture(file).pixels, regions)
    _, content = cv2.imencode(".png", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
    try:
        path.write_bytes(content.tobytes())
    except OSError as error:
        raise OverlayError(f"cannot write the overlay {path}: {error}") from error
