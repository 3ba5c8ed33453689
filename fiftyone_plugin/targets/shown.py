"""Read the images and labels that a target's collection shows, as it shows them.

Runs read labels from the dataset, because they write there. An export is of the view: what it
filters, renames or hides counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .views import GENERATED

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .target import Target


def shown_images(target: Target) -> Iterator[tuple[str | None, Any]]:
    """The path of each image of a target and its label, also where that is None, one by one.

    Successive patches of one image have its path several times.
    """
    name = str(target.field).removeprefix("frames.")
    if _has_frames(target):
        view = target.collection.select_fields([f"frames.{name}", "frames.filepath"])
        for video in view.iter_samples():
            for frame in video.frames.values():
                yield frame.filepath, frame[name]
        return
    for sample in target.collection.select_fields(name).iter_samples():
        yield sample.filepath, sample[name]


def count_shown(target: Target) -> int:
    """The number of paths that `shown_images` yields."""
    return int(target.collection.count("frames" if _has_frames(target) else None))


def _has_frames(target: Target) -> bool:
    """Whether the images are frames of the videos that the collection shows."""
    return target.frames and not isinstance(target.collection, GENERATED)
