"""Kinds of datasets and views, and their fields with regions.

Views of patches and frames are generated: copies, which are written to in the dataset that they
were made of. A grouped collection shows one slice at a time.
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
    """The fields of a collection that regions can be read from, with their types.

    Those inside other fields are left out: nothing is written there.
    """
    schemas = [("", collection.get_field_schema(flat=True))]
    if collection._contains_videos(any_slice=True):
        schemas.append(("frames.", collection.get_frame_field_schema(flat=True)))
    fields = {
        prefix + name: getattr(value, "document_type", None)
        for prefix, schema in schemas
        for name, value in schema.items()
    }
    return {
        name: kind for name, kind in fields.items() if kind in LABEL_TYPES and not _is_inside(name)
    }


def flat(collection: Any, field: str | None, slices: Slices) -> Any:
    """A grouped collection as that of some slices' samples; any other as it is.

    Args:
        collection: a dataset or a view.
        field: the field whose filters of labels are to hold in all slices, or None. Of a field of
            frames ("frames.…") the slices with videos are meant, else those with images.
        slices: names, "all" of them, or None: the collection as it is.

    Raises:
        PluginError: a slice that is not there, or has no images.
    """
    if collection.media_type != "group":
        return collection
    if collection._is_dynamic_groups:
        raise PluginError(
            "this view shows one sample of each dynamic group: choose the view without group_by, "
            "or group_by(..., flat=True)"
        )
    kinds: Mapping[str, str] = collection._root_dataset.group_media_types
    wanted, content = ("image", "images")
    if field is not None and field.startswith("frames."):
        wanted, content = ("video", "videos")
    fitting = [name for name, kind in kinds.items() if kind == wanted]
    if slices is None:
        _check_slice(collection.group_slice, content, fitting, kinds)
        return collection
    chosen = fitting if slices == "all" else list(slices)
    unknown = [name for name in chosen if name not in fitting]
    if unknown or not chosen:
        raise PluginError(
            f"the slices with {content} are {listed(fitting) or 'none'}, "
            f"which {listed(unknown) or 'nothing'} is not among"
        )
    flattened = collection.select_group_slices(chosen)
    if field is not None and isinstance(collection, fo.DatasetView):
        # Looking up the other slices forgets the filters of labels: they are put on again.
        for stage in collection._stages:
            if any(path.startswith(field) for path in stage.get_filtered_fields(collection) or ()):
                flattened = flattened.add_stage(stage)
    return flattened


def _check_slice(
    shown: str, content: str, fitting: Sequence[str], kinds: Mapping[str, str]
) -> None:
    if shown in fitting or kinds.get(shown) is None:
        return
    advice = (
        f"choose another, dataset.group_slice = {fitting[0]!r}, or all slices"
        if fitting
        else "no slice has any"
    )
    raise PluginError(f"the slice {shown!r} has no {content}, but {kinds[shown]}: {advice}")


def root_field(collection: Any, dataset: Any, field: str | None) -> str | None:
    """A collection's label field by its name in the root dataset.

    Raises:
        PluginError: there is no such field, or it has no regions; the message names those there.
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
            f"field of its own, dataset.clone_{outer}_field({inner!r}, {copy!r})"
        )
    if isinstance(collection, GENERATED) and (
        collection._is_frames or getattr(collection._dataset, "_is_frames", False)
    ):
        field = f"frames.{field}"
    if label_type(dataset, field) not in LABEL_TYPES:
        raise PluginError(f"{field!r} is not in the dataset {dataset.name!r} that the view is of")
    return field


def _no_regions(field: str, there: Mapping[str, Any]) -> str:
    """That a field has no regions, and which was probably meant."""
    if not there:
        return f"{field!r} is no field with regions; this dataset or view has none."
    holders = [name for name in there if field.startswith(f"{name}.")]
    near = get_close_matches(field, there, n=1)
    if holders:
        hint = f" Give {holders[0]!r}, without what is inside it."
    else:
        hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"{field!r} is no field with regions; there is {listed(there)}.{hint}"


def check_media(collection: Any, field: str | None) -> None:
    """Refuse what has no images to look at.

    Raises:
        PluginError: videos, or frames without images, or another medium.
    """
    shown = collection.media_type
    if shown == "group":
        dataset = collection._root_dataset
        shown = dataset.group_media_types.get(collection.group_slice, "image")
    if isinstance(collection, GENERATED):
        shown = "image"
    if shown is None:
        name = collection._root_dataset.name
        raise PluginError(f"the dataset {name!r} is empty: add samples first")
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
        raise PluginError(f"these samples are {shown}, not images")


def label_type(collection: Any, field: str) -> Any:
    """The type of the labels in a field, or None."""
    return getattr(collection.get_field(field), "document_type", None)


def _is_inside(field: str) -> bool:
    """Whether a field is in another one, as "meta.boxes" is."""
    return "." in field.removeprefix("frames.")


def listed(names: Sequence[str] | Mapping[str, Any]) -> str:
    """Names as a sentence has them."""
    return ", ".join(repr(name) for name in names)
