"""The operator `label_regions`: chooses each region's class from a list; finds suspect labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone import ViewField as F

from ..runs.saved_views import save_view
from ..targets.views import in_all_slices
from .model_operator import ModelOperator
from .options import LabelOptions
from .plans import Plan, plan_labels
from .python_call import python_call

if TYPE_CHECKING:
    from ..runs.records import RunRecord
    from .forms import Form


class LabelRegions(ModelOperator):
    """Chooses each region's class from a list, and shows where the present label disagrees."""

    title = "Label regions"
    description = "Choose each region's class from your list, with confidence; find wrong labels"
    name_in_plugin = "label_regions"
    plan = staticmethod(plan_labels)
    options_type = LabelOptions

    __call__ = python_call(
        LabelOptions,
        """Choose a class for each region of a field.

        foo.get_operator("@pam-labeling/pam/label_regions")(
            dataset, field="ground_truth", classes=["cat", "dog"], saved_view="suspects"
        )
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.field()
        form.classes(optional=False)
        form.language()
        form.text("attribute", "pam_label", "Attribute for the class ('label' replaces the label)")
        form.score("Write a score", on=True, proposal="pam_score")
        form.switch("only_disagreeing", "Write only where the label is different", on=False)
        form.asked(
            "saved_view",
            "Save a view of suspected mistakes",
            "Suspected mistakes",
            on=False,
            description="Name of the view",
        )
        form.only()

    def finish(self, plan: Plan, key: str) -> RunRecord:
        """Save the view of suspected mistakes, if one is wanted."""
        record = super().finish(plan, key)
        name = record.parameters["saved_view"]
        if name is None or record.state != "finished":
            return record
        target = plan.job.target
        view = suspects(target.dataset, str(target.field), record.parameters["attribute"])
        return save_view(
            target.dataset, record, name, view, "Labels that PAM would call something else"
        )


def suspects(dataset: Any, field: str, attribute: str) -> Any:
    """A view of the labels that differ from PAM's class; case does not count."""
    chosen = F(attribute)
    differs = chosen.exists() & (chosen.lower() != F("label").lower())
    shown = in_all_slices(dataset, frames=field.startswith("frames."))
    return shown.filter_labels(field, differs)
