"""Signals to real processes. One process imports everything, and then becomes all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from tests.pam_labeling.conftest import draw

_IMAGES = 30
_PROGRAM = """
import os, sys
from pam_labeling.annotator import Annotator
from pam_labeling.command_line.cli import main
from pam_labeling.settings import Settings
from tests.pam_labeling.conftest import FakePAM

model = FakePAM()
model.tokens_per_pass = model.region_tokens  # one region in a pass
model.seconds_per_answer = 0.1
Settings.open_annotator = lambda settings: Annotator(model)
for name, *options in map(str.split, sys.stdin):
    child = os.fork()
    if child == 0:
        os.dup2(os.open(f"{name}.log", os.O_WRONLY | os.O_CREAT), 2)
        os.dup2(2, 1)
        sys.argv = ["pam-labeling", "annotate", "pics", "--output", f"{name}.json", *options]
        main()
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """A folder with the outputs of runs that were ended by each signal, and their exit codes."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "pics").mkdir()
    for number in range(_IMAGES):
        image = Image.fromarray(draw(("red", 5, 6, 25 + number, 20)))
        image.save(folder / "pics" / f"{number:02}.png")
    root = str(Path(__file__).parents[3])
    signals = {"killed": signal.SIGKILL, "terminated": signal.SIGTERM, "stopped": signal.SIGINT}
    codes = {}
    process = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{root}/model"},
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process, process.stdin as program, process.stdout as out:
        for name, number in signals.items():
            overlay = "--overlay overlays" if name == "killed" else ""
            print(name, "--model nano", overlay, file=program, flush=True)
            child, until = int(out.readline()), time.monotonic() + 60
            while lines_of(folder / f"{name}.json.partial.jsonl") < 14:
                assert time.monotonic() < until, (folder / f"{name}.log").read_text()
                time.sleep(0.02)
            os.kill(child, number)
            codes[name] = int(out.readline())
    return folder, codes


def lines_of(path):
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_kill_9_leaves_every_image_that_was_done(ended):
    folder, codes = ended
    assert codes["killed"] == -signal.SIGKILL
    assert not (folder / "killed.json").exists()
    _, *lines = (folder / "killed.json.partial.jsonl").read_bytes().splitlines(keepends=True)
    entries = [json.loads(line) for line in lines if line.endswith(b"\n")]
    assert [entry["file"] for entry in entries] == [f"pics/{n:02}.png" for n in range(len(entries))]
    # An overlay is whole, and drawn before its image counts as done.
    overlays = sorted((folder / "overlays").glob("*.overlay.png"))
    assert len(entries) <= len(overlays) <= len(entries) + 1
    for overlay in overlays:
        with Image.open(overlay) as image:
            image.load()


@pytest.mark.parametrize(("name", "code"), [("terminated", 143), ("stopped", 130)])
def test_after_sigterm_and_ctrl_c_the_file_is_whole(ended, name, code):
    folder, codes = ended
    log = (folder / f"{name}.log").read_text()
    assert codes[name] == code, log
    assert "Traceback" not in log
    images = json.loads((folder / f"{name}.json").read_text("utf-8"))["images"]
    assert len(images) == lines_of(folder / f"{name}.json.partial.jsonl") - 1
    assert 13 <= len(images) < _IMAGES
    assert f"after {len(images)} of 30 images" in log


def test_the_progress_is_told_where_stderr_is_a_file(ended):
    folder, _ = ended
    log = (folder / "terminated.log").read_text()
    assert re.search(r"^\d+ of 30 images in 0:00:\d\d, about 0:00:\d\d left$", log, re.MULTILINE)
