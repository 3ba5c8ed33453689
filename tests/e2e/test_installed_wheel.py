"""The built package, installed afresh and used from the outside, as somebody else would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from pam_labeling.masks import decode_rle

ROOT = Path(__file__).resolve().parents[2]
CIRCLE = (60, 40, 180, 160)


def run(*command, cwd, env=None):
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that nothing that an earlier build left behind gets in."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    for name in ("model", "pam_labeling", "label_studio_backend"):
        shutil.copytree(
            ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
        )
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", cwd=folder)
    (built,) = folder.glob("dist/*.whl")
    return built


@pytest.fixture(scope="module")
def installed(tmp_path_factory, wheel):
    """An environment with the wheel; what it depends on is borrowed from this one."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel, cwd=folder)
    program = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = Path(run(python, "-c", program, cwd=folder).strip())
    # A folder named in a .pth file is searched last, and its own .pth files (this repository's
    # editable installation) are not read.
    (packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder


@pytest.fixture(scope="module")
def outside():
    """Without anything that could lead Python back to this repository."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def test_the_packages_are_those_of_the_wheel(installed, outside, tmp_path):
    program = "import pam_labeling, pam_model; print(pam_labeling.__file__, pam_model.__file__)"
    files = run(installed / "bin" / "python", "-c", program, cwd=tmp_path, env=outside).split()
    assert len(files) == 2
    assert all(Path(file).is_relative_to(installed) for file in files)


def test_says_its_version(installed, outside, tmp_path):
    said = run(installed / "bin" / "pam-labeling", "--version", cwd=tmp_path, env=outside)
    assert said.startswith("pam-labeling 0.")


def test_annotates_a_real_file(installed, outside, tmp_path):
    image = Image.new("RGB", (320, 240), "white")
    ImageDraw.Draw(image).ellipse(CIRCLE, fill=(200, 30, 30))
    image.save(tmp_path / "circle.png")
    run(
        installed / "bin" / "pam-labeling",
        *("annotate", "circle.png", "--box", ",".join(map(str, CIRCLE))),
        *("--output", "answers.json", "--overlay", "overlays"),
        cwd=tmp_path,
        env=outside,
    )
    (answer,) = json.loads((tmp_path / "answers.json").read_text())["images"]
    (region,) = answer["regions"]
    assert "circle" in region["label"].lower()
    found = decode_rle(region["mask"])
    drawn = np.asarray(image)[..., 1] < 128
    assert (found & drawn).sum() / (found | drawn).sum() > 0.9
    (overlay,) = (tmp_path / "overlays").iterdir()
    with Image.open(overlay) as drawing:
        drawing.load()
