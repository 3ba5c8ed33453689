"""The command line: wrong usage, and what cannot be read, written or loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from pam_labeling import formats
from pam_labeling.command_line import terminal
from pam_labeling.command_line.cli import main
from pam_labeling.errors import CheckpointError
from pam_labeling.settings import Settings
from pam_labeling.version import VERSION
from pam_model import Task
from tests.pam_labeling.command_line.called import annotate, run


def test_options_choose_the_model_and_override_the_environment(images, opened, monkeypatch):
    monkeypatch.setenv("PAM_MODEL", "PAM-3B")
    monkeypatch.setenv("PAM_DEVICE", "cuda")
    annotate(images / "red.png", "--device", "cpu", "--dtype", "float32")
    assert opened == [Settings(model="PAM-3B", device="cpu", dtype="float32")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--box", "1,2,3"], "--box must be x1,y1,x2,y2"),
        (["--point", "next"], "between the points"),
        (["--mask", "missing.png"], "--mask missing.png: there is no such file"),
        (["--box", "1,2,3,4", "--everything"], "--everything takes no prompts"),
        (["--labels", "a,,b"], "label 2 of the list is empty"),
        (["--labels", "red circle,a\udcff"], "label 2 of the list, 'a\\udcff', is not valid UTF-8"),
        (["--labels", "a,a"], "'a' is in the list twice"),
        (["--labels", "a", "--label-fit", "2"], "label-fit"),
        (["--tasks", "label,poem"], "--tasks must be among label, definition, brief, detailed"),
        (["--language", "fr"], "--language must be en or zh"),
        (["--max-regions", "0"], "max-regions"),
        (["--max-regions", "2", "--box", "1,1,9,9"], "--max-regions needs --everything"),
        (["--label-fit", "0.5"], "--label-fit needs labels of your own"),
        (["--labels", "a", "--threshold", "0.5"], "--label-fit replaces --threshold"),
        (["--output", "out.txt"], "the name must end with one of .coco.json,"),
        (["--resume"], "--resume needs a file or folder: name it with --output"),
        (["--polygons", "--output", "-"], "--polygons needs a file or folder"),
        (["--polygons", "--output", "x.csv"], "--polygons needs the format coco or label-studio"),
        (["--format", "cocoa", "--output", "x"], "the format must be one of coco,"),
        (["--box", "129,466,4,341"], "--box 129,466,4,341 fits no image"),
        (["--device", "gpu"], "--device must be a text such as"),
        (["--range", "4095"], "--range must be LOW,HIGH"),
        (["--nonsense"], "No such option"),
    ],
)
def test_wrong_usage_ends_with_2_before_the_model_is_loaded(images, opened, options, message):
    result = annotate(images / "red.png", *options)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.replace("│", "").split())
    assert not opened
    assert result.stdout == ""


def test_a_folder_without_images_is_wrong_usage(tmp_path, opened):
    result = annotate(tmp_path)
    assert result.exit_code == 2
    assert "no image files" in result.stderr
    assert not opened


def test_a_model_that_cannot_be_loaded_ends_with_3(images, monkeypatch):
    def broken(settings):
        raise ValueError("model.layers.0 is missing")

    monkeypatch.setattr(Settings, "open_annotator", broken)
    result = annotate(images / "red.png", "--model", "some/where")
    assert result.exit_code == 3
    assert "cannot load the model some/where: model.layers.0 is missing" in result.stderr


def test_an_output_that_cannot_be_written_ends_with_4_before_the_work(images, opened, tmp_path):
    (tmp_path / "file").touch()
    for option in ("--output", "--overlay"):
        result = annotate(images / "red.png", option, tmp_path / "file" / "out.json")
        assert result.exit_code == 4
        assert "cannot make the folder" in result.stderr
    assert annotate(images / "red.png", "--output", f"{images}").exit_code == 2
    assert not opened


@pytest.mark.usefixtures("opened")
def test_an_overlay_that_cannot_be_written_ends_with_4_and_loses_nothing(images, tmp_path):
    (tmp_path / "overlays" / "red.overlay.png").mkdir(parents=True)
    output = tmp_path / "out.json"
    files = (images / "red.png", images / "green.png")
    result = annotate(*files, "--overlay", tmp_path / "overlays", "--output", output)
    assert result.exit_code == 4
    assert "cannot write the overlay" in result.stderr
    written = json.loads(output.read_text("utf-8"))["images"]
    assert [len(image["regions"]) for image in written] == [2, 1]
    assert (tmp_path / "overlays" / "green.overlay.png").is_file()


def test_download_prints_the_folder_and_explains_a_failure(monkeypatch, tmp_path):
    def download(name, *, cache_dir, progress):
        if name == "PAM-9B":
            raise CheckpointError("there is no checkpoint of that name")
        return cache_dir / name

    monkeypatch.setattr("pam_model.checkpoints.hub.download", download)
    result = run("download", "PAM-3B", "--cache-dir", tmp_path)
    assert (result.exit_code, result.stdout.strip()) == (0, str(tmp_path / "PAM-3B"))
    result = run("download", "PAM-9B")
    assert result.exit_code == 3
    assert "cannot download PAM-9B: there is no checkpoint of that name" in result.stderr


def test_version_help_and_wrong_usage_need_no_torch(images, tmp_path):
    (tmp_path / "empty").mkdir()
    picture = str(images / "red.png")
    wrong = [
        ["annotate", picture, "--box", "129,466,4,341"],
        ["annotate", picture, "--tasks", "poem"],
        ["annotate", picture, "--labels", "@gone.txt"],
        ["annotate", picture, "--mask", "gone.png"],
        ["annotate", picture, "--output", "out.txt"],
        ["annotate", picture, "--device", "tpu"],
        ["annotate", str(tmp_path / "empty")],
        ["label-fit", picture, "--labels", "a,a"],
    ]
    code = (
        "import sys; from pam_labeling.command_line.cli import app\n"
        "for option in ('--version', '--help'): app([option], standalone_mode=False)\n"
        f"codes = [app(arguments, standalone_mode=False) for arguments in {wrong!r}]\n"
        "sys.exit(0 if set(codes) == {2} and 'torch' not in sys.modules else str(codes))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stderr
    assert run("--version").stdout == f"pam-labeling {VERSION}\n"
    assert "annotate" in run("--help").stdout
    assert "Exit codes: 0 all done" in run("annotate", "--help").stdout


@pytest.mark.parametrize("command", ["annotate", "label-fit", "download", "demo"])
def test_the_help_is_whole_at_80_columns(monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    shown = run(command, "--help").stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80


def test_the_help_names_the_formats_and_tasks(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    shown = " ".join(run("annotate", "--help").stdout.replace("│", " ").split())
    for name in (*formats.FORMATS, *(task.value for task in Task)):
        assert name in shown


@pytest.mark.usefixtures("opened")
def test_folders_in_folders_and_what_is_passed_over(images, tmp_path):
    (images / "sub").mkdir()
    shutil.copy(images / "red.png", images / "sub" / "k.png")
    (images / "notes.txt").touch()
    output = tmp_path / "out.json"
    flat = annotate(images, "--output", output)
    told = " ".join(flat.stderr.split())
    assert f"passed over folders, which --recursive looks into (1): {images}/sub" in told
    assert f"passed over files that are not named like images (1): {images}/notes.txt" in told
    assert len(json.loads(output.read_text("utf-8"))["images"]) == 3
    annotate(images, "--recursive", "--output", output)
    assert len(json.loads(output.read_text("utf-8"))["images"]) == 4


@pytest.mark.usefixtures("opened")
def test_paths_that_cannot_be_read_fail_alone(images, tmp_path, monkeypatch):
    real = os.scandir

    def scandir(folder):
        if str(folder).endswith("locked"):
            raise PermissionError(13, "Permission denied", folder)
        return real(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    (images / "locked").mkdir()
    os.mkfifo(images / "pipe")
    (images / "loop").symlink_to("loop")
    output = tmp_path / "out.json"
    odd = ("x" * 300, "a\udcffb", images / "pipe", images / "loop", images / "locked")
    result = annotate(*odd, images / "red.png", "--output", output)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    *failed, red = json.loads(output.read_text("utf-8"))["images"]
    assert len(red["regions"]) == 2
    for entry, reason in zip(
        failed,
        ("File name too long", "no such file", "not a regular file", "cannot be read", "denied"),
        strict=True,
    ):
        assert reason in entry["error"]


def test_folders_that_cannot_be_read_need_no_model(images, opened, monkeypatch):
    def scandir(folder):
        raise PermissionError(13, "Permission denied", folder)

    monkeypatch.setattr(os, "scandir", scandir)
    result = annotate(images)
    assert result.exit_code == 1
    assert "the folder cannot be read (Permission denied)" in result.stderr
    assert not opened


@pytest.mark.parametrize("option", ["--output", "--overlay", "--mask", "--labels"])
def test_names_that_are_too_long_are_told_before_the_model_is_loaded(images, opened, option):
    value = f"{'@' if option == '--labels' else ''}{'x' * 300}.json"
    result = annotate(images / "red.png", option, value)
    assert result.exit_code in (2, 4)
    assert "File name too long" in " ".join(result.stderr.split())
    assert "Traceback" not in result.output
    assert not opened


@pytest.mark.usefixtures("opened")
def test_the_table_shows_only_so_many_rows(images, monkeypatch):
    monkeypatch.setattr(terminal, "_ROWS", 2)
    shown = annotate(images / "red.png", images / "green.png", images / "broken.png").stdout
    assert shown.count("red.png") == 2
    assert "green.png" not in shown
    assert "and 2 more images, not in this table" in shown


def test_ctrl_c_while_the_model_is_loaded_ends_with_130(images, monkeypatch):
    def interrupted(settings):
        raise KeyboardInterrupt

    monkeypatch.setattr(Settings, "open_annotator", interrupted)
    result = annotate(images / "red.png", "--output", images / "out.json")
    assert result.exit_code == 130
    assert not list(images.glob("out.json*"))


@pytest.mark.usefixtures("opened")
def test_overlays_never_overwrite_the_images(images):
    before = (images / "red.png").read_bytes()
    assert annotate(images / "red.png", "--overlay", images).exit_code == 0
    assert (images / "red.png").read_bytes() == before
    assert (images / "red.overlay.png").is_file()


@pytest.mark.usefixtures("opened")
def test_a_file_name_that_is_not_utf_8_spoils_nothing(images, tmp_path):
    odd = os.fsencode(tmp_path) + b"/odd\xff.png"
    shutil.copy(images / "red.png", odd)
    output = tmp_path / "out.json"
    result = annotate(os.fsdecode(odd), images / "green.png", "--output", output)
    assert result.exit_code == 0
    written = json.loads(output.read_text("utf-8"))
    assert written["images"][0]["file"].endswith("odd?.png")
    assert len(written["images"][0]["regions"]) == 2


def test_the_program_starts_as_people_start_it(images):
    program = "from pam_labeling.command_line.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", program, "annotate", str(images / "red.png"), "--tasks", "诗"],
        capture_output=True,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert result.returncode == 2
    assert b"not '?'" in result.stderr


@pytest.mark.usefixtures("opened")
def test_a_huge_image_fails_without_a_warning_on_the_way(images, monkeypatch, capfd):
    Image.new("1", (9500, 9500)).save(images / "huge.png")
    monkeypatch.setattr("sys.argv", ["pam-labeling", "annotate", str(images / "huge.png")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    message = capfd.readouterr().err
    assert "too large" in message
    assert "Warning" not in message


@pytest.mark.usefixtures("opened")
def test_a_folder_without_write_permission_ends_with_4(images, tmp_path, monkeypatch):
    monkeypatch.setattr("os.access", lambda *_: False)
    result = annotate(images / "red.png", "--output", tmp_path / "out.json")
    assert result.exit_code == 4
    assert "cannot write into the folder" in result.stderr


def test_a_token_limit_below_one_is_wrong_usage(images, opened):
    assert annotate(images / "red.png", "--max-new-tokens", 0).exit_code == 2
    output = images / "folder.json"
    output.mkdir()
    result = annotate(images / "red.png", "--output", output)
    assert result.exit_code == 2
    assert "is a folder" in result.stderr
    assert not opened
