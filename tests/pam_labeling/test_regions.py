from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pam_labeling.errors import MaskError
from pam_labeling.regions import Annotation, Provenance, Refusal, Region, Scores
from pam_model import Prompt, Task

SCORES = Scores(iou=0.9, object=1.0)
PROVENANCE = Provenance("fake", "1")


@given(hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2)), st.integers(0, 5))
def test_a_region_gives_back_the_whole_mask(mask, seed):
    mask.flat[seed % mask.size] = True
    region = Region.from_mask(mask, SCORES, PROVENANCE)
    np.testing.assert_array_equal(region.mask, mask)
    assert region.size == (mask.shape[1], mask.shape[0])
    assert region.area == mask.sum()


def test_a_region_keeps_only_the_part_in_its_box():
    mask = np.zeros((100, 200), dtype=np.bool_)
    mask[10:12, 20:25] = True
    region = Region.from_mask(mask, SCORES, PROVENANCE)
    assert region.box == (20, 10, 25, 12)
    assert region.crop.shape == (2, 5)
    assert region.crop.base is None


def test_an_empty_mask_is_no_region():
    with pytest.raises(MaskError, match="empty"):
        Region.from_mask(np.zeros((3, 3), dtype=np.bool_), SCORES, PROVENANCE)


def test_a_region_does_not_change():
    mask = np.ones((3, 3), dtype=np.bool_)
    texts: Any = {(Task.LABEL, "en"): "cat"}
    region: Any = Region.from_mask(mask, SCORES, PROVENANCE, texts=texts)
    texts.clear()
    mask[:] = False
    assert region.texts == {(Task.LABEL, "en"): "cat"}
    assert region.area == 9
    with pytest.raises(TypeError):
        region.texts[Task.LABEL, "en"] = "dog"
    with pytest.raises(ValueError, match="read-only"):
        region.crop[0] = False
    with pytest.raises(AttributeError):
        region.label = "dog"


def test_an_annotation_separates_regions_from_refusals():
    region = Region.from_mask(np.ones((3, 3), dtype=np.bool_), SCORES, PROVENANCE)
    refusal = Refusal(Prompt.from_box((0, 0, 1, 1)), "nothing here", SCORES)
    annotation = Annotation((3, 3), (refusal, region))
    assert annotation.regions == (region,)
    assert annotation.refusals == (refusal,)
