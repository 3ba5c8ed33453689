"""Annotate many image files; each gets an entry of the document, even if it fails."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from pam_labeling.command_line.image_paths import OVERLAY_END
from pam_labeling.command_line.journal import Source
from pam_labeling.command_line.overlay import draw_overlay
from pam_labeling.documents import ImageEntry, failed_entry, image_entry
from pam_labeling.errors import ImageError
from pam_labeling.files import whole_file
from pam_labeling.regions import Region
from pam_labeling.request import LazyRequest, Request

if TYPE_CHECKING:
    from pam_labeling.annotator import Annotator  # loads torch

_LONGEST_STEM = 200  # bytes; most file systems allow 255, and a number and a suffix are added


class OverlayError(OSError):
    """An overlay cannot be drawn or written."""


@dataclass(frozen=True)
class Done:
    """An image or page that was annotated or failed.

    Attributes:
        source: where it comes from, with the name of the overlay that was written.
        entry: its entry of the document.
        overlay_error: why there is no overlay; the annotation is complete even so.
    """

    source: Source
    entry: ImageEntry
    overlay_error: OverlayError | None = None


class OverlayNames:
    """Names the overlays: `STEM.overlay.png`, numbered where stems are equal.

    Names that differ only in case count as equal, and long stems are cut.

    Args:
        taken: names that are not free.
    """

    def __init__(self, taken: Iterable[str] = ()) -> None:
        self._taken = {name.casefold() for name in taken}
        self._numbers: dict[str, int] = {}  # the last of each stem; thousands may be "image.png"

    def name(self, path: str, page: int | None = None) -> str:
        """A name for the overlay of an image or page; a new one for each call."""
        # Cut between letters, and drop the bytes that are not UTF-8.
        stem = os.fsencode(Path(path).stem)[:_LONGEST_STEM].decode("utf-8", "ignore")
        if page is not None:
            stem += f".page-{page}"
        # Never the image's own name: overlays may go into the folder of the images.
        name, number = f"{stem}{OVERLAY_END}", self._numbers.get(stem.casefold(), 1)
        while name.casefold() in self._taken:
            number += 1
            name = f"{stem}-{number}{OVERLAY_END}"
        self._numbers[stem.casefold()] = number
        self._taken.add(name.casefold())
        return name


def annotate_files(
    annotator: Annotator,
    sources: Iterable[Source],
    template: Request,
    *,
    overlays: Path | None = None,
    names: OverlayNames | None = None,
    unread: Mapping[str, str] | None = None,
) -> Generator[Done, None, None]:
    """Annotate image files and pages, and yield each as it is done, in their order.

    If one fails, its entry has the error, and the others go on.

    Args:
        annotator: the annotator that does the work.
        sources: the files and pages; they are consumed as the work goes on.
        template: the request for every image; its own image is ignored.
        overlays: the folder to write overlay images to, or None.
        names: names the overlays.
        unread: paths that fail, and why: folders that could not be listed.
    """
    names, unread = names or OverlayNames(), unread or {}
    requests = (
        _request(annotator, source, template, unread.get(source.path)) for source in sources
    )
    with closing(annotator.annotate_many(requests)) as outcomes:
        for outcome in outcomes:
            source: Source = outcome.key
            if outcome.annotation is None:
                assert outcome.error is not None
                failed = failed_entry(source.path, outcome.error)
                yield Done(source, {**failed, "page": source.page})
                continue
            entry: ImageEntry = {
                **image_entry(source.path, outcome.annotation),
                "page": source.page,
            }
            if overlays is None:
                yield Done(source, entry)
                continue
            name = names.name(source.path, source.page)
            error = _try_overlay(annotator, source, overlays / name, outcome.annotation.regions)
            yield Done(replace(source, overlay="" if error else name), entry, error)


def _request(
    annotator: Annotator, source: Source, template: Request, fault: str | None
) -> Request | LazyRequest:
    if fault is not None:
        return LazyRequest(source, partial(_refuse, f"{source.path}: {fault}"))
    if source.page is None:
        return replace(template, image=source.path, key=source)
    return LazyRequest(source, partial(_read_page, annotator, source, template))


def _refuse(message: str) -> Request:
    raise ImageError(message)


def _read_page(annotator: Annotator, source: Source, template: Request) -> Request:
    """The request for a page; a thread that reads images calls this."""
    return replace(template, image=annotator.read(source.path, page=source.page), key=source)


def _try_overlay(
    annotator: Annotator, source: Source, path: Path, regions: Sequence[Region]
) -> OverlayError | None:
    try:
        overlay = draw_overlay(annotator.read(source.path, page=source.page).pixels, regions)
        _, content = cv2.imencode(".png", cv2.cvtColor(overlay, cv2.COLOR_RGB2BGR))
        with whole_file(path) as file:
            file.write_bytes(content.tobytes())
    except Exception as error:  # noqa: BLE001 - the caller gets it; the annotation is not lost
        reason = getattr(error, "strerror", None) or error  # without the name again
        return OverlayError(f"cannot write the overlay {path}: {reason}")
    return None
