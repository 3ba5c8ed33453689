"""The operator that embeds regions, so that FiftyOne can compare, sort and map them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import fiftyone as fo
from pydantic import Field

from ..errors import PluginError
from ..runs.attribute_mapping import AttributeMapping
from ..targets.target import ALL
from .model_operator import ModelOperator
from .options import ExistingOptions, OrDefault
from .plans import Plan, plan_existing
from .python_call import python_call

if TYPE_CHECKING:
    from .forms import Form
    from .plans import Resolve


class EmbedOptions(ExistingOptions):
    """`embed_regions`."""

    attribute: Annotated[str, OrDefault] = Field(
        default="pam_embedding", description="where the vector goes, float32 of length 1"
    )


def plan_embeddings(options: EmbedOptions, resolve: Resolve) -> Plan:
    """Plan `embed_regions`.

    Raises:
        PluginError: the run cannot be done; the message says why, and what to do.
    """
    if resolve(options.field, ALL).label_type is fo.Segmentation:
        raise PluginError(
            "A Segmentation's classes have no place for a vector each: let segment_regions make "
            "detections in a new field first."
        )
    answers = AttributeMapping(embedding=options.attribute, object_score=options.object_score)
    return plan_existing("embed_regions", options, answers, resolve)


class EmbedRegions(ModelOperator):
    """Writes a vector on each region; regions that look and are called alike have near ones."""

    title = "Embed regions"
    description = "A vector for each region: to find duplicates and outliers, and to sort"
    name_in_plugin = "embed_regions"
    plan = staticmethod(plan_embeddings)
    options_type = EmbedOptions

    __call__ = python_call(
        EmbedOptions,
        """Write a vector on each region of a field.

        foo.get_operator("@pam-labeling/pam/embed_regions")(dataset, field="ground_truth")
        fiftyone.brain.compute_similarity(
            dataset, patches_field="ground_truth", embeddings="pam_embedding", brain_key="alike"
        )
        """,
    )

    def define(self, form: Form) -> None:
        """Add this operator's fields to the form."""
        form.field()
        form.text("attribute", "pam_embedding", "Attribute for the vector")
        form.object_score()
        form.only()
