"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import pytest
from PIL import Image

from tests.pam_labeling.conftest import draw


@pytest.fixture
def images(tmp_path):
    """A folder with red.png (a red and a blue rectangle), green.png and broken.png."""
    folder = tmp_path / "images"
    folder.mkdir()
    scenes = {
        "red": (("red", 5, 6, 25, 20), ("blue", 30, 10, 60, 40)),
        "green": (("green", 5, 6, 25, 20),),
    }
    for name, objects in scenes.items():
        Image.fromarray(draw(*objects)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"no image")
    return folder
