"""The operator `caption_selected`: one click captions the labels selected in a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo
from fiftyone.operators import types

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..targets.target import selected_fields
from ..targets.views import label_type
from .caption_regions import CaptionRegions
from .execution_store import recall
from .model_operator import context_target
from .options import CaptionOptions
from .plans import KEEP_MASKS

if TYPE_CHECKING:
    from collections.abc import Iterator

_WITHOUT_CONFIDENCE = (fo.Keypoints, fo.Keypoint, fo.Segmentation)


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
        last = recall(ctx.dataset, CaptionRegions.name_in_plugin)
        last |= dict.fromkeys(_unfit(ctx, fields[0]), "")
        return CaptionOptions.from_params({**last, "field": fields[0], "target": "selected_labels"})

    def execute(self, ctx: Any) -> Any:
        """Run with messages to the App, also about errors."""
        try:
            options = self.options_of(ctx)
            plan = self.plan(options, context_target(ctx, options))
        except InputError as error:
            return _warning(ctx, str(error))
        return self.begin(ctx, plan, " ".join(_unfit(ctx, options.field).values()))

    def resolve_placement(self, ctx: Any) -> Any:
        """A button beside the open sample."""
        return types.Placement(
            types.Places.SAMPLES_VIEWER_ACTIONS,
            types.Button(label=self.title, icon=self.icon, prompt=False),
        )


def _unfit(ctx: Any, field: str) -> dict[str, str]:
    """The last settings that do not fit the labels of a field, each with a sentence."""
    last = recall(ctx.dataset, CaptionRegions.name_in_plugin)
    kind = label_type(ctx.view, field)
    found = {}
    # The last run may have been on a field of another type.
    if last.get("mask") and kind not in KEEP_MASKS:
        found["mask"] = f"No masks were kept: {kind.__name__} have none."
    if last.get("score") == "confidence" and kind in _WITHOUT_CONFIDENCE:
        found["score"] = f"No score was written: {kind.__name__} have no single confidence."
    return found


def _warning(ctx: Any, sentence: str) -> Iterator[Any]:
    yield ctx.ops.notify(sentence, variant="warning")
