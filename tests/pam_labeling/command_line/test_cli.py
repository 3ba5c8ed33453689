"""The command line, as people call it."""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from pam_labeling.documents import SCHEMA_FILE
from pam_labeling.masks import decode_rle
from tests.pam_labeling.command_line.called import annotate, run
from tests.pam_labeling.conftest import draw


@pytest.mark.usefixtures("opened")
def test_boxes_and_points_become_json(images, tmp_path):
    output = tmp_path / "new" / "out.json"
    result = annotate(
        images / "red.png", "--box", "5,6,25,20", "--point", "40,20", "--point", "1,1,-",
        "--tasks", "label,definition,brief,detailed", "--output", output,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    written = json.loads(output.read_text("utf-8"))
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text("utf-8")))
    assert written["model"] == "fake"
    (image,) = written["images"]
    assert [region["label"] for region in image["regions"]] == ["red", "blue"]
    assert image["regions"][0]["box"] == [5, 6, 25, 20]
    assert decode_rle(image["regions"][0]["mask"]).sum() == 20 * 14
    assert list(image["regions"][0]["texts"]) == ["label", "definition", "brief", "detailed"]


@pytest.mark.usefixtures("opened")
def test_without_prompts_everything_is_found_and_a_table_printed(images):
    result = annotate(images / "red.png")
    assert result.exit_code == 0
    for text in ("red", "brief blue", "30 10 60 40", "0.90"):
        assert text in result.stdout
    assert annotate(images / "red.png", "--everything").stdout == result.stdout
    assert "brief blue" not in annotate(images / "red.png", "--max-regions", 1).stdout


@pytest.mark.usefixtures("opened")
def test_json_on_stdout_comes_alone(images):
    result = annotate(images / "red.png", "--output", "-")
    assert len(json.loads(result.stdout)["images"][0]["regions"]) == 2


@pytest.mark.usefixtures("opened")
def test_one_failed_image_loses_no_other(images, tmp_path):
    output = tmp_path / "out.json"
    result = annotate(images, "--output", output)
    assert result.exit_code == 1
    assert "broken.png: not an image" in result.stderr
    assert "failed" in result.stdout
    written = json.loads(output.read_text("utf-8"))
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text("utf-8")))
    assert [len(image["regions"]) for image in written["images"]] == [0, 1, 2]
    assert "not an image" in written["images"][0]["error"]


@pytest.mark.usefixtures("opened")
def test_a_prompt_outside_one_image_fails_that_image(images, tmp_path):
    Image.fromarray(draw(("red", 0, 0, 9, 9), size=(20, 20))).save(images / "small.png")
    result = annotate(images / "red.png", images / "small.png", "--point", "40,20")
    assert result.exit_code == 1
    assert "small.png: prompt 1: the point (40, 20) is outside" in result.stderr
    assert "blue" in result.stdout


@pytest.mark.usefixtures("opened")
def test_a_prompt_on_nothing_is_told_and_is_no_failure(images, tmp_path):
    output = tmp_path / "out.json"
    result = annotate(images / "red.png", "--point", "1,1", "--output", output)
    assert result.exit_code == 0
    assert "the model sees no object here" in result.stdout
    (image,) = json.loads(output.read_text("utf-8"))["images"]
    assert image["regions"] == []
    assert len(image["refusals"]) == 1


@pytest.mark.usefixtures("opened")
def test_coco_output_is_read_by_pycocotools(images, tmp_path):
    output = tmp_path / "out.coco.json"
    assert annotate(images, "--labels", "red,green,cat", "--output", output).exit_code == 1
    coco = COCO(str(output))
    names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
    # A blue object, which no label fits, is in a category of its own.
    assert names == ["red", "green", "cat", "unlabelled"]
    assert len(coco.getImgIds()) == 2
    assert len(coco.getAnnIds()) == 3
    # What supervision joins with the folder of images.
    assert {image["file_name"] for image in coco.loadImgs(coco.getImgIds())} == {
        "red.png",
        "green.png",
    }
    assert all(0 < found["score"] <= 1 for found in coco.loadAnns(coco.getAnnIds()))
    assert annotate(images, "--polygons", "--output", output).exit_code == 1
    outlines = [found["segmentation"] for found in COCO(str(output)).anns.values()]
    assert all(isinstance(outline, list) for outline in outlines)


@pytest.mark.usefixtures("opened")
def test_labels_are_chosen_from_the_list_where_they_fit(images, tmp_path):
    output = tmp_path / "out.json"
    options = ("--labels", "Reds, cat", "--label-fit", 0.9, "--output", output)
    assert annotate(images / "red.png", *options).exit_code == 0
    written = json.loads(output.read_text("utf-8"))
    assert written["labels"] == ["Reds", "cat"]
    assert written["tasks"] == ["brief"]
    red, blue = written["images"][0]["regions"]
    assert (red["label"], red["open_label"]) == ("Reds", None)
    assert (blue["label"], blue["open_label"]) == (None, "blue")
    assert red["scores"]["label"] == pytest.approx(np.exp(-0.1), abs=1e-3)
    assert blue["scores"]["label"] < 0.001


@pytest.mark.usefixtures("opened")
def test_label_fit_shows_the_best_label_and_the_models_own_best_fits_first(images, monkeypatch):
    monkeypatch.chdir(images)
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[1:4, 1:4] = 255
    Image.fromarray(mask).save("mask.png")
    prompts = ("--box", "5,6,25,20", "--box", "30,10,60,40", "--mask", "mask.png")
    result = run("label-fit", "red.png", "--labels", "cat,Blues", *prompts, "--overlay", "overlays")
    assert result.exit_code == 0, result.output
    rows = [line.replace("│", " ").split() for line in result.stdout.splitlines()]
    assert [row[1:] for row in rows if row and row[0] == "red.png"] == [
        ["2", "30", "10", "60", "40", "blue", "Blues", "0.905", *"✓✓✓✓✓✓"],
        ["1", "5", "6", "25", "20", "red", "cat", "0.000"],
        ["3", "1", "1", "4", "4", "nothing", "here", "—", "0.000"],
    ]
    assert rows[-2] == ["kept", *["1/3"] * 6]
    assert [file.name for file in (images / "overlays").iterdir()] == ["red.overlay.png"]


@pytest.mark.usefixtures("opened")
@pytest.mark.parametrize("command", ["annotate", "label-fit"])
def test_that_nobody_named_a_model_is_said_once(images, monkeypatch, command):
    monkeypatch.delenv("PAM_MODEL", raising=False)
    labels = ("--labels", "red,cat")
    silent = run(command, images, *labels, "--model", "nano")
    assert "note:" not in silent.stderr
    told = run(command, images, *labels)
    assert told.stderr.count("no model was named, so this is nano") == 1
    monkeypatch.setenv("PAM_MODEL", "nano")
    assert "note:" not in run(command, images, *labels).stderr


@pytest.mark.usefixtures("opened")
def test_the_json_tells_that_nobody_named_a_model(images, monkeypatch):
    monkeypatch.delenv("PAM_MODEL", raising=False)
    path = images / "red.png"
    assert "nano" in json.loads(annotate(path, "--output", "-").stdout)["note"]
    named = annotate(path, "--output", "-", "--model", "nano")
    assert json.loads(named.stdout)["note"] is None


@pytest.mark.usefixtures("opened")
def test_labels_of_the_same_form_are_warned_about(images):
    told = annotate(images, "--labels", "Reds,cat,red").stderr
    assert told.count("warning:") == 1
    assert "'Reds' and 'red' are the same label" in told
    assert "warning:" not in annotate(images, "--labels", "red,cat").stderr


def test_label_fit_needs_labels(images, opened):
    result = run("label-fit", images / "red.png")
    assert result.exit_code == 2
    assert "--labels" in result.stderr
    assert not opened


@pytest.mark.usefixtures("opened")
def test_a_mask_file_is_a_prompt(images, tmp_path):
    mask = np.zeros((48, 64), dtype=np.uint8)
    mask[10:20, 30:45] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    result = annotate(images / "red.png", "--mask", tmp_path / "mask.png")
    assert result.exit_code == 0
    assert "30 10 45 20" in result.stdout


@pytest.mark.usefixtures("opened")
def test_chinese_answers(images):
    result = annotate(images / "green.png", "--language", "zh")
    assert "绿色" in result.stdout


@pytest.mark.usefixtures("opened")
def test_masks_only_asks_the_language_model_nothing(images, model):
    assert annotate(images / "red.png", "--tasks", "").exit_code == 0
    assert model.calls["prefill"] == 0


@pytest.mark.usefixtures("opened")
def test_overlays_are_written_for_each_image_that_went_well(images, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(draw(("red", 1, 1, 9, 9))).save(other / "red.jpg")
    folder = tmp_path / "overlays"
    assert annotate(images, other / "red.jpg", "--overlay", folder).exit_code == 1
    assert sorted(file.name for file in folder.iterdir()) == [
        "green.overlay.png",
        "red-2.overlay.png",
        "red.overlay.png",
    ]
    with Image.open(folder / "red.overlay.png") as overlay:
        assert overlay.width == 720
        red, green, blue = overlay.convert("RGB").getpixel((15 * 720 // 64, 13 * 720 // 64))
    assert red > 150 > max(green, blue)
