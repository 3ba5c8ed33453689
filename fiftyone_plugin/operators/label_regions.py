"""A class of a list for each region, and which labels may be wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone import ViewField as F

from ..runs.saved_views import save_view
from .model_operator import ModelOperator
from .options import OWN_CLASSES, LabelOptions
from .plans import plan_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pam_model.tasks import Language

    from ..runs.records import RunRecord
    from ..targets.missing import Only
    from .forms import Form
    from .plans import Plan, Resolve


class LabelRegions(ModelOperator):
    """Chooses each region's class from a list, and shows where the present label disagrees."""

    title = "Label regions"
    description = "A class of your own list for each region, with confidence; finds wrong labels"
    name_in_plugin = "label_regions"
    options_type = LabelOptions

    def __call__(
        self,
        collection: Any,
        *,
        field: str,
        classes: Sequence[str] | str = OWN_CLASSES,
        attribute: str = "pam_label",
        score: str | None = "pam_score",
        threshold: float = 0.0,
        language: Language = "en",
        only_disagreeing: bool = False,
        saved_view: str | None = None,
        only: Only = "all",
        all_slices: bool = False,
        model: str | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        delegate: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Any]:
        """Choose a class for each region of a field.

            foo.get_operator("@pam-labeling/pam/label_regions")(
                dataset, field="ground_truth", classes=["cat", "dog"], saved_view="suspects"
            )

        Args:
            collection: a dataset or any view; only what it shows is labelled.
            field: as of `caption_regions`.
            classes: the list; "dataset" for `dataset.classes[field]`, `default_classes`, or else
                the labels in use. A list of a single class gives everything that class, with
                score 1.
            attribute: where the chosen class goes; "label" replaces the label itself.
            score: the attribute for the class's share of the list, from 0 to 1; None for none.
            threshold: the score under which no class is chosen, from 0 to 1.
            language: en or zh: the language of the classes.
            only_disagreeing: write the class only where it is another than the label (upper and
                lower case count as the same). The score is written everywhere.
            saved_view: save a view of this name of the regions whose label is another than the
                chosen class.
            only: as of `caption_regions`. With `score=None` regions without a class of the list
                are looked at again by each run, as nothing tells that they were.
            all_slices: as of `caption_regions`. So also the rest.

        Returns:
            The run's record; of a delegated run `{"id": ...}`.

        Raises:
            PluginError: it cannot be done; the sentence says why, and what to do.
        """
        options = LabelOptions(
            field=field,
            classes=classes if isinstance(classes, str) else tuple(classes),
            attribute=attribute,
            score=score,
            threshold=threshold,
            language=language,
            only_disagreeing=only_disagreeing,
            saved_view=saved_view,
            only=only,
            all_slices=all_slices,
            model=model,
            device=device,
            batch_size=batch_size,
        )
        return self.call(collection, options, delegate=delegate, progress=progress)

    def plan(self, options: Any, resolve: Resolve) -> Plan:
        """As `ModelOperator.plan`."""
        return plan_labels(options, resolve)

    def define(self, form: Form) -> None:
        """As `ModelOperator.define`."""
        form.field()
        form.classes(optional=False)
        form.language()
        form.text("attribute", "pam_label", "Attribute for the class; label replaces the label")
        form.score("Write a score", on=True, proposal="pam_score")
        form.switch("only_disagreeing", "Write only where the label is another", on=False)
        form.asked(
            "saved_view",
            "Save a view of suspected mistakes",
            "Suspected mistakes",
            on=False,
            description="Name of the view",
        )
        form.only()

    def after(self, plan: Plan, record: RunRecord) -> None:
        """Save the view of suspected mistakes."""
        name = record.parameters["saved_view"]
        if name is not None and record.state == "finished":
            target = plan.job.target
            view = suspects(target.dataset, str(target.field), record.parameters["attribute"])
            said = "Labels that PAM would call something else"
            save_view(target.dataset, record, name, view, said)


def suspects(dataset: Any, field: str, attribute: str) -> Any:
    """The labels whose class by PAM is another than the label; case does not count."""
    chosen = F(attribute)
    differs = chosen.exists() & (chosen.lower() != F("label").lower())
    grouped = dataset.media_type == "group"
    kind = "video" if field.startswith("frames.") else "image"
    view = dataset.select_group_slices(media_type=kind) if grouped else dataset
    return view.filter_labels(field, differs)
