from __future__ import annotations

import numpy as np
import pytest

from pam_model import PAM
from pam_model.nano.flat import draw_flat_image
from pam_model.nano.outside import FAR, distance, is_outside
from pam_model.nano.world import HELD_OUT_SEED, render_scene


@pytest.fixture(scope="module")
def nano():
    return PAM.from_pretrained("nano", device="cpu")


@pytest.mark.parametrize("draw", [render_scene, draw_flat_image])
def test_drawn_images_are_of_nanos_world(nano, draw):
    features = nano.encode(draw(HELD_OUT_SEED + 5).image)
    assert not is_outside(features)
    assert 0 < distance(features) < FAR


def test_an_image_full_of_detail_is_not(nano):
    rng = np.random.default_rng(0)
    waves = sum(  # detail of all sizes, as in photographs
        np.kron(rng.normal(size=(side, side, 3)), np.ones((256 // side, 256 // side, 1)))
        for side in (4, 8, 16, 32, 64, 128)
    )
    pixels = (127 + 30 * waves).clip(0, 255).astype(np.uint8)
    assert is_outside(nano.encode(pixels))
