from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from pam_labeling.command_line import batch
from pam_labeling.command_line.batch import annotate_files, overlay_names
from pam_labeling.errors import ImageError
from pam_labeling.request import Request
from tests.pam_labeling.conftest import draw


def test_an_image_that_vanished_before_its_overlay_keeps_its_annotation(
    annotator, tmp_path, monkeypatch
):
    def vanished(file):
        raise ImageError(f"{file}: there is no such file")

    monkeypatch.setattr(batch, "read_image", vanished)
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for file in files:
        Image.fromarray(draw(("red", 5, 6, 25, 20))).save(file)
    done = list(annotate_files(annotator, files, Request(""), overlays=tmp_path))
    assert [len(entry["regions"]) for entry, _ in done] == [1, 1]
    assert all("there is no such file" in str(error) for _, error in done)


def test_long_names_get_an_overlay_too(annotator, tmp_path):
    file = tmp_path / f"{'图' * 83}.png"
    Image.fromarray(draw(("red", 5, 6, 25, 20))).save(file)
    ((_, error),) = annotate_files(annotator, [str(file)], Request(""), overlays=tmp_path)
    assert error is None
    (overlay,) = tmp_path.glob("*.overlay.png")
    assert len(os.fsencode(overlay.name)) <= 212


def test_equal_stems_are_numbered_whatever_their_case():
    files = ["a/x.png", "b/X.png", "c/x-2.png", "d/x.jpg"]
    assert list(overlay_names(files).values()) == [
        "x.overlay.png",
        "X-2.overlay.png",
        "x-2-2.overlay.png",
        "x-3.overlay.png",
    ]


def test_very_many_equal_stems_have_names_of_their_own_soon():
    files = [str(Path(str(number)) / "image.png") for number in range(20_000)]
    names = overlay_names(files)
    assert len(set(names.values())) == len(files)
    assert names[files[-1]] == "image-20000.overlay.png"
