"""The examples run as they stand and do what they say.

That of FiftyOne is in `tests/fiftyone_plugin`, which has a database, and that of Label Studio in
`tests/e2e/label_studio`, which has a Label Studio.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import cv2
import jsonschema
import numpy as np
import pytest

from examples import annotate_folder, draw_with_supervision, own_labels
from pam_labeling.command_line.demo import write_scenes
from pam_labeling.documents import SCHEMA_FILE

EXAMPLES = Path(annotate_folder.__file__).parent
SCRIPTS = sorted(EXAMPLES.glob("*.py"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A drawn image and one that cannot be read."""
    folder = tmp_path_factory.mktemp("scenes")
    for path, _ in write_scenes(folder)[1:]:
        path.unlink()
    (folder / "broken.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def written(folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("annotated") / "annotations.json"
    annotate_folder.annotate(folder, output)
    return output


def test_a_folder_becomes_one_valid_document(written):
    document = json.loads(written.read_text(encoding="utf-8"))
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(document)
    broken, scene = document["images"]
    assert broken["error"]
    assert len(scene["regions"]) > 5
    assert all(region["label"] and region["texts"]["brief"] for region in scene["regions"])


def test_supervision_draws_what_the_document_holds(written, folder, tmp_path):
    [drawing] = draw_with_supervision.draw(written, folder, tmp_path)
    before, after = cv2.imread(str(folder / drawing.name)), cv2.imread(str(drawing))
    assert before is not None
    assert after is not None
    assert before.shape == after.shape
    changed = (before != after).any(axis=2)
    document = json.loads(written.read_text(encoding="utf-8"))
    found = draw_with_supervision.detections(document["images"][1])
    assert found.mask is not None
    assert changed[found.mask.any(axis=0)].mean() > 0.9
    np.testing.assert_array_equal(found.area, found.mask.sum(axis=(1, 2)))


def test_an_image_without_regions_can_be_read():
    assert len(draw_with_supervision.detections({"regions": []})) == 0


def test_own_labels_name_every_object(tmp_path):
    labels = own_labels.label_objects(tmp_path)
    assert len(labels) == 4
    chosen = [label for image in labels.values() for label in image]
    assert len(chosen) == 25
    assert set(chosen) == set(own_labels.VOCABULARY.labels)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_examples_are_short_and_say_how_they_are_run(path):
    source = path.read_text(encoding="utf-8")
    assert source.count("\n") < 80
    said = ast.get_docstring(ast.parse(source))
    assert said is not None
    assert f"python examples/{path.name}" in said


def test_the_readme_lists_every_example():
    listed = re.findall(r"\]\((\w+\.py)\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [path.name for path in SCRIPTS]
