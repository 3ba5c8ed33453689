"""Prompts from a task's regions: annotations, drafts, predictions, boxes in its data."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from label_studio_backend.config.options import Options
from label_studio_backend.translation.drawn_regions import PromptDataError, drawn_regions
from label_studio_backend.translation.prompts import task_prompts
from tests.label_studio_backend.translation.drawn import (
    BOX,
    CONFIG,
    PIXELS,
    SIZE,
    brush,
    point,
    regions,
    shape,
)


def test_regions_belong_to_a_page_of_an_image():
    found = drawn_regions(
        [
            shape("rect", BOX, id="region-1", item_index=2),
            shape("labels", BOX | {"labels": ["Dog"]}, id="region-2", item_index=1),
            shape("plain", BOX, id="region-2", item_index=1),
            shape("plain", BOX, id="region-2", item_index=0),
        ],
        CONFIG,
    )
    assert [(one.page, one.region_id) for one in found] == [
        (2, "region-1"),
        (1, "region-2"),
        (0, None),
    ]
    assert [one.labels for one in found] == [(), ("Dog",), ()]


def on_page(task, page, **where):
    found = task_prompts(task, CONFIG, SIZE, options=Options(boxes="b"), page=page, **where)
    return [one.region_id or one.prompt.box for one in found]


def test_each_page_has_the_regions_of_its_own_best_source():
    task = {
        "annotations": [{"result": [shape("rect", BOX, id="annotated", item_index=1)]}],
        "drafts": [{"result": [shape("rect", BOX, id="drafted", item_index=0)]}],
    }
    assert [on_page(task, page, image="image") for page in range(3)] == [
        ["drafted"],
        ["annotated"],
        [],
    ]


def test_boxes_are_on_the_first_page_of_the_first_image_or_say_where_they_are():
    boxes = [
        [1, 2, 30, 40],
        {"box": [5, 6, 30, 40], "item_index": 1},
        {"box": [7, 8, 30, 40], "to_name": "other"},
    ]
    task = {"data": {"b": boxes}}
    assert on_page(task, 0, image="image") == [(1, 2, 30, 40)]
    assert on_page(task, 1, image="image") == [(5, 6, 30, 40)]
    assert on_page(task, 0, image="other", is_first=False) == [(7, 8, 30, 40)]


def with_box(x, **more):
    return {"result": [shape("rect", BOX | {"x": x}, id=f"region-{x}")]} | more


def test_annotations_go_before_drafts_before_predictions():
    task = {
        "annotations": [with_box(1)],
        "drafts": [with_box(2)],
        "predictions": [with_box(3)],
        "data": {"boxes": [[1, 2, 30, 40]]},
    }
    options = Options(boxes="boxes")
    for source, region_id in [("annotations", 1), ("drafts", 2), ("predictions", 3)]:
        assert [one.region_id for one in regions(task, options)] == [f"region-{region_id}"]
        task[source] = []
    (box,) = regions(task, options)
    assert (box.prompt.box, box.control, box.region_id) == ((1, 2, 30, 40), "", None)


def test_the_newest_annotation_that_was_not_skipped_counts():
    task = {
        "annotations": [
            with_box(1, updated_at="2026-11-22T10:00:00Z"),
            with_box(2, updated_at="2026-11-22T12:00:00Z", was_cancelled=True),
            with_box(3, updated_at="2026-11-22T11:00:00Z"),
            {"result": [], "updated_at": "2026-11-22T13:00:00Z"},
        ]
    }
    assert [one.region_id for one in regions(task)] == ["region-3"]


@pytest.mark.parametrize(("hour", "newest"), [(9, 1), (11, 2)])
def test_a_draft_counts_if_it_is_newer_than_the_annotation(hour, newest):
    task = {
        "annotations": [with_box(1, updated_at="2026-11-22T10:00:00Z")],
        "drafts": [with_box(2, updated_at=f"2026-11-22T{hour:02}:00:00Z")],
    }
    assert [one.region_id for one in regions(task)] == [f"region-{newest}"]


def test_own_predictions_are_not_repeated():
    own = with_box(1, model_version="nano (pam-labeling 0.1.0)")
    renamed = with_box(3, model_version="trial-1 (pam-labeling)")
    other = with_box(2, model_version="yolo")
    task = {"predictions": [own, renamed, other]}
    assert [one.region_id for one in regions(task)] == ["region-2"]
    assert regions({"predictions": [own, renamed]}) == []


def test_points_of_a_task_are_objects_of_their_own_without_negative_ones():
    results = [point(10, 10, id="a"), point(90, 90, "Dog", id="b")]
    results += [point(50, 50, positive=False), point(60, 60, "Background")]
    found = regions({"annotations": [{"result": results}]})
    assert [(one.region_id, one.labels) for one in found] == [("a", ("Car",)), ("b", ("Dog",))]


def test_a_stroke_of_a_task_stays_a_mask():
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.line(mask, (100, 100), (400, 500), 1, thickness=10)
    (found,) = regions({"annotations": [{"result": [brush(mask.astype(bool))]}]})
    assert np.array_equal(found.prompt.mask, mask.astype(bool))


def test_a_region_that_cannot_be_read_is_left_out_with_a_line_in_the_log(caplog):
    results = [shape("rect", BOX | {"x": None}), shape("rect", BOX)]
    assert len(regions({"drafts": [{"result": results}]})) == 1
    assert 'The shape has no "x"' in caplog.text


def test_a_task_whose_regions_cannot_be_read_is_refused():
    with pytest.raises(PromptDataError, match='no "x"'):
        regions({"drafts": [{"result": [shape("rect", BOX | {"x": None})]}]})


@pytest.mark.parametrize(
    ("item", "box", "labels"),
    [
        ([64, 192, 256, 288], PIXELS, ()),
        ({"box": [64, 192, 256, 288], "label": "Dog"}, PIXELS, ("Dog",)),
        (BOX | {"label": "Zebra"}, PIXELS, ("Zebra",)),
        (BOX | {"label": "背景"}, PIXELS, ()),
        ([-5, -5, 9000, 9000], (0, 0, *SIZE), ()),
    ],
)
def test_boxes_in_the_tasks_data(item, box, labels):
    for boxes in ([item], json.dumps([item])):
        (found,) = regions({"data": {"boxes": boxes}}, Options(boxes="boxes"))
        assert found.prompt.box == pytest.approx(box)
        assert found.labels == labels


@pytest.mark.parametrize(
    "boxes", [3, "not JSON", "[" * 100_000, [[1, 2, 3]], ["box"], [{"box": 3}], [{"x": 1}], [None]]
)
def test_boxes_that_are_none_are_refused(boxes):
    with pytest.raises(PromptDataError, match='data "boxes"'):
        regions({"data": {"boxes": boxes}}, Options(boxes="boxes"))


@pytest.mark.parametrize("data", [None, {}, {"boxes": None}, {"boxes": " "}, {"boxes": []}])
def test_a_task_without_regions_points_at_nothing(data):
    assert regions({"data": data, "annotations": None}, Options(boxes="boxes")) == []
