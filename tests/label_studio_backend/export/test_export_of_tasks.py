"""`export`: which annotations of a task, which images, and what goes wrong."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from label_studio_backend.export.names import FileNames
from pam_labeling.formats import brush_rle
from pam_labeling.masks import decode_rle
from tests.hard_shapes import SIZE, frame, parts, pixel, ring
from tests.label_studio_backend.conftest import png
from tests.label_studio_backend.export.exported import (
    CONFIG,
    annotate,
    brush,
    document,
    regions,
    result,
)
from tests.label_studio_backend.fake_label_studio import Fault


def masks(regions):
    return [decode_rle(region["mask"]) for region in regions]


def test_the_ground_truth_or_the_newest_annotation_is_taken(fake, export):
    annotate(fake, brush(ring(), "ring"), updated_at="2026-01-03", ground_truth=True)
    annotate(fake, brush(pixel(), "ring", region="r2"), updated_at="2026-01-05")
    annotate(fake, brush(frame(), "ring"), updated_at="2026-01-07", was_cancelled=True)
    output = export("--to", "json")
    assert "1 annotations left out: they skip" in output
    np.testing.assert_array_equal(masks(regions()), [ring()])
    fake.tasks[1]["annotations"][0]["ground_truth"] = False
    output = export("--to", "json")
    assert "1 tasks have several annotations" in output
    np.testing.assert_array_equal(masks(regions()), [pixel()])
    export("--to", "json", "--which", "all")
    np.testing.assert_array_equal(masks(regions()), [ring(), pixel()])
    output = export("--to", "json", "--which", "ground-truth")
    assert "1 tasks left out: they have no annotations to take" in output
    assert document()["images"] == []


def test_drafts_and_predictions_are_taken_when_asked_for(fake, export):
    fake.tasks[1]["drafts"] = [{"id": 1, "result": [brush(pixel(), "ring")]}]
    fake.add_prediction(1, "other", result=[brush(frame(), "ring", score=0.5)])
    fake.add_prediction(1, "nano (pam-labeling)", result=[brush(parts(), "ring", score=0.75)])
    fake.add_prediction(1, "third", result=[])
    export("--to", "json", "--from", "drafts")
    np.testing.assert_array_equal(masks(regions()), [pixel()])
    export("--to", "json", "--from", "predictions", "--model-version", "nano")
    (region,) = regions()
    np.testing.assert_array_equal(decode_rle(region["mask"]), parts())
    assert region["scores"] == {"score": 0.75}
    assert document()["model"] == "nano"
    export("--to", "coco", "--from", "predictions", "--model-version", "other")
    (annotation,) = json.loads(Path("project-1.coco.json").read_text())["annotations"]
    assert annotation["score"] == 0.5
    assert "3 tasks" not in export("--to", "json", "--from", "predictions", "--which", "all")
    assert len(regions()) == 2


def test_tasks_for_label_studio_keep_their_address(fake, export):
    annotate(fake, brush(ring(), "ring"))
    export("--to", "label-studio")
    (task,) = json.loads(Path("project-1.label-studio.json").read_text())
    assert task["data"] == {"image": "/data/upload/1.png"}
    (found,) = task["predictions"][0]["result"]
    np.testing.assert_array_equal(brush_rle.decode(found["value"]["rle"], size=SIZE), ring())


def test_images_are_fetched_and_tell_the_size_of_those_without_regions(fake, export):
    fake.files["/data/upload/1.png"] = png()
    annotate(fake)
    assert "1 images left out: they have no region" in export("--to", "coco")
    output = export("--to", "yolo-box", "--output", "set", "--images", "pics")
    assert "1 images with 0 regions" in output
    (file,) = Path("pics").rglob("*.png")
    assert file.read_bytes() == png()
    assert (Path("set") / "images" / file.relative_to("pics")).is_file()
    assert (Path("set") / "labels" / file.relative_to("pics")).with_suffix(".txt").is_file()


def test_an_image_that_cannot_be_fetched_is_a_failure_and_the_others_go_on(fake, export):
    buffer = Path("two.png")
    Image.new("RGB", SIZE).save(buffer)
    data = "data:image/png;base64," + base64.b64encode(buffer.read_bytes()).decode()
    fake.add_task(2, image=data)
    fake.add_task(3, other="x")
    for task in fake.tasks:
        annotate(fake, brush(ring(), "ring"), task=task)
    output = export("--to", "coco", "--images", "pics", code=1)
    assert "failed: upload/1.png" in output
    assert 'failed: task 3: task 3 has no "image" in its data' in output
    (image,) = json.loads(Path("project-1.coco.json").read_text())["images"]
    assert image["file_name"] == "task-2.png"
    assert Path("pics/task-2.png").read_bytes() == buffer.read_bytes()


def test_pages_and_several_images_are_images_of_their_own(fake, export):
    fake.project["label_config"] = CONFIG.replace(
        '<Image name="image" value="$image"/>',
        '<Image name="image" valueList="$pages"/><Image name="b" value="$image"/>',
    )
    fake.tasks[1]["data"]["pages"] = ["s3://bucket/x/1.png", "s3://bucket/x/2.png"]
    annotate(
        fake,
        brush(ring(), "ring", item_index=1),
        brush(pixel(), "ring", region="r2"),
    )
    export("--to", "json")
    found = {image["file"]: image["regions"] for image in document()["images"]}
    assert list(found) == ["bucket/x/1.png", "bucket/x/2.png"]
    np.testing.assert_array_equal(masks(found["bucket/x/1.png"]), [pixel()])
    np.testing.assert_array_equal(masks(found["bucket/x/2.png"]), [ring()])


def test_a_shape_that_is_none_is_told_and_the_others_go_on(fake, export):
    broken = result("mask", "brushlabels", {"format": "rle", "rle": [1, 2]}, region="r0")
    annotate(fake, broken, brush(ring(), "ring"), "nonsense")
    output = export("--to", "json")
    assert 'task 1: BrushLabels "mask": run lengths of 2 bytes' in output
    assert len(regions()) == 1


def test_results_of_tags_that_the_config_has_no_more_are_counted(fake, export):
    old = result("old", "rectanglelabels", {"x": 1, "y": 1, "width": 9, "height": 9}, region="o")
    annotate(fake, brush(ring(), "ring"), old, {"type": "relation", "from_id": "a", "to_id": "b"})
    assert "1 results left out: their tags are not on the config's images" in export("--to", "coco")


def test_the_selection_is_that_of_prelabel(fake, export):
    for number in (2, 3, 4):
        fake.add_task(number, image=f"/data/upload/{number}.png")
    for task in fake.tasks:
        annotate(fake, brush(ring(), "ring"), task=task)
    output = export("--to", "json", "--filter", "id>1", "--limit", "2")
    assert "2 of 4 tasks" in output
    assert [image["file"] for image in document()["images"]] == ["upload/2.png", "upload/3.png"]
    export("--to", "json", "--task", "4")
    assert [image["file"] for image in document()["images"]] == ["upload/4.png"]


def test_wrong_usage_is_told_before_anything_is_read(fake, export):
    assert "name a format: --to coco|" in export(code=2)
    assert "the format must be one of coco" in export("--to", "xml", code=2)
    assert "must end with one of" in export("--output", "a.xml", code=2)
    Path("full").mkdir()
    Path("full/a").touch()
    assert "is not empty" in export("--to", "voc", "--output", "full", code=2)
    assert fake.requests == []
    fake.faults.append(Fault("GET", "/api/projects/1/", status=404))
    assert "project 1 cannot be used" in export("--to", "coco", code=2)


def test_an_output_that_cannot_be_written_is_named(fake, export):
    annotate(fake, brush(ring(), "ring"))
    Path("file").touch()
    output = export("--to", "coco", "--output", "file/x.coco.json", code=4)
    assert "cannot write file" in output


def test_a_server_that_goes_away_leaves_nothing(fake, export):
    annotate(fake, brush(ring(), "ring"))
    fake.faults += [Fault("GET", "/api/tasks/", status=None)] * 3
    assert "Nothing is written" in export("--to", "coco", "--patience", "0", code=4)
    assert not Path("project-1.coco.json").exists()


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/7/cup.png", "upload/7/cup.png"),
        ("/data/local-files/?d=a%20b/%E7%8C%AB.png", "a b/猫.png"),
        ("s3://bucket/x/y.png", "bucket/x/y.png"),
        ("https://example.org/a/b.png?token=1", "a/b.png"),
        ("/data/../../etc/passwd", "etc/passwd.jpeg"),
        ("https://example.org/..%2f..%2fetc/x.png", "etc/x.png"),
        ("https://example.org/a%5c..%5cb.png", "a_.._b.png"),
        ("https://example.org/", "task-5.jpeg"),
        ("https://example.org/images/12", "images/12.jpeg"),
        ("data:image/png;base64,AAAA", "task-5.jpeg"),
        ("https://[broken", "task-5.jpeg"),
        (None, "task-5.jpeg"),
        ("/" + "x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_name_stays_below_its_folder(address, name):
    assert FileNames().name(address, "task-5", ".jpeg") == name


def test_two_addresses_never_have_one_name():
    names = FileNames()
    addresses = ["https://a.org/x.png", "https://b.org/X.png", "https://a.org/x.png", "s3://x.png"]
    found = [names.name(address, "task-1") for address in addresses]
    assert found == ["x.png", "X-2.png", "x.png", "x-3.png"]


def test_tasks_with_one_image_are_one_image_of_the_set(fake, export):
    fake.add_task(2, image="/data/upload/1.png")
    for task in fake.tasks:
        annotate(fake, brush(ring(), "ring"), task=task)
    assert "1 image there again: all regions are in one" in export("--to", "coco")
    found = json.loads(Path("project-1.coco.json").read_text())
    assert (len(found["images"]), len(found["annotations"])) == (1, 2)
