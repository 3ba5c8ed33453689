"""Instance masks from the regions that a dataset already has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .model_operator import ModelOperator
from .options import SegmentOptions
from .plans import plan_segments

if TYPE_CHECKING:
    from ..targets.missing import Only
    from .forms import Form
    from .plans import Plan, Resolve


class SegmentRegions(ModelOperator):
    """Makes instance masks from boxes, polylines, keypoints and classes."""

    title = "Segment regions"
    description = "Instance masks from boxes, lines and points; ids, attributes and tags stay"
    name_in_plugin = "segment_regions"
    options_type = SegmentOptions

    def __call__(
        self,
        collection: Any,
        *,
        field: str,
        mask: str = "instance",
        mask_folder: str | None = None,
        tighten: bool = False,
        new_field: str | None = None,
        score: str | None = None,
        only: Only = "all",
        all_slices: bool = False,
        model: str | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        delegate: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Any]:
        """Segment each region of a field.

            foo.get_operator("@pam-labeling/pam/segment_regions")(dataset, field="ground_truth")

        Detections get their masks in place, and keep everything else. Of other labels detections
        are made in a new field, with their label, attributes, tags and index, and the id of what
        each was made from in `prompt_id`.

        Args:
            collection: a dataset or any view; only what it shows is segmented.
            field: as of `caption_regions`.
            mask: "instance" keeps the mask in the dataset, "mask_path" as a PNG file.
            mask_folder: the absolute path of the folder of the files.
            tighten: make the boxes tight around the masks; else masks are cut at the boxes.
            new_field: make detections in this field instead.
            score: the attribute for the mask's expected IoU.
            only: as of `caption_regions`; a mask in a file is a mask. With `new_field`, "missing"
                goes on with a run that stopped: what has a detection there already is skipped.
            all_slices: as of `caption_regions`. So also the rest.

        Returns:
            The run's record; of a delegated run `{"id": ...}`.

        Raises:
            PluginError: it cannot be done; the sentence says why, and what to do.
        """
        options = SegmentOptions(
            field=field,
            mask=mask,
            mask_folder=mask_folder,
            tighten=tighten,
            new_field=new_field,
            score=score,
            only=only,
            all_slices=all_slices,
            model=model,
            device=device,
            batch_size=batch_size,
        )
        return self.call(collection, options, delegate=delegate, progress=progress)

    def plan(self, options: Any, resolve: Resolve) -> Plan:
        """As `ModelOperator.plan`."""
        return plan_segments(options, resolve)

    def define(self, form: Form) -> None:
        """As `ModelOperator.define`."""
        form.field()
        form.write_to()
        form.masks(optional=False)
        form.switch("tighten", "Make the boxes tight around the masks", on=False)
        form.score("Write the expected IoU", on=False)
        form.only()
