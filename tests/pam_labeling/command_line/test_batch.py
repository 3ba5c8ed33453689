from __future__ import annotations

import os
from pathlib import Path

from PIL import Image

from pam_labeling.command_line import batch
from pam_labeling.command_line.batch import OverlayNames, annotate_files
from pam_labeling.command_line.journal import Source
from pam_labeling.errors import ImageError
from pam_labeling.request import Request
from tests.pam_labeling.conftest import draw


def test_an_image_that_vanished_before_its_overlay_keeps_its_annotation(
    annotator, tmp_path, monkeypatch
):
    def vanished(file, **_):
        raise ImageError(f"{file}: there is no such file")

    monkeypatch.setattr(batch, "draw_overlay", lambda pixels, _: vanished("a.png"))
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for file in files:
        Image.fromarray(draw(("red", 5, 6, 25, 20))).save(file)
    done = list(annotate_files(annotator, map(Source, files), Request(""), overlays=tmp_path))
    assert [len(result.entry["regions"]) for result in done] == [1, 1]
    assert all("there is no such file" in str(result.overlay_error) for result in done)


def test_long_names_get_an_overlay_too(annotator, tmp_path):
    file = tmp_path / f"{'图' * 83}.png"
    Image.fromarray(draw(("red", 5, 6, 25, 20))).save(file)
    (done,) = annotate_files(annotator, [Source(str(file))], Request(""), overlays=tmp_path)
    assert done.overlay_error is None
    (overlay,) = tmp_path.glob("*.overlay.png")
    assert overlay.name == done.source.overlay
    assert len(os.fsencode(overlay.name)) <= 212


def test_an_overlay_is_whole_or_not_there(annotator, tmp_path, monkeypatch):
    file, real = tmp_path / "a.png", Path.write_bytes
    Image.fromarray(draw(("red", 5, 6, 25, 20))).save(file)

    def full(path, content):
        real(path, content[:20])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    (done,) = annotate_files(annotator, [Source(str(file))], Request(""), overlays=tmp_path)
    assert str(done.overlay_error).count("a.overlay.png") >= 1
    assert "No space left on device" in str(done.overlay_error)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_equal_stems_are_numbered_whatever_their_case():
    names = OverlayNames()
    assert [names.name(path) for path in ("a/x.png", "b/X.png", "c/x-2.png", "d/x.jpg")] == [
        "x.overlay.png",
        "X-2.overlay.png",
        "x-2-2.overlay.png",
        "x-3.overlay.png",
    ]


def test_pages_and_the_overlays_of_an_earlier_run_keep_their_names():
    names = OverlayNames(["x.overlay.png"])
    assert names.name("a/x.png") == "x-2.overlay.png"
    assert names.name("a/y.tif", 3) == "y.page-3.overlay.png"


def test_very_many_equal_stems_have_names_of_their_own_soon():
    names = OverlayNames()
    found = [names.name(str(Path(str(number)) / "image.png")) for number in range(20_000)]
    assert len(set(found)) == len(found)
    assert found[-1] == "image-20000.overlay.png"
