"""A tiny PAM and an image for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest

from tests.model.tiny import IMAGE_SIZE, tiny_pam

if TYPE_CHECKING:
    from pam_model import PAM, ImageFeatures


@pytest.fixture(scope="session")
def pam() -> PAM:
    """A PAM with random weights, made once."""
    return tiny_pam()


@pytest.fixture(scope="session")
def image() -> npt.NDArray[np.uint8]:
    """Noise with a bright and a dark patch, `(90, 120, 3)`."""
    width, height = IMAGE_SIZE
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[10:40, 10:50] = 240
    pixels[50:80, 60:110] = (20, 60, 90)
    return pixels


@pytest.fixture(scope="session")
def features(pam: PAM, image: npt.NDArray[np.uint8]) -> ImageFeatures:
    """The image, encoded once."""
    return pam.encode(image)
