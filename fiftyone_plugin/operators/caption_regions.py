"""The operator `caption_regions`: writes words on the regions of a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone.operators import types

from .model_operator import ModelOperator
from .options import CaptionOptions
from .plans import plan_captions
from .python_call import python_call

if TYPE_CHECKING:
    from .forms import Form

_PROPOSALS = {"brief": "caption", "detailed": "detailed_caption", "label": "open_label"}


class CaptionRegions(ModelOperator):
    """Writes label, definition, brief and detailed caption on each region of a field."""

    title = "Caption regions"
    description = "Captions, labels, definitions and classes for each region of a field"
    name_in_plugin = "caption_regions"
    plan = staticmethod(plan_captions)
    options_type = CaptionOptions

    __call__ = python_call(
        CaptionOptions,
        """Write words on each region of a field.

        foo.get_operator("@pam-labeling/pam/caption_regions")(dataset, field="ground_truth")
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.field()
        form.inputs.view("words", types.Header(label="What to say", divider=True))
        form.words(on="brief", proposals=_PROPOSALS)
        form.classes(optional=True)
        form.score("Write a score", on=False)
        form.switch("summary", "Show the captions on the images in the grid too", on=True)
        form.masks(optional=True)
        form.only()

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid."""
        return types.Placement(
            types.Places.SAMPLES_GRID_SECONDARY_ACTIONS,
            types.Button(label="Caption regions", icon=self.icon, prompt=True),
        )
