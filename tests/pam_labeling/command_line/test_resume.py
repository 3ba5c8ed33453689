"""Runs that end early lose nothing, and can be gone on with."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import shutil
from pathlib import Path

import jsonschema
import pytest
from PIL import Image
from typer.testing import CliRunner

from pam_labeling import formats
from pam_labeling.command_line import run as runs
from pam_labeling.command_line.cli import app
from pam_labeling.command_line.interrupts import Terminated
from pam_labeling.documents import SCHEMA_FILE
from tests.pam_labeling.conftest import draw

pytestmark = pytest.mark.usefixtures("opened")


@pytest.fixture
def pics(tmp_path, monkeypatch):
    """A folder `pics` with a.png to d.png, each with a red rectangle; its parent is current."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pics").mkdir()
    for name in "abcd":
        add(name)
    return tmp_path / "pics"


def add(name, *objects):
    # Each image has another content: the model looks at equal ones only once.
    objects = objects or [("red", 5, 6, 26 + sum(name.encode()) % 30, 20)]
    Image.fromarray(draw(*objects)).save(f"pics/{name}.png")


def annotate(*arguments, output="out.json"):
    command = ["annotate", "pics", "--output", output, *map(str, arguments)]
    return CliRunner().invoke(app, command)


def written_json():
    return json.loads(Path("out.json").read_text("utf-8"))


def names_in(folder="."):
    return sorted(path.name for path in Path(folder).iterdir())


def files_in_json():
    written = written_json()
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text("utf-8")))
    return [image["file"].removeprefix("pics/").removesuffix(".png") for image in written["images"]]


def encoded(model):
    """How many images the model has looked at since the last call."""
    count = sum(number for what, number in model.passes if what == "encode")
    model.passes.clear()
    return count


@pytest.fixture
def ended(monkeypatch):
    """A function that lets runs end with an exception after some images; None: not any more."""
    real = runs.annotate_files

    def end_after(count, exception=KeyboardInterrupt):
        def ending(*arguments, **options):
            results = real(*arguments, **options)
            for _ in range(count):
                yield next(results)
            results.close()
            raise exception

        monkeypatch.setattr(runs, "annotate_files", real if count is None else ending)

    return end_after


@pytest.mark.parametrize(
    ("exception", "code", "word"),
    [(KeyboardInterrupt, 130, "interrupted"), (Terminated, 143, "terminated")],
)
def test_after_an_interrupt_the_file_is_whole_with_what_was_done(
    pics, ended, exception, code, word
):
    ended(2, exception)
    result = annotate()
    assert result.exit_code == code
    assert f"{word} after 2 of 4 images" in result.stderr
    assert "out.json.partial.jsonl has the results so far: add --resume" in result.stderr
    assert "brief red" in result.stdout
    assert files_in_json() == ["a", "b"]


def test_resume_does_each_image_once_also_those_that_were_added(pics, ended, model):
    ended(2)
    annotate()
    encoded(model)
    ended(None)
    add("aa")
    add("e")
    result = annotate("--resume")
    assert result.exit_code == 0, result.output
    assert "--resume: of 6 images 2 done already" in result.stderr
    assert encoded(model) == 4
    assert files_in_json() == ["a", "aa", "b", "c", "d", "e"]
    add("f")
    assert "6 done already" in annotate("--resume").stderr
    assert encoded(model) == 1
    assert files_in_json() == ["a", "aa", "b", "c", "d", "e", "f"]


def test_a_run_that_is_done_needs_no_model_to_write_another_format(pics, opened):
    annotate("--resume")
    assert len(opened) == 1
    assert annotate("--resume", "--polygons", "--format", "coco").exit_code == 0
    assert len(opened) == 1
    assert len(written_json()["annotations"]) == 4


def test_a_run_that_ends_leaves_only_its_file(pics):
    assert annotate().exit_code == 0
    assert names_in() == ["out.json", "pics"]


def test_a_changed_image_is_done_again_and_a_failed_one_tried_again(pics, model):
    (pics / "broken.png").write_bytes(b"no image")
    assert annotate("--resume").exit_code == 1
    encoded(model)
    add("b", ("blue", 1, 1, 9, 9), ("green", 20, 20, 30, 30))
    add("broken")
    (pics / "d.png").unlink()
    result = annotate("--resume")
    assert result.exit_code == 0
    assert "of 4 images 2 done already; 2 changed since, and done again" in result.stderr
    assert encoded(model) == 2
    assert files_in_json() == ["a", "b", "broken", "c"]
    assert len(written_json()["images"][1]["regions"]) == 2


def test_what_failed_for_another_reason_than_the_file_is_tried_again(pics, model):
    model.broken.add("white")
    assert annotate("--resume").exit_code == 1
    model.broken.clear()
    result = annotate("--resume")
    assert result.exit_code == 0
    assert "of 4 images 4 failed, and tried again" in result.stderr


def test_other_options_are_refused_by_name(pics, ended, opened):
    ended(1)
    annotate("--labels", "red,cat", "--max-regions", 3)
    opened.clear()
    result = annotate("--resume", "--labels", "red,dog", "--language", "zh", "--model", "PAM-3B")
    assert result.exit_code == 2
    assert (
        "out.json.partial.jsonl is of a run with other values of --max-regions, --language, "
        "--labels, --model: give the same ones, or another --output" in result.stderr
    )
    assert not opened


def test_the_results_of_an_interrupted_run_are_never_replaced(pics, ended, opened):
    ended(1)
    annotate()
    opened.clear()
    result = annotate()
    assert result.exit_code == 2
    assert "has the results of a run that did not end: add --resume" in result.stderr
    assert not opened


def test_a_run_that_was_stopped_before_its_first_image_stops_no_other(pics, ended):
    ended(0)
    assert annotate().exit_code == 130
    assert files_in_json() == []
    ended(None)
    assert annotate().exit_code == 0
    assert files_in_json() == ["a", "b", "c", "d"]


def test_resume_of_nothing_begins_unless_it_would_replace_something(pics, opened):
    assert annotate("--resume").exit_code == 0
    Path("out.json.partial.jsonl").unlink()
    opened.clear()
    result = annotate("--resume")
    assert result.exit_code == 2
    assert "out.json is there, but not out.json.partial.jsonl" in result.stderr
    assert not opened
    assert names_in() == ["out.json", "pics"]


def test_a_line_that_was_cut_is_done_again_and_a_damaged_one_is_told(pics, ended, model):
    ended(3)
    annotate()
    encoded(model)
    ended(None)
    path = Path("out.json.partial.jsonl")
    size = path.stat().st_size
    os.truncate(path, size - 10)
    assert "2 done already" in annotate("--resume").stderr
    assert encoded(model) == 2
    assert files_in_json() == ["a", "b", "c", "d"]
    with path.open("r+b") as stream:
        stream.seek(size // 2)
        stream.write(b"\0\0\0")
    result = annotate("--resume")
    assert result.exit_code == 2
    assert "is damaged" in result.stderr
    path.write_bytes(b"[1]\n")
    assert "is not the file of an earlier run" in annotate("--resume").stderr


def test_two_runs_do_not_write_one_file(pics, ended, opened):
    ended(1)
    annotate()
    opened.clear()
    with Path("out.json.partial.jsonl").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        for resume in ((), ("--resume",)):
            result = annotate(*resume)
            assert result.exit_code == 2
            assert "another run is writing out.json.partial.jsonl" in result.stderr
    assert not opened


def test_a_full_disk_loses_at_most_the_image_in_work(pics, model):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, limits[1]))
    try:
        result = annotate()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert result.exit_code == 4
    assert "cannot write out.json.partial.jsonl: File too large" in result.stderr
    assert "brief red" in result.stdout
    encoded(model)
    result = annotate("--resume")
    assert result.exit_code == 0
    assert 1 <= encoded(model) < 4
    assert files_in_json() == ["a", "b", "c", "d"]


def test_an_output_that_cannot_be_written_at_the_end_keeps_the_results(pics, monkeypatch):
    def full(name, path, *_, **__):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(formats, "write", full)
    result = annotate()
    assert result.exit_code == 4
    assert "cannot write out.json: No space left on device" in result.stderr
    assert "out.json.partial.jsonl has the results so far: add --resume" in result.stderr
    assert "brief red" in result.stdout


def test_an_interrupt_while_the_output_is_written_keeps_the_results(pics, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(formats, "write", interrupted)
        assert annotate().exit_code == 130
    assert annotate("--resume").exit_code == 0
    assert files_in_json() == ["a", "b", "c", "d"]


def test_a_folder_of_an_interrupted_run_is_replaced_when_it_is_resumed(pics, ended):
    ended(2)
    annotate(output="out.yolo-box")
    ended(None)
    assert len(names_in("out.yolo-box/labels")) == 2
    assert annotate("--resume", output="out.yolo-box").exit_code == 0
    assert len(names_in("out.yolo-box/labels")) == 4
    shutil.rmtree("out.yolo-box/labels")
    assert annotate(output="out.yolo-box").exit_code == 2


def test_overlays_of_an_earlier_run_stay_those_of_their_images(pics, ended):
    (pics / "x").mkdir()
    add("x/d", ("blue", 5, 6, 25, 20))
    options = ("--recursive", "--overlay", "overlays")
    ended(4)
    annotate(*options)
    before = {path.name: path.stat().st_mtime_ns for path in Path("overlays").iterdir()}
    (pics / "c").mkdir()
    add("c/d")
    ended(None)
    annotate("--resume", *options)
    after = {path.name: path.stat().st_mtime_ns for path in Path("overlays").iterdir()}
    assert sorted(after.keys() - before.keys()) == ["d-2.overlay.png", "d-3.overlay.png"]
    assert before.items() <= after.items()


def test_names_that_are_not_utf_8_are_told_apart(pics, ended, model):
    for name in (b"odd\xfe", b"odd\xff"):
        shutil.copy("pics/a.png", b"pics/" + name + b".png")
    ended(5)
    annotate()
    encoded(model)
    ended(None)
    assert "5 done already" in annotate("--resume").stderr
    assert encoded(model) == 1
    assert files_in_json()[-2:] == ["odd?", "odd?"]


def test_the_pages_of_a_file_are_images_of_their_own(pics, ended, model):
    pages = [Image.fromarray(draw((name, 5, 6, 25, 20))) for name in ("red", "green", "blue")]
    pages[0].save("pics/b.tif", save_all=True, append_images=pages[1:])
    pages[1].save("pics/c.tif")
    ended(4)
    assert "after 3 of 6 images" in annotate("--overlay", "overlays").stderr
    encoded(model)
    ended(None)
    annotate("--resume", "--overlay", "overlays")
    assert encoded(model) == 4
    images = written_json()["images"]
    assert [(image["file"].removeprefix("pics/"), image["page"]) for image in images] == [
        ("a.png", None),
        ("b.png", None),
        ("b.tif", 1),
        ("b.tif", 2),
        ("b.tif", 3),
        ("c.png", None),
        ("c.tif", None),
        ("d.png", None),
    ]
    labels = [image["regions"][0]["label"] for image in images]
    assert labels == ["red", "red", "red", "green", "blue", "red", "green", "red"]
    assert "b.page-3.overlay.png" in names_in("overlays")
    assert len(names_in("overlays")) == 8


def test_a_damaged_file_of_pages_fails_once(pics):
    Path("pics/e.tif").write_bytes(b"II*\0 no tiff")
    result = annotate()
    assert result.exit_code == 1
    assert result.stderr.count("e.tif") == 1
