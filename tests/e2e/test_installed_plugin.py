"""FiftyOne's plugin, downloaded alone into an environment that has FiftyOne and not pam-labeling.

The environment is new, but what others made is borrowed from this one: that pip finds it all on an
index is not what is tested here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.fiftyone_plugin.conftest import Database, scene
from tests.fiftyone_plugin.served import repository

ROOT = Path(__file__).resolve().parents[2]
NAME = "@pam-labeling/pam"
CLI = "from fiftyone.core.cli import main; main()"
LOADS_THE_ZOO = """
import sys, fiftyone.zoo as foz
foz.load_zoo_model(sys.argv[1], model_name="pam-nano")
"""
USES_THE_PLUGIN = """
import json, sys
import fiftyone as fo, fiftyone.operators as foo, fiftyone.zoo as foz
import fiftyone_plugin, pam_labeling, pam_model
image, boxes, source = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3]
dataset = fo.Dataset()
labels = [fo.Detection(bounding_box=box) for box in boxes]
dataset.add_sample(fo.Sample(filepath=image, boxes=fo.Detections(detections=labels)))
run = foo.get_operator("@pam-labeling/pam/caption_regions")(dataset, field="boxes", model="nano")
model = foz.load_zoo_model(source, model_name="pam-nano")
dataset.apply_model(model, label_field="pam", prompt_field="boxes")
undo = foo.get_operator("@pam-labeling/pam/undo_run")
print("ANSWER " + json.dumps({
    "state": run["state"],
    "captions": dataset.values("boxes.detections.caption", unwind=True),
    "zoo": dataset.values("pam.detections.caption", unwind=True),
    "files": [module.__file__ for module in (fiftyone_plugin, pam_labeling, pam_model)],
    "operator": sys.modules[type(undo).__module__].__file__,
}))
dataset.delete()
"""


@dataclass
class Fresh:
    """An environment.

    Attributes:
        folder: the environment.
        variables: for processes in it.
        source: the address of the repository's zip.
        complaint: what the zoo's source said before pam-labeling was there.
    """

    folder: Path
    variables: dict[str, str]
    source: str
    complaint: str = ""

    def run(self, *command, fails=False):
        done = subprocess.run(
            [str(self.folder / "bin" / "python"), *map(str, command)],
            cwd=self.folder,
            env=self.variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stdout + (done.stderr if fails else "")

    def fiftyone(self, *arguments):
        return self.run("-c", CLI, *arguments)


@pytest.fixture(scope="module")
def database():
    before = dict(os.environ)
    database = Database()
    yield
    database.stop()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    """A folder with pam-labeling's wheel, built from a copy."""
    folder = tmp_path_factory.mktemp("build")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("model", "pam_labeling", "label_studio_backend", "fiftyone_plugin"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignored)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "dist"


@pytest.fixture(scope="module")
def installed(tmp_path_factory, database, wheels):
    """FiftyOne's own commands, as the README has them, in an environment without pam-labeling."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    borrow(folder)
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    variables |= {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_FIND_LINKS": str(wheels)}
    variables |= {"OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    with repository(tmp_path_factory.mktemp("web")) as source:
        fresh = Fresh(folder, variables, source)
        fresh.complaint = fresh.run("-c", LOADS_THE_ZOO, source, fails=True)
        fresh.fiftyone("plugins", "download", source)
        fresh.fiftyone("plugins", "requirements", NAME, "--install")
        yield fresh


def borrow(folder):
    """Let an environment see what others made of this one, and nothing of pam-labeling."""
    borrowed = folder / "borrowed"
    borrowed.mkdir()
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        if "pam_labeling" not in path.name and path.suffix != ".pth":
            (borrowed / path.name).symlink_to(path)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "lib" / version / "site-packages"
    (packages / "borrowed.pth").write_text(f"{borrowed}\n")


def test_without_pam_labeling_the_zoo_says_how_to_get_it(installed):
    assert "ImportError: PAM needs the package pam-labeling" in installed.complaint
    assert "pip install ." in installed.complaint


def test_fiftyone_lists_the_plugin(installed):
    listed = installed.fiftyone("plugins", "list")
    (line,) = [line for line in listed.splitlines() if NAME in line]
    assert "✓" in line
    operators = installed.fiftyone("operators", "list", "--include-unlisted")
    assert f"{NAME}/caption_regions" in operators
    assert f"{NAME}/review_regions" in operators


def test_fiftyone_finds_its_requirements_satisfied(installed):
    installed.fiftyone("plugins", "requirements", NAME, "--ensure")


def test_operators_and_zoo_run(installed, tmp_path):
    drawn = scene(0)
    image = tmp_path / "scene.png"
    Image.fromarray(drawn.image).save(image)
    height, width = drawn.image.shape[:2]
    boxes = [
        [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
        for x1, y1, x2, y2 in (map(float, item.box) for item in drawn.objects)
    ]
    said = installed.run("-c", USES_THE_PLUGIN, image, json.dumps(boxes), installed.source)
    answer = json.loads(said.partition("ANSWER ")[2])
    assert answer["state"] == "finished"
    assert len(answer["captions"]) == len(boxes)
    assert all(answer["captions"])
    assert answer["zoo"] == answer["captions"]
    assert all(Path(file).is_relative_to(installed.folder / "lib") for file in answer["files"])
    plugins = Path(os.environ["FIFTYONE_PLUGINS_DIR"])
    assert Path(answer["operator"]).is_relative_to(plugins)
