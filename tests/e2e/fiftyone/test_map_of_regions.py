"""fiftyone.brain's own map of regions, by the method that it takes where none is named."""

from __future__ import annotations

import pytest


@pytest.mark.filterwarnings("default")  # umap misses TensorFlow, which it does not need
def test_regions_are_mapped_without_naming_a_method(scenes):
    import fiftyone.brain as fob
    import fiftyone.operators as foo

    dataset = scenes("map", 12, 8, 18, 22, 19, 5)
    foo.get_operator("@pam-labeling/pam/embed_regions")(dataset, field="ground_truth")
    found = fob.compute_visualization(
        dataset, patches_field="ground_truth", embeddings="pam_embedding", brain_key="map"
    )
    assert found.config.method == "umap"
    assert found.points.shape == (dataset.count("ground_truth.detections"), 2)
