from __future__ import annotations

import json

import pytest

from pam_labeling.formats import FormatError, read_pam_data, write
from pam_labeling.formats.pam_data import read_lines
from pam_model import Question, Task
from tests.hard_shapes import HEADER, entry, pixel, region, ring


def prompt(points=(), box=None, angle=0.0, mask=None):
    return {"points": list(points), "box": box, "angle": angle, "mask": mask}


TEXTS = {
    "label": "what the model said",
    "definition": "a cup: for tea",
    "brief": "a cup\nof tea",
    "detailed": '"long" 长',
}
CASES = [
    (prompt(box=[1.5, 2, 30.25, 28]), TEXTS, "cup"),
    (prompt(points=[(31, 7, True), (2.5, 3, False)]), {"brief": "one"}, None),
    (prompt(points=[(17, 3, True)], box=[1, 2, 30, 28]), {"detailed": "two"}, "a, b"),
    (prompt(box=[1, 1, 9, 9]), {"definition": "what nobody gave a name."}, "a very " * 20 + "cup"),
    (None, {"label": "open"}, None),
]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_prompts_and_answers_survive_the_round_trip(tmp_path, language):
    regions = [region(ring(), label, prompt=given, texts=texts) for given, texts, label in CASES]
    entries = [entry(tmp_path / "a b.png", regions[:3]), entry(tmp_path / "x/猫.png", regions[3:])]
    header = HEADER | {"language": language}
    report = write("pam-data", tmp_path / "set", entries, header)
    assert (report.regions, report.left_out, report.notes) == (5, 0, ())
    read = {one["file"]: one["regions"] for one in read_pam_data(tmp_path / "set")}
    assert set(read) == {"a b.png", "x/猫.png"}
    for one in entries:
        name = one["file"].removeprefix(f"{tmp_path}/")
        for expected in one["regions"]:
            given = expected["prompt"] or prompt(box=[float(edge) for edge in expected["box"]])
            (found,) = (region for region in read[name] if region["prompt"] == given)
            label = expected["label"] or expected["texts"].get("label")
            texts = dict(expected["texts"])
            if label is not None:
                texts["label"] = label
            assert (found["label"], found["texts"]) == (label, texts)


def test_files_have_the_names_of_the_published_set(tmp_path):
    pointed = prompt(points=[(31, 7, True)])
    regions = [
        region(ring(), "cup", texts=TEXTS),
        region(pixel(), "dot", prompt=pointed),
        region(pixel(), prompt=pointed),  # without words
    ]
    report = write("pam-data", tmp_path / "mine.pam-data", [entry("a.png", regions)], HEADER)
    files = (tmp_path / "mine.pam-data").rglob("*.jsonl")
    assert sorted(str(file.relative_to(tmp_path / "mine.pam-data")) for file in files) == [
        "image-obj-caption/mine/mine_box_obj_briefCap_en.jsonl",
        "image-obj-caption/mine/mine_box_obj_detailCap_en.jsonl",
        "image-obj-label/mine/mine_boxNpoint_obj_label_en.jsonl",
        "image-obj-label/mine/mine_box_obj_label_en.jsonl",
        "image-obj-label/mine/mine_box_obj_label_exp_en.jsonl",
    ]
    assert report.left_out == 1
    assert "it holds only regions with a label or a text" in report.notes[0]
    line = tmp_path / "mine.pam-data/image-obj-label/mine/mine_boxNpoint_obj_label_en.jsonl"
    assert json.loads(line.read_text()) == {
        "type": "image",
        "image": "a.png",
        "bbox": None,
        "points": [[31, 7]],
        "labels": [1],
        "conversations": [
            {"from": "human", "value": "<image>\nClassify this subject and provide its label."},
            {"from": "gpt", "value": "dot"},
        ],
    }


def test_masks_and_turned_boxes_become_boxes_and_are_counted(tmp_path):
    turned = prompt(box=[1, 2, 30, 28], angle=30.0)
    masked = prompt(mask=region(ring())["mask"])
    regions = [region(ring(), "cup", prompt=given) for given in (turned, masked)]
    report = write("pam-data", tmp_path / "set", [entry("a.png", regions)], HEADER)
    assert "2 regions have their box" in report.notes[0]


GOOD = {
    "type": "image",
    "image": ["a.png"],
    "bbox": [1, 2, 3.5, 4],
    "points": None,
    "labels": None,
    "conversations": [
        {"from": "human", "value": "<image>\n对该目标对象提供一个概括的描述"},
        {"from": "gpt", "value": "圆盘"},
    ],
}


def test_a_published_line_is_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD) + "\n\n", encoding="utf-8")
    (line,) = read_lines(path)
    assert (line.image, line.box, line.answer) == ("a.png", (1, 2, 4.5, 6), "圆盘")
    assert line.question == Question(Task.BRIEF, "zh")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"type": "video"}, "about a film"),
        ({"bbox": None}, "neither a box nor a point"),
        ({"points": [[1, 2]], "labels": [1, 0]}, "longer|shorter"),
        ({"conversations": [{"value": "<image>\nWhy?"}, {"value": "x"}]}, "not a question of PAM"),
        ({"conversations": []}, "line 1"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_with_its_place(tmp_path, change, told):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(GOOD | change), encoding="utf-8")
    with pytest.raises(FormatError, match=told) as caught:
        list(read_lines(path))
    assert str(caught.value).startswith(f"{path}, line 1: ")


def test_a_line_without_a_key_is_told(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"type": "image"}', encoding="utf-8")
    with pytest.raises(FormatError, match="there is no 'image'"):
        list(read_lines(path))
