"""The operator `find_regions`: everything in an image, without prompts."""

from __future__ import annotations

from .forms import ONLY_OF_NEW, Form
from .model_operator import ModelOperator
from .options import FindOptions
from .plans import plan_finding
from .python_call import python_call


class FindRegions(ModelOperator):
    """Finds everything in images, without prompts."""

    title = "Find regions"
    description = "Find everything in the images: detections with masks and words, in a new field"
    name_in_plugin = "find_regions"
    plan = staticmethod(plan_finding)
    options_type = FindOptions
    takes_labels = False

    __call__ = python_call(
        FindOptions,
        """Find everything in each image, or in each frame of `to_frames(sample_frames=True)`.

        foo.get_operator("@pam-labeling/pam/find_regions")(dataset, field="everything")
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.text("field", "everything", "New field")
        form.words(on="label", proposals={"brief": "caption", "detailed": "detailed_caption"})
        form.classes(optional=True)
        form.masks(optional=False)
        form.inputs.int("points_per_side", min=1, max=128, default=32, label="Clicks along a side")
        form.inputs.float("min_area", min=0, max=1, default=0.0001, label="Smallest share of image")
        form.inputs.int("max_regions", min=1, label="Most regions per image")
        form.only(ONLY_OF_NEW)
