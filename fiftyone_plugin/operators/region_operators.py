"""The operators on regions: caption, segment, find and label them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo
from fiftyone import ViewField as F
from fiftyone.operators import types

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..labels.regions import NOTHING
from ..runs.saved_views import save_view
from ..targets.target import selected_fields
from ..targets.views import in_all_slices, label_fields, label_type
from .execution_store import recall
from .model_operator import ModelOperator, context_target, warn
from .options import CaptionOptions, FindOptions, LabelOptions, SegmentOptions
from .plans import KEEP_MASKS, Plan, plan_captions, plan_finding, plan_labels, plan_segments
from .python_call import python_call

if TYPE_CHECKING:
    from ..runs.attribute_mapping import AttributeMapping
    from ..runs.records import RunRecord
    from ..targets.target import Target
    from .forms import Form

_PROPOSALS = {"brief": "caption", "detailed": "detailed_caption"}
_WITHOUT_CONFIDENCE = (fo.Keypoints, fo.Keypoint, fo.Segmentation)


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
        form.words(on="brief", proposals={**_PROPOSALS, "label": "open_label"})
        form.classes(optional=True)
        form.score("Write a score", on=False)
        form.object_score()
        form.switch("summary", "Show the captions on the images in the grid too", on=True)
        form.masks(optional=True)
        form.only()

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid, if there are regions."""
        return _grid_button(self) if _has_labels(ctx) else None


class CaptionSelected(CaptionRegions):
    """Captions the selected labels with the settings of the last run on the dataset."""

    title = "Caption the selected labels"
    description = "With the settings of the last run; the first time, a brief caption"
    name_in_plugin = "caption_selected"
    unlisted = True

    def resolve_input(self, ctx: Any) -> Any:
        """No form: one click."""
        return None

    def options_of(self, ctx: Any, form: Any = None) -> CaptionOptions:
        """The last settings, without those that do not fit the field of the selected labels."""
        fields = list(selected_fields(ctx.selected_labels or []))
        if not fields:
            raise PluginError("No label is selected: first click on labels in the image.")
        if len(fields) > 1:
            raise PluginError(
                f"Labels of {' and '.join(fields)} are selected: select labels of one field only."
            )
        last = recall(ctx, CaptionRegions.name_in_plugin)
        last |= dict.fromkeys(_unfit(ctx, fields[0]), "")
        return CaptionOptions.from_params({**last, "field": fields[0], "target": "selected_labels"})

    def execute(self, ctx: Any) -> Any:
        """Run with messages to the App, also about errors."""
        try:
            options = self.options_of(ctx)
            plan = self.plan(options, context_target(ctx, options))
        except InputError as error:
            return warn(ctx, str(error))
        unfit = _unfit(ctx, options.field).values()
        return self.begin(ctx, plan, lambda: " ".join([*_said(ctx, plan), *unfit]))

    def resolve_placement(self, ctx: Any) -> Any:
        """A button beside the open sample."""
        return types.Placement(
            types.Places.SAMPLES_VIEWER_ACTIONS,
            types.Button(label=self.title, icon=self.icon, prompt=False),
        )


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
        form.object_score()


class FindRegions(ModelOperator):
    """Finds everything in images, without prompts."""

    title = "Find regions"
    description = "Find everything in the images: detections with masks and words, in a new field"
    name_in_plugin = "find_regions"
    plan = staticmethod(plan_finding)
    options_type = FindOptions
    needs_labels = False

    __call__ = python_call(
        FindOptions,
        """Find everything in each image, or in each frame of `to_frames(sample_frames=True)`.

        foo.get_operator("@pam-labeling/pam/find_regions")(dataset, field="everything")
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.new_field("field", "everything")
        form.words(on="label", proposals=_PROPOSALS)
        form.classes(optional=True)
        form.object_score()
        form.masks(optional=False)
        form.inputs.int("points_per_side", min=1, max=128, default=32, label="Clicks along a side")
        form.inputs.float("min_area", min=0, max=1, default=0.0001, label="Smallest share of image")
        form.inputs.int("max_regions", min=1, label="Most regions per image")

    def resolve_placement(self, ctx: Any) -> Any:
        """A button above the grid, as long as there are no regions to work on."""
        return None if _has_labels(ctx) else _grid_button(self)


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
        form.object_score()
        form.switch("only_disagreeing", "Write only where the label is different", on=False)
        form.asked(
            "saved_view",
            "Save a view of suspected mistakes",
            "Suspected mistakes",
            on=False,
            description="Name of the view",
            taken=form.ctx.dataset.list_saved_views(),
        )
        form.only()

    def finish(self, plan: Plan, key: str) -> RunRecord:
        """Save the view of suspected mistakes, if one is wanted."""
        record = super().finish(plan, key)
        name = record.parameters["saved_view"]
        if name is None or record.state != "finished":
            return record
        dataset = plan.job.target.dataset
        view = suspects(plan.job.target, plan.job.answers)
        return save_view(dataset, record, name, view, "Labels that PAM would call something else")


def suspects(target: Target, answers: AttributeMapping) -> Any:
    """A view of the regions that may be wrong; upper and lower case count as the same.

    PAM chose another class than the label; or the label is in the list, but no class of it fits; or
    PAM sees no object there. Samples where it is the least sure of an object come first.
    """
    label, chosen, vocabulary = F("label").lower(), F(answers.class_attribute), answers.vocabulary
    wrong = chosen.exists() & (chosen.lower() != label)
    if answers.score is not None and vocabulary is not None:
        score, listed = F(answers.score), [name.lower() for name in vocabulary.labels]
        wrong |= score.exists() & (score < vocabulary.label_fit) & label.is_in(listed)
    if answers.object_score is not None:
        there = F(answers.object_score)
        wrong |= there.exists() & (there <= NOTHING)
    shown = in_all_slices(target.dataset, frames=target.frames)
    view = shown.filter_labels(str(target.field), wrong)
    if answers.object_score is None:
        return view
    path = f"{target.path.removeprefix('frames.')}.{answers.object_score}"
    least = F(path).min()
    return view.sort_by(F("frames").map(least).min() if target.frames else least)


def _unfit(ctx: Any, field: str) -> dict[str, str]:
    """The last settings that do not fit the labels of a field, each with a sentence."""
    last = recall(ctx, CaptionRegions.name_in_plugin)
    kind = label_type(ctx.view, field)
    found = {}
    # The last run may have been on a field of another type.
    if last.get("mask") and kind not in KEEP_MASKS:
        found["mask"] = f"No masks were kept: {kind.__name__} have none."
    if last.get("score") == "confidence" and kind in _WITHOUT_CONFIDENCE:
        found["score"] = f"No score was written: {kind.__name__} have no single confidence."
    return found


def _said(ctx: Any, plan: Plan) -> list[str]:
    """What was just written on the selected labels, of the first three."""
    target, ids = plan.job.target, [label["label_id"] for label in ctx.selected_labels]
    shown = in_all_slices(target.dataset, frames=target.frames).select_labels(ids=ids)
    texts = shown.values(f"{target.path}.{plan.job.answers.said}", unwind=True)
    found = [f'"{text}"' for text in texts if isinstance(text, str) and text]
    return found[:3] + (["..."] if len(found) > 3 else [])


def _has_labels(ctx: Any) -> bool:
    return ctx.dataset is not None and bool(label_fields(ctx.dataset))


def _grid_button(operator: ModelOperator) -> types.Placement:
    return types.Placement(
        types.Places.SAMPLES_GRID_SECONDARY_ACTIONS,
        types.Button(label=operator.title, icon=operator.icon, prompt=True),
    )
