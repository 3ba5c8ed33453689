"""Words for the regions that a dataset already has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fiftyone.operators import types

from .model_operator import ModelOperator
from .options import CaptionOptions
from .plans import plan_captions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pam_model.tasks import Language

    from ..targets.missing import Only
    from .forms import Form
    from .plans import Plan, Resolve

_PROPOSALS = {"brief": "caption", "detailed": "detailed_caption", "label": "open_label"}


class CaptionRegions(ModelOperator):
    """Writes label, definition, brief and detailed caption onto each existing region."""

    title = "Caption regions"
    description = "Words for each region that a field has: captions, labels, definitions, classes"
    name_in_plugin = "caption_regions"
    options_type = CaptionOptions

    def __call__(
        self,
        collection: Any,
        *,
        field: str,
        brief: str | None = "caption",
        detailed: str | None = None,
        label: str | None = None,
        definition: str | None = None,
        language: Language = "en",
        classes: Sequence[str] | str | None = None,
        class_attribute: str = "pam_label",
        threshold: float = 0.0,
        score: str | None = None,
        summary: bool = True,
        mask: str | None = None,
        mask_folder: str | None = None,
        tighten: bool = False,
        only: Only = "all",
        all_slices: bool = False,
        model: str | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        delegate: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Any]:
        """Write words onto each region of a field.

            foo.get_operator("@pam-labeling/pam/caption_regions")(dataset, field="ground_truth")

        Args:
            collection: a dataset or any view: filtered, of patches, frames, or groups. Only what
                it shows is captioned.
            field: Detections, Detection, Polylines, Polyline, Keypoints, Keypoint or Segmentation.
                A Segmentation's answers are dictionaries, a text for each class.
            brief: the attribute for the brief caption; None for none. So also the next three.
            detailed: the attribute for the detailed caption.
            label: the attribute for the open label.
            definition: the attribute for the definition.
            language: en or zh.
            classes: a list to choose each region's class from; "dataset" for the dataset's own
                (`dataset.classes[field]`, `default_classes`, or else the labels in use). A list of
                a single class gives everything that class, with score 1.
            class_attribute: where the chosen class goes.
            threshold: the score under which no class is chosen, from 0 to 1.
            score: the attribute for the chosen class's share of the list, from 0 to 1, or without
                classes for the mask's expected IoU.
            summary: also write a line for each region into the samples' field `{field}_captions`.
            mask: "instance" keeps each Detection's mask in the dataset, "mask_path" as a PNG file.
            mask_folder: the absolute path of the folder of the files.
            tighten: make the boxes tight around the masks; else masks are cut at the boxes.
            only: "all" writes over what is there. "missing" writes only the answers that a region
                has not, so that a stopped run goes on; "empty" also those that are blank. What the
                dataset holds decides, also where the view hides it. A class and its score are one
                answer: with a score, a region where no class was sure enough counts as done.
            all_slices: all slices of a grouped dataset, not only the one that it shows.
            model: nano, PAM-1.5B, PAM-3B, a folder or a hub id; None: PAM_MODEL, or nano.
            device: cpu, cuda, cuda:1 or mps; None: the fastest there is.
            batch_size: how many regions the language model describes at a time.
            delegate: queue it for a worker (`fiftyone delegated launch`) instead.
            progress: whether to show a progress bar; None: as `fo.config.show_progress_bars` says.

        Returns:
            The run's record: key, parameters, model, times, state, counts, failures. Of a
            delegated run `{"id": ...}`.

        Raises:
            PluginError: it cannot be done; the sentence says why, and what to do.
        """
        options = CaptionOptions(
            field=field,
            brief=brief,
            detailed=detailed,
            label=label,
            definition=definition,
            language=language,
            classes=classes if classes is None or isinstance(classes, str) else tuple(classes),
            class_attribute=class_attribute,
            threshold=threshold,
            score=score,
            summary=summary,
            mask=mask,
            mask_folder=mask_folder,
            tighten=tighten,
            only=only,
            all_slices=all_slices,
            model=model,
            device=device,
            batch_size=batch_size,
        )
        return self.call(collection, options, delegate=delegate, progress=progress)

    def plan(self, options: Any, resolve: Resolve) -> Plan:
        """As `ModelOperator.plan`."""
        return plan_captions(options, resolve)

    def define(self, form: Form) -> None:
        """As `ModelOperator.define`."""
        form.field()
        form.title("words", "What to say")
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
