"""The kinds of datasets and views, and their fields with regions.

Views of patches and frames are generated: their samples are copies, and runs write to the dataset
that they were copied from. A grouped collection shows one slice at a time.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import fiftyone as fo
from fiftyone.core.patches import EvaluationPatchesView, PatchesView
from fiftyone.core.video import FramesView

from ..errors import PluginError
from ..labels.regions import LABEL_TYPES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Slices: TypeAlias = "Sequence[str] | Literal['all'] | None"

PATCHES = (PatchesView, EvaluationPatchesView)
GENERATED = (*PATCHES, FramesView)
"""Views whose samples are copies."""


def label_fields(collection: Any) -> dict[str, type[Any]]:
    """The fields of a collection with regions, and their types.

    Fields inside other fields are left out: nothing is written there.
    """
    schemas = [("", collection.get_field_schema(flat=True))]
    if collection._contains_videos(any_slice=True):
        schemas.append(("frames.", collection.get_frame_field_schema(flat=True)))
    return {
        prefix + name: kind
        for prefix, schema in schemas
        for name, value in schema.items()
        if (kind := getattr(value, "document_type", None)) in LABEL_TYPES
        and not _is_inside(prefix + name)
    }


def flat(collection: Any, field: str | None, slices: Slices) -> Any:
    """Turn a grouped collection into one of some slices' samples; leave any other as it is.

    Args:
        collection: a dataset or a view.
        field: the field whose filters of labels apply to all slices, or None. For a field of frames
            ("frames.…") the slices are those with videos, else those with images.
        slices: names, "all" of them, or None: the collection as it is.

    Raises:
        PluginError: a slice does not exist, or has no images.
    """
    if collection.media_type != "group":
        return collection
    # Such a view hides samples, which a run would not reach.
    if collection._is_dynamic_groups:
        raise PluginError(
            "this view shows one sample of each dynamic group: choose the view without group_by, "
            "or group_by(..., flat=True)"
        )
    kinds: Mapping[str, str] = collection._root_dataset.group_media_types
    wanted, content = ("image", "images")
    if field is not None and field.startswith("frames."):
        wanted, content = ("video", "videos")
    # Slices of point clouds and the like are not images.
    fitting = [name for name, kind in kinds.items() if kind == wanted]
    if slices is None:
        shown = collection.group_slice
        if kinds.get(shown, wanted) != wanted:
            advice = "no slice has any"
            if fitting:
                advice = f"choose another, dataset.group_slice = {fitting[0]!r}, or all slices"
            raise PluginError(
                f"the slice {shown!r} must have {content}, not {kinds[shown]}: {advice}"
            )
        return collection
    chosen = fitting if slices == "all" else list(slices)
    unknown = [name for name in chosen if name not in fitting]
    if unknown or not chosen:
        raise PluginError(
            f"slices must name slices with {content} ({listed(fitting) or 'there are none'}), "
            f"not {listed(unknown) or 'nothing'}"
        )
    flattened = collection.select_group_slices(chosen)
    if field is not None and isinstance(collection, fo.DatasetView):
        # Selecting the other slices drops the filters of labels, so we add them again.
        for stage in collection._stages:
            if any(path.startswith(field) for path in stage.get_filtered_fields(collection) or ()):
                flattened = flattened.add_stage(stage)
    return flattened


def in_all_slices(collection: Any, *, frames: bool) -> Any:
    """The images or videos of a collection, from all slices if it is grouped."""
    if collection.media_type != "group":
        return collection.view()
    return collection.select_group_slices(media_type="video" if frames else "image")


def root_field(collection: Any, dataset: Any, field: str | None) -> str | None:
    """The name of a collection's label field in the root dataset.

    Raises:
        PluginError: the field does not exist or has no regions; the message names those that do.
    """
    if field is None:
        return None
    if label_type(collection, field) not in LABEL_TYPES:
        raise PluginError(_no_regions(field, label_fields(collection)))
    if _is_inside(field):
        frames, outer = ("frames.", "frame") if field.startswith("frames.") else ("", "sample")
        inner = field.removeprefix(frames)
        copy = inner.rpartition(".")[2]
        raise PluginError(
            f"{field!r} is inside another field, where nothing can be written yet: copy it to a "
            f"field of its own with dataset.clone_{outer}_field({inner!r}, {copy!r})"
        )
    # The copies name the field without "frames.", their source with it.
    if isinstance(collection, GENERATED) and (
        collection._is_frames or getattr(collection._dataset, "_is_frames", False)
    ):
        field = f"frames.{field}"
    if label_type(dataset, field) not in LABEL_TYPES:
        raise PluginError(f"{field!r} is not in the view's dataset {dataset.name!r}")
    return field


def _no_regions(field: str, there: Mapping[str, Any]) -> str:
    """The message that a field has no regions, with the field that was probably meant."""
    if not there:
        return f"{field!r} is not a field with regions; this dataset or view has none."
    holders = (name for name in there if field.startswith(f"{name}."))
    hints = [
        *(f" Give {name!r}, without the part inside it." for name in holders),
        *(f" Did you mean {name!r}?" for name in get_close_matches(field, there, n=1)),
        "",
    ]
    return f"{field!r} is not a field with regions; use one of {listed(there)}.{hints[0]}"


def check_media(collection: Any, field: str | None) -> None:
    """Refuse a collection without images.

    Raises:
        PluginError: it has videos, frames without images, or another medium.
    """
    shown = collection.media_type
    if shown == "group":
        shown = collection._root_dataset.group_media_types.get(collection.group_slice, "image")
    # A patch or a frame is an image, whatever its source.
    if isinstance(collection, GENERATED):
        shown = "image"
    if shown is None:
        raise PluginError(
            f"the dataset {collection._root_dataset.name!r} is empty: add samples first"
        )
    if shown == "video" and not (field or "").startswith("frames."):
        raise PluginError(
            "these samples are videos: choose a field of their frames ('frames.…'), "
            "or the view to_frames(sample_frames=True)"
        )
    if shown == "video" and "filepath" not in collection.get_frame_field_schema():
        raise PluginError(
            "the frames of these videos have no images yet: make them with "
            "to_frames(sample_frames=True), which needs ffmpeg"
        )
    if shown not in ("image", "video", "unknown"):
        raise PluginError(f"the samples must be images, not {shown}")


def label_type(collection: Any, field: str) -> Any:
    """The type of the labels in a field, or None."""
    return getattr(collection.get_field(field), "document_type", None)


def _is_inside(field: str) -> bool:
    """Whether a field is in another one, as "meta.boxes" is."""
    return "." in field.removeprefix("frames.")


def listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Names for a sentence, quoted and separated by commas."""
    return ", ".join(repr(name) for name in names)
