"""Regions where a dataset has none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from .forms import ONLY_OF_NEW
from .model_operator import ModelOperator
from .options import FindOptions
from .plans import plan_finding

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pam_model.tasks import Language

    from .forms import Form
    from .plans import Plan, Resolve


class FindRegions(ModelOperator):
    """Finds everything in images, without prompts."""

    title = "Find regions"
    description = "Everything in the images as detections with masks and words, in a new field"
    name_in_plugin = "find_regions"
    options_type = FindOptions
    takes_labels = False

    def __call__(
        self,
        collection: Any,
        *,
        field: str,
        label: str | None = "label",
        brief: str | None = None,
        detailed: str | None = None,
        definition: str | None = None,
        language: Language = "en",
        classes: Sequence[str] | str | None = None,
        class_attribute: str = "label",
        threshold: float = 0.0,
        score: str | None = "confidence",
        mask: str = "instance",
        mask_folder: str | None = None,
        points_per_side: int = 32,
        min_area: float = 0.0001,
        max_regions: int | None = None,
        only: Literal["all", "missing"] = "all",
        all_slices: bool = False,
        model: str | None = None,
        device: str | None = None,
        batch_size: int | None = None,
        delegate: bool = False,
        progress: bool | None = None,
    ) -> dict[str, Any]:
        """Find everything in each image.

            foo.get_operator("@pam-labeling/pam/find_regions")(dataset, field="everything")

        Args:
            collection: a dataset, or a view of samples or of a video's frames
                (`to_frames(sample_frames=True)`: the detections are the frames').
            field: the new field of detections.
            label: the attribute for the open label; "label" is the label itself; None for none.
            brief, detailed, definition, language: as of `caption_regions`.
            classes: a list to choose each region's class from, instead of the open label;
                "dataset" for the dataset's `default_classes`.
            class_attribute: where the chosen class goes; "label" is the label itself.
            threshold: the score under which no class is chosen, from 0 to 1.
            score: the attribute for the class's share of the list, or without classes for the
                mask's expected IoU; None for none.
            mask: "instance" keeps the mask in the dataset, "mask_path" as a PNG file.
            mask_folder: the absolute path of the folder of the files.
            points_per_side: clicks along each side of the grid.
            min_area: the smallest region, as a part of the image.
            max_regions: the most regions of an image, the surest first; None: all.
            only: "all" needs a field that is not there; "missing" goes on with a run that stopped:
                images that have the field already are skipped.
            all_slices: as of `caption_regions`. So also the rest.

        Returns:
            The run's record; of a delegated run `{"id": ...}`.

        Raises:
            PluginError: it cannot be done; the sentence says why, and what to do.
        """
        options = FindOptions(
            field=field,
            label=label,
            brief=brief,
            detailed=detailed,
            definition=definition,
            language=language,
            classes=classes if classes is None or isinstance(classes, str) else tuple(classes),
            class_attribute=class_attribute,
            threshold=threshold,
            score=score,
            mask=mask,
            mask_folder=mask_folder,
            points_per_side=points_per_side,
            min_area=min_area,
            max_regions=max_regions,
            only=only,
            all_slices=all_slices,
            model=model,
            device=device,
            batch_size=batch_size,
        )
        return self.call(collection, options, delegate=delegate, progress=progress)

    def plan(self, options: Any, resolve: Resolve) -> Plan:
        """As `ModelOperator.plan`."""
        return plan_finding(options, resolve)

    def define(self, form: Form) -> None:
        """As `ModelOperator.define`."""
        form.text("field", "everything", "New field")
        form.words(on="label", proposals={"brief": "caption", "detailed": "detailed_caption"})
        form.classes(optional=True)
        form.masks(optional=False)
        form.inputs.int("points_per_side", min=1, max=128, default=32, label="Clicks along a side")
        form.inputs.float("min_area", min=0, max=1, default=0.0001, label="Smallest part of image")
        form.inputs.int("max_regions", min=1, label="Most regions of an image")
        form.only(ONLY_OF_NEW)
