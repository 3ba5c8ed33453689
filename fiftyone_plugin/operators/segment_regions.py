"""The operator `segment_regions`: instance masks from boxes, lines, points and classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .model_operator import ModelOperator
from .options import SegmentOptions
from .plans import plan_segments
from .python_call import python_call

if TYPE_CHECKING:
    from .forms import Form


class SegmentRegions(ModelOperator):
    """Makes instance masks from boxes, polylines, keypoints and classes."""

    title = "Segment regions"
    description = "Instance masks from boxes, lines and points; ids, attributes and tags stay"
    name_in_plugin = "segment_regions"
    plan = staticmethod(plan_segments)
    options_type = SegmentOptions

    __call__ = python_call(
        SegmentOptions,
        """Segment each region of a field.

        foo.get_operator("@pam-labeling/pam/segment_regions")(dataset, field="ground_truth")

        Detections get their masks in place, and keep everything else. For other labels, detections
        are made in a new field: with the label, attributes, tags and index, and with the id of the
        old label in `prompt_id`.
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.field()
        form.write_to()
        form.masks(optional=False)
        form.switch("tighten", "Make the boxes tight around the masks", on=False)
        form.score("Write the expected IoU", on=False)
        form.only()
