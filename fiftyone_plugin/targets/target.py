"""Targets: the images and labels that a run works on.

Before the first image, the ids of all samples and labels are written to a temporary file (about 20
bytes each). So the run's own writes cannot move samples into or out of its view, and memory does
not depend on the size of the dataset.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from itertools import groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Literal

import fiftyone as fo
from fiftyone.core.clips import ClipsView
from fiftyone.core.video import FramesView

from ..errors import PluginError
from ..labels.fields import labels_path
from ..labels.regions import PROMPT_ID, LabelRegion, LabelResult, class_of, regions_of
from .copies import refresh_copies
from .listing import ListedSample, counting_stages, listing, listing_stages
from .missing import OverwritePolicy
from .views import GENERATED, PATCHES, Slices, check_media, flat, label_type, listed, root_field

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence


ALL = OverwritePolicy()
Where = Literal["dataset", "view", "selected_samples", "current_sample", "selected_labels"]


@dataclass(frozen=True)
class TargetCounts:
    """The amount of work.

    Attributes:
        samples: images with at least one region to work on.
        regions: labels to work on; a Segmentation counts once, as its classes are unknown until its
            mask is read.
    """

    samples: int
    regions: int


@dataclass(frozen=True, eq=False)
class SampleWork:
    """One image and its labels to work on.

    Attributes:
        target: the target that it is part of.
        sample_id: the sample's id in the root dataset (not a patch's or a frame's).
        filepath: the image.
        label: the field's label or list of labels, with **all** its attributes; None if the target
            has no field.
        label_ids: the labels to work on.
        frame_id: the frame's id, if the labels are those of a video frame.
        made: the ids of labels that already have a detection in the new field.
    """

    target: Target
    sample_id: str
    filepath: str
    label: Any
    label_ids: frozenset[str]
    frame_id: str | None = None
    made: frozenset[str] = frozenset()

    def regions(self, size: tuple[int, int], *, use_masks: bool = True) -> list[LabelResult]:
        """The regions to work on in the upright image of `size` = (width, height)."""
        if self.label is None:
            return []
        found = regions_of(
            self.label,
            size,
            label_ids=self.label_ids,
            use_masks=use_masks,
            mask_targets=self.target.mask_targets,
        )
        # The database cannot tell which of a Segmentation's classes are open.
        return [
            result
            for result in found
            if result.label_id not in self.made
            and not (isinstance(result, LabelRegion) and self.writable(result) == frozenset())
        ]

    def writable(self, region: LabelRegion) -> frozenset[str] | None:
        """The open attributes of a region, among those that the target checks; None: all.

        A Segmentation's attribute has a value for each class, `{"7": "a red car", ...}`.
        """
        return self.target.policy.names(region.document, class_of(region.label_id))


@dataclass(frozen=True, eq=False)
class Target:
    """Labels of a field, or whole images. Build it with `resolve` or `resolve_context`.

    Attributes:
        collection: the samples, as the caller sees them.
        dataset: the root dataset. Everything is read from and written to it, by id.
        field: the field in the root dataset, such as "ground_truth" or "frames.detections"; None:
            whole images.
        label_type: the field's type, one of `LABEL_TYPES`, or None.
        policy: chooses the labels to work on by the answers in the dataset.
    """

    collection: Any
    dataset: Any
    field: str | None
    label_type: Any
    policy: OverwritePolicy = ALL

    @property
    def frames(self) -> bool:
        """Whether the labels (or the whole images) are those of video frames."""
        if self.field is None:
            return isinstance(self.collection, FramesView)
        return self.field.startswith("frames.")

    @property
    def path(self) -> str:
        """The path of the labels: "ground_truth.detections" for Detections, else the field itself.

        `f"{path}.{attribute}"` is what `set_label_values` and `add_sample_field` take.
        """
        return labels_path(str(self.field), self.label_type)

    @property
    def mask_targets(self) -> Mapping[Any, str]:
        """The class names of a Segmentation's values."""
        named: Mapping[Any, str] = (
            self.dataset.mask_targets.get(self.field) or self.dataset.default_mask_targets or {}
        )
        return named

    def count(self) -> TargetCounts:
        """The present amount of work, counted by the database."""
        rows = list(self._rows(counting_stages()))
        return TargetCounts(rows[0]["samples"], rows[0]["regions"]) if rows else TargetCounts(0, 0)

    def chunks(self, size: int = 32) -> Iterator[list[SampleWork]]:
        """Yield the work, at most `size` images at a time, in the collection's order.

        Successive patches of one image are one piece of work.

        The first chunk fixes the list of samples and labels. The labels of a chunk are read when it
        is requested; samples that were deleted since are left out.
        """
        with closing(self.listed()) as listed_samples:
            entries = (
                ListedSample(document, tuple(label for one in same for label in one.label_ids))
                for document, same in groupby(listed_samples, attrgetter("document_id"))
            )
            while page := list(islice(entries, size)):
                if works := self._read(page):
                    yield works

    def listed(self) -> Generator[ListedSample, None, None]:
        """The ids of the samples and labels, in the collection's order, as they are now."""
        return listing(self._rows([]))

    def refresh(self) -> None:
        """Update a view of patches or frames, which are copies, with the written values."""
        if isinstance(self.collection, GENERATED):
            refresh_copies(self.collection)

    def _rows(self, more: list[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
        view, field = self.collection, self.field and self.field.removeprefix("frames.")
        # Patches are copies that know the id of their source; views of frames have the frames' own
        # ids; for videos only the frames are read.
        copied_id = "_frame_id" if self.frames else "_sample_id"
        document_id = copied_id if isinstance(view, PATCHES) else "_id"
        frames_only = self.frames and not isinstance(view, GENERATED)
        kind = field and label_type(view, f"frames.{field}" if frames_only else field)
        list_name = getattr(kind, "_LABEL_LIST_FIELD", None)
        stages = listing_stages(document_id, field, list_name)
        if self.policy and self.label_type is not fo.Segmentation:  # classes: see `SampleWork`
            stored = getattr(self.label_type, "_LABEL_LIST_FIELD", None)
            # A whole dataset shows what is stored: its documents need no second lookup.
            if not isinstance(view, GENERATED) and not view.view()._stages:
                stages = self.policy.stored_stages(field, stored)
            else:
                stages += self.policy.stages(self._documents.name, field, stored)
        # FiftyOne's public `values` would return all ids at once; this is its inner part.
        rows: Iterator[Mapping[str, Any]] = view._aggregate(
            frames_only=frames_only, post_pipeline=[*stages, *more]
        )
        return rows

    @property
    def _documents(self) -> Any:
        """The MongoDB collection, which has all slices of a group, and frames without videos."""
        return self.dataset._frame_collection if self.frames else self.dataset._sample_collection

    def _read(self, page: Sequence[ListedSample]) -> list[SampleWork]:
        name = self.field and self.field.removeprefix("frames.")
        fields = ["filepath", "_sample_id", *([name] if name else [])]
        if self.policy and self.policy.new_field:
            fields.append(f"{self.policy.new_field}.detections.{PROMPT_ID}")
        # We read from the dataset, not from the view, which may hide attributes of the labels.
        # A sample occurs several times if patches of others are between its own.
        query = {"_id": {"$in": list({entry.document_id for entry in page})}}
        found = {document["_id"]: document for document in self._documents.find(query, fields)}
        return [
            self._work(entry, found[entry.document_id], name)
            for entry in page
            if entry.document_id in found
        ]

    def _work(
        self, entry: ListedSample, document: Mapping[str, Any], name: str | None
    ) -> SampleWork:
        label = document.get(name) if name else None
        new_field = self.policy.new_field if self.policy else None
        made = (document.get(new_field) or {}).get("detections") or () if new_field else ()
        return SampleWork(
            target=self,
            sample_id=str(document["_sample_id"] if self.frames else document["_id"]),
            filepath=document["filepath"],
            label=self.label_type.from_dict(label) if label else None,
            label_ids=frozenset(str(label_id) for label_id in entry.label_ids),
            frame_id=str(document["_id"]) if self.frames else None,
            made=frozenset(one[PROMPT_ID] for one in made if one.get(PROMPT_ID)),
        )


def resolve(
    collection: Any,
    field: str | None,
    policy: OverwritePolicy = ALL,
    *,
    slices: Slices = None,
) -> Target:
    """Build a target from a dataset or a view; of a view, only the labels that it shows.

    Args:
        collection: a dataset or any view: filtered, of patches, of frames, of groups.
        field: a label field; "frames.detections" for the frames of videos; None: whole images.
        policy: see `Target`.
        slices: for a grouped dataset: names of slices, "all" those with images, or None: the one
            that the collection shows. The view's filters of the field apply to all of them.

    Raises:
        PluginError: there are no such labels or images; the message says what there is.
    """
    if not isinstance(collection, fo.core.collections.SampleCollection):
        raise PluginError(f"give a dataset or a view, not {type(collection).__name__}")
    # A clip is a section of a video; its frames have no document to write to.
    if isinstance(collection, ClipsView):
        raise PluginError(
            "a view of clips has no images: use the view to_frames(sample_frames=True) instead"
        )
    dataset = collection._root_dataset
    collection = flat(collection, field, slices)
    in_root = root_field(collection, dataset, field)
    check_media(collection, in_root)
    kind = None if in_root is None else label_type(dataset, in_root)
    return Target(collection, dataset, in_root, kind, policy)


def resolve_context(
    ctx: Any,
    field: str | None,
    policy: OverwritePolicy = ALL,
    *,
    where: Where = "view",
    slices: Slices = None,
) -> Target:
    """Build a target from what is shown and selected in the App.

    Args:
        ctx: an operator's execution context.
        field: as for `resolve`.
        policy: see `Target`.
        where: the dataset, the current view, the selection in it, or the open sample.
        slices: as for `resolve`; None: the slice that the App shows.

    Raises:
        PluginError: nothing is selected or open, or as for `resolve`.
    """
    grouped = ctx.dataset.media_type == "group"
    if grouped and slices is None and where in ("dataset", "view") and ctx.group_slice:
        slices = (ctx.group_slice,)
    if where == "dataset":
        # All patches or frames from which the view was made, without its filters.
        collection = ctx.view._base_view if isinstance(ctx.view, GENERATED) else ctx.dataset
    elif where == "view":
        collection = ctx.view
    elif where == "selected_labels":
        collection = _selected_labels(ctx, field, grouped=grouped)
        # The selection determines the slices.
        slices = None
    else:
        is_open = where == "current_sample"
        samples = [one for one in ([ctx.current_sample] if is_open else ctx.selected) if one]
        if not samples:
            missing = "open: open one" if is_open else "selected: select some"
            raise PluginError(f"No sample is {missing}, or choose the view.")
        # The modal may show a sample of another slice than the grid.
        any_slice = grouped and not slices and not isinstance(ctx.view, GENERATED)
        shown = flat(ctx.dataset.view(), field, "all") if any_slice else ctx.view
        if shown._is_dynamic_groups:
            shown = ctx.dataset
        collection = shown.select(samples)
    return resolve(collection, field=field, slices=slices, policy=policy)


def selected_fields(selected_labels: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """The ids of the App's selected labels by field, in the order of selection."""
    fields: dict[str, list[str]] = {}
    for selected in selected_labels:
        fields.setdefault(selected["field"], []).append(selected["label_id"])
    return fields


def _selected_labels(ctx: Any, field: str | None, *, grouped: bool) -> Any:
    by_field = selected_fields(ctx.selected_labels or [])
    if not by_field:
        raise PluginError("no label is selected: select some in a sample, or choose the view")
    if field not in by_field:
        raise PluginError(f"the selected labels are in {listed(by_field)}, not in {field!r}")
    if isinstance(ctx.view, GENERATED):
        shown = ctx.view
    else:
        shown = flat(ctx.dataset.view(), field, "all") if grouped else ctx.dataset
    samples = {item["sample_id"] for item in ctx.selected_labels if item["field"] == field}
    return shown.select(list(samples)).select_labels(ids=by_field[field], fields=field)
