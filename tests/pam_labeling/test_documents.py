from __future__ import annotations

import json
import stat

import jsonschema
import numpy as np
import pytest

from pam_labeling.documents import (
    SCHEMA_FILE,
    document,
    failed_entry,
    image_entry,
    write_json,
)
from pam_labeling.masks import decode_rle
from pam_labeling.regions import Annotation, Provenance, Refusal, Region, Scores
from pam_model import Prompt, Task


def region(x1, y1, x2, y2, *, label="cat", prompt=None, score=None):
    mask = np.zeros((6, 8), dtype=np.bool_)
    mask[y1:y2, x1:x2] = True
    return Region.from_mask(
        mask,
        Scores(0.91, 0.99, score),
        Provenance("fake", "1", prompt),
        label=label,
        texts={(Task.BRIEF, "zh"): "一只猫"},
    )


def example(labels=None):
    mask = Prompt.from_mask(np.eye(6, 8))
    clicks = Prompt.from_points([(1, 2), (3, 4)], [True, False])
    results = (
        region(0, 0, 3, 2, prompt=Prompt.from_box((0, 0, 3, 2.5), angle=30)),
        region(2, 2, 8, 6, label=None, prompt=mask, score=0.4),
        region(1, 1, 2, 2, label="dog"),
        Refusal(clicks, "nothing here", Scores(0.1, 0.2)),
    )
    entries = [
        image_entry("a.png", Annotation((8, 6), results)),
        failed_entry("broken.png", ValueError("damaged")),
        image_entry("b.png", Annotation((8, 6), results[:1])),
    ]
    return document(entries, model="fake", language="zh", tasks=["brief"], labels=labels)


def test_the_document_follows_its_schema():
    schema = json.loads(SCHEMA_FILE.read_text("utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    for labels in (None, ["cat", "dog"]):
        plain = json.loads(json.dumps(example(labels)))
        jsonschema.Draft202012Validator(schema).validate(plain)


def test_a_region_has_box_mask_label_scores_and_texts():
    first, second, _ = example()["images"][0]["regions"]
    assert first["box"] == [0, 0, 3, 2]
    assert first["area"] == 6
    assert decode_rle(first["mask"]).sum() == 6
    assert first["label"] == "cat"
    assert first["scores"] == {"iou": 0.91, "object": 0.99, "label": None}
    assert first["texts"] == {"brief": "一只猫"}
    assert second["label"] is None


def test_prompts_are_told_as_they_were_given():
    images = example()["images"]
    boxed, masked, found = (entry["prompt"] for entry in images[0]["regions"])
    assert boxed is not None
    assert (boxed["box"], boxed["angle"], boxed["points"]) == ([0, 0, 3, 2.5], 30, [])
    assert masked is not None
    assert masked["mask"] is not None
    np.testing.assert_array_equal(decode_rle(masked["mask"]), np.eye(6, 8) > 0)
    assert found is None
    (refusal,) = images[0]["refusals"]
    assert refusal["prompt"]["points"] == [(1, 2, True), (3, 4, False)]
    assert refusal["reason"] == "nothing here"


def test_a_failed_image_has_its_error_and_nothing_else():
    assert example()["images"][1] == {
        "file": "broken.png",
        "width": None,
        "height": None,
        "regions": [],
        "refusals": [],
        "note": None,
        "error": "damaged",
    }
    assert failed_entry("x", MemoryError())["error"] == "MemoryError"


def test_a_file_that_cannot_be_finished_leaves_the_old_one_alone(tmp_path):
    path = tmp_path / "out.json"
    write_json(path, {"old": "你好"})
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"new": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"old": "你好"}
    assert [file.name for file in tmp_path.iterdir()] == ["out.json"]


def test_a_written_file_has_the_usual_mode(tmp_path):
    usual = tmp_path / "usual"
    usual.touch()
    write_json(tmp_path / "out.json", {})
    modes = {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()}
    assert len(modes) == 1


def test_names_that_are_not_utf_8_can_be_written(tmp_path):
    content = document([], model="a\udcff", language="en", tasks=(), labels=("b\udcff",))
    write_json(tmp_path / "out.json", content)
    written = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert (written["model"], written["labels"]) == ("a?", ["b?"])
