"""Results of Label Studio, captured and made up, as prompts."""

from __future__ import annotations

import base64
import io
import json
import math
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import mask2rle
from PIL import Image

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation import prompts
from label_studio_backend.translation.bitmask import write_bitmask
from label_studio_backend.translation.drawn_regions import PromptDataError, drawn_regions
from label_studio_backend.translation.prompts import MAX_POINTS, click_prompts, task_prompts

FIXTURES = Path(__file__).parents[1] / "fixtures"
SIZE = (640, 960)
CONFIG = LabelingConfig.parse("""
<View>
  <Image name="image" value="$image"/>
  <Image name="other" value="$other"/>
  <KeyPointLabels name="kp" toName="image" smart="true">
    <Label value="Car"/><Label value="Dog"/><Label value="Background"/>
  </KeyPointLabels>
  <RectangleLabels name="rect" toName="image" smart="true">
    <Label value="Car"/><Label value="Dog"/><Label value="背景"/>
  </RectangleLabels>
  <EllipseLabels name="ell" toName="image"><Label value="Car"/></EllipseLabels>
  <PolygonLabels name="poly" toName="image"><Label value="Car"/></PolygonLabels>
  <Brush name="paint" toName="image"/>
  <BitmaskLabels name="bits" toName="image"><Label value="Car"/></BitmaskLabels>
  <Rectangle name="plain" toName="image"/>
  <Labels name="labels" toName="image"><Label value="Cat"/><Label value="Dog"/></Labels>
  <RectangleLabels name="elsewhere" toName="other"><Label value="Car"/></RectangleLabels>
  <TextArea name="caption" toName="image" perRegion="true"/>
  <VideoRectangle name="track" toName="image"/>
</View>
""")
BOX = {"x": 10, "y": 20, "width": 30, "height": 10, "rotation": 0}
PIXELS = (64, 192, 256, 288)


def body(name):
    return json.loads((FIXTURES / f"{name}.json").read_text(encoding="utf-8"))["json"]


def point(x, y, label="Car", *, positive=True, **more):
    value = {"x": x, "y": y, "width": 0.3, "keypointlabels": [label], "labels": [label]}
    return {"from_name": "kp", "to_name": "image", "value": value, "is_positive": positive} | more


def shape(name, value, **more):
    return {"from_name": name, "to_name": "image", "value": value} | more


def brush(mask, **more):
    height, width = mask.shape
    value = {"format": "rle", "rle": mask2rle(mask.astype(np.uint8) * 255)}
    frame = {"original_width": width, "original_height": height}
    return shape("paint", value, **frame, **more)


def bitmask(mask):
    """A result as Label Studio sends it, from a mask or from the image of one."""
    uri = write_bitmask(mask) if isinstance(mask, np.ndarray) else png(mask)
    return shape("bits", {"imageDataURL": uri, "bitmasklabels": ["Car"]})


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def disc():
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(mask, (300, 400), 90, 1, -1)
    return mask.astype(bool)


def read_context(results, config, size, image="image"):
    regions = drawn_regions(results, config)
    return click_prompts([region for region in regions if region.image == image], size)


def read_regions(task, config, size, options):
    image = map_outputs(config, options).image.name
    return task_prompts(task, config, size, options=options, image=image)


def read(*results):
    return read_context(list(results), CONFIG, SIZE)


# --- what was captured


def test_the_captured_click():
    sent = body("predict_interactive_kp_positive")
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.points == pytest.approx(np.array([[185.43, 499.07]]), abs=0.01)
    assert (pointed.labels, pointed.control, pointed.region_id) == (("object",), "kp", None)


def test_alt_clicks_as_captured_are_beside_the_object():
    sent = body("predict_interactive_kp_two_pos_one_neg_alt")
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.point_labels.tolist() == [True, True, False]


def test_a_background_click_alone_as_captured_is_answered_with_a_sentence():
    sent = body("predict_interactive_kp_background_label")
    config = LabelingConfig.parse(sent["label_config"])
    with pytest.raises(PromptDataError, match="click on the object first"):
        read_context(sent["params"]["context"]["result"], config, SIZE)


@pytest.mark.parametrize(
    "name", ["predict_interactive_rectangle", "predict_interactive_polygon_project_rectangle"]
)
def test_captured_rectangles(name):
    sent = body(name)
    config = LabelingConfig.parse(sent["label_config"])
    (pointed,) = read_context(sent["params"]["context"]["result"], config, SIZE)
    assert pointed.prompt.box == pytest.approx((64, 384, 320, 624), abs=1)
    assert pointed.labels == ("object",)


def test_an_annotation_as_captured_becomes_a_prompt_for_each_region():
    sent = body("predict_interactive_empty_context_on_submit")
    config = LabelingConfig.parse(sent["label_config"])
    regions = read_regions(sent["tasks"][0], config, SIZE, Options())
    assert [one.control for one in regions] == ["kp", "kp", "rect", "brush"]
    assert [one.region_id for one in regions][-1] == "QUniU-1IHV"
    assert regions[-1].prompt.mask.any()


def test_a_draft_as_captured_is_read():
    sent = body("predict_interactive_null_context")
    config = LabelingConfig.parse(sent["label_config"])
    (region,) = read_regions(sent["tasks"][0], config, SIZE, Options())
    assert region.prompt.box == pytest.approx((64, 96, 192, 288))
    assert region.region_id == "r1"


def test_a_region_with_text_and_choice_as_captured_is_one():
    saved = json.loads(
        (FIXTURES / "saved_annotation_brush_caption_choices.json").read_text(encoding="utf-8")
    )
    config = LabelingConfig.parse(body("predict_interactive_kp_positive")["label_config"])
    (region,) = read_regions({"annotations": [saved]}, config, SIZE, Options())
    assert (region.region_id, region.labels) == ("regA", ("object",))


# --- clicks


def test_a_label_called_background_makes_a_point_negative():
    (pointed,) = read(point(10, 10), point(50, 50, "Background"))
    assert pointed.prompt.point_labels.tolist() == [True, False]
    assert pointed.labels == ("Car",)


def test_the_label_may_be_in_labels_alone():
    result = point(10, 10)
    del result["value"]["keypointlabels"]
    assert read(result)[0].labels == ("Car",)


def test_several_labels_stay_also_those_that_the_tag_does_not_know():
    several = point(10, 10)
    several["value"]["keypointlabels"] = ["Dog", "Zebra", " ", None, "Car", "Dog"]
    assert read(several)[0].labels == ("Dog", "Zebra", "Car")


def test_is_positive_in_the_value_means_nothing():
    result = point(10, 10)
    result["value"]["is_positive"] = False
    assert read(result)[0].prompt.point_labels.tolist() == [True]


def test_the_images_own_size_counts():
    result = point(50, 50, original_width=960, original_height=1440)
    assert read(result)[0].prompt.points.tolist() == [[320, 480]]


def test_a_click_on_the_image_on_its_side_is_refused():
    with pytest.raises(PromptDataError, match="960 x 640 pixels, lying on its side; upright"):
        read(point(50, 50, original_width=960, original_height=640))


def test_every_shape_is_an_object_of_its_own():
    polygon = {"points": [[10, 10], [40, 10], [40, 40]], "polygonlabels": ["Car"]}
    ellipse = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 5, "rotation": 30}
    regions = read(shape("poly", polygon), shape("rect", BOX), shape("ell", ellipse))
    assert [one.control for one in regions] == ["poly", "rect", "ell"]
    assert regions[0].prompt.mask is not None
    assert regions[1].prompt.box == pytest.approx(PIXELS)
    assert regions[2].prompt.box == pytest.approx((256, 432, 384, 528))
    assert regions[2].prompt.angle == 30


def test_points_refine_a_rectangle():
    turned = BOX | {"rotation": 20, "rectanglelabels": ["Dog"]}
    (pointed,) = read(point(20, 25), shape("rect", turned), point(30, 25, positive=False))
    assert pointed.prompt.angle == 20
    assert pointed.prompt.point_labels.tolist() == [True, False]
    assert (pointed.labels, pointed.control) == (("Dog",), "rect")


def test_points_refine_the_box_around_a_mask():
    (pointed,) = read(brush(disc()), point(50, 40, positive=False))
    assert pointed.prompt.mask is None
    assert pointed.prompt.box == (210, 310, 391, 491)


def test_points_beside_two_shapes_are_an_object_of_their_own():
    regions = read(shape("rect", BOX), shape("plain", BOX), point(80, 80))
    assert [one.control for one in regions] == ["rect", "plain", "kp"]


def test_negative_points_beside_two_shapes_are_refused():
    with pytest.raises(PromptDataError, match="click on the object"):
        read(shape("rect", BOX), shape("plain", BOX), point(80, 80, positive=False))


def test_a_shape_labelled_background_is_refused_alone():
    with pytest.raises(PromptDataError, match="background"):
        read(shape("rect", BOX | {"rectanglelabels": ["背景"]}))


def test_a_painted_mask_stays_as_it_is():
    (pointed,) = read(brush(disc()))
    assert np.array_equal(pointed.prompt.mask, disc())


def test_a_mask_of_another_size_is_resized():
    half = disc()[::2, ::2]
    (pointed,) = read(brush(half))
    assert np.array_equal(pointed.prompt.mask[::2, ::2], half)


def test_a_mask_without_its_size_is_read_at_the_images():
    result = brush(disc()) | {"original_width": None, "original_height": "640"}
    assert np.array_equal(read(result)[0].prompt.mask, disc())


def test_a_mask_of_the_image_on_its_side_is_refused():
    with pytest.raises(PromptDataError, match="on its side"):
        read(brush(np.ascontiguousarray(disc().T)))


def test_a_thin_stroke_becomes_points():
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.line(mask, (100, 100), (400, 500), 1, thickness=10)
    (pointed,) = read(brush(mask.astype(bool)), point(90, 90, positive=False))
    assert pointed.prompt.mask is None
    assert pointed.prompt.point_labels.tolist() == [True] * 5 + [False]


def test_the_label_of_a_plain_shape_is_that_of_its_labels_result():
    results = [
        shape("labels", BOX | {"labels": ["Dog"]}, id="region-one"),
        shape("plain", BOX, id="region-one"),
        shape("caption", BOX | {"text": ["a dog"]}, id="region-one"),
    ]
    (pointed,) = read(*results)
    assert (pointed.labels, pointed.control) == (("Dog",), "plain")


def test_what_is_no_shape_of_this_image_is_passed_over():
    regions = read(
        shape("rect", BOX),
        None,
        {"type": "relation", "from_id": "a", "to_id": "b"},
        shape("unknown", BOX),
        shape("elsewhere", BOX, to_name="other"),
        shape("caption", {"text": ["words"]}),
        shape("track", {"sequence": []}),
        shape("rect", BOX, item_index=-1),
        shape("rect", BOX, item_index="one"),
        {"from_name": ["rect"], "value": BOX},
        shape("labels", "Dog"),
    )
    assert len(regions) == 1


def test_the_image_may_be_named():
    regions = read_context(
        [shape("rect", BOX), shape("elsewhere", BOX, to_name="other")],
        CONFIG,
        SIZE,
        image="other",
    )
    assert [one.control for one in regions] == ["elsewhere"]


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (shape("rect", None), 'RectangleLabels "rect": the result has no value'),
        (shape("rect", BOX | {"width": -1}), '"width" must be more than 0, not -1'),
        (shape("rect", BOX | {"x": math.nan}), '"x" is NaN'),
        (shape("rect", BOX | {"width": 1e-300, "rotation": 30}), "is empty"),
        (shape("poly", {"points": [[200, 200], [300, 200], [300, 300]]}), "outside the image"),
        (shape("poly", {"points": 3}), "points"),
        (shape("paint", {"rle": [], "touches": [1]}), "no mask yet"),
        (shape("paint", {"rle": "AAAA"}), "list"),
        (shape("paint", {"rle": [1, 2, 3]}), "cut off"),
        (point(1e9, 5), "far outside"),
        (point(150, 5), "outside the image"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_sentence(result, message):
    with pytest.raises(PromptDataError, match=message):
        read(result)


@pytest.mark.parametrize("painted", ["brush", "bitmask"])
def test_an_empty_mask_is_refused(painted):
    with pytest.raises(PromptDataError, match="empty"):
        read({"brush": brush, "bitmask": bitmask}[painted](np.zeros((SIZE[1], SIZE[0]), np.bool_)))


def test_a_bitmask_is_what_is_not_transparent_as_the_editor_draws_it():
    pixels = np.zeros((SIZE[1], SIZE[0], 4), np.uint8)  # [height, width, RGBA], black
    pixels[disc(), 3] = 255
    pixels[10, 20, 3] = 1  # the edge of a round brush
    (pointed,) = read(bitmask(Image.fromarray(pixels)))
    assert np.array_equal(pointed.prompt.mask, pixels[..., 3] > 0)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        (None, "no mask yet"),
        ("", "no mask yet"),
        ("https://example.org/mask.png", "cannot be read"),
        ("data:image/png;base64,iVBORw0KGgo=", "no PNG, or a damaged one"),
        ("data:image/png;base64,!", "damaged data: URI"),
        (write_bitmask(np.ones((2000, 2000), np.bool_)), "2000 x 2000 pixels, more than the image"),
    ],
)
def test_a_bitmask_that_is_none_is_refused(uri, message):
    with pytest.raises(PromptDataError, match=f'BitmaskLabels "bits": .*{message}'):
        read(shape("bits", {"imageDataURL": uri, "bitmasklabels": ["Car"]}))


def test_too_many_points_are_refused():
    with pytest.raises(PromptDataError, match="256 are possible"):
        read(*[point(50, 50)] * (MAX_POINTS + 1))


@pytest.mark.parametrize("results", [None, "text", {"result": []}, 3])
def test_what_is_no_list_is_refused(results):
    with pytest.raises(PromptDataError, match="must be a list"):
        read_context(results, CONFIG, SIZE)


# --- regions of a task


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


def regions(task, options=None):
    return read_regions(task, CONFIG, SIZE, options or Options())


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


# --- whatever may come

_NAMES = st.sampled_from(["kp", "rect", "ell", "poly", "paint", "plain", "labels", "track", "no"])
_KEYS = ["x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "rle", "labels"]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_KEYS), inner),
    max_leaves=8,
)
_NUMBERS = st.floats(-10, 110) | st.floats() | st.none()
_VALUES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(_KEYS[:7], _NUMBERS),
        "points": st.lists(st.lists(_NUMBERS, min_size=2, max_size=2), max_size=5) | _JSON,
        "rle": st.lists(st.integers(0, 255), max_size=30) | _JSON,
        "labels": st.lists(st.sampled_from(["Car", "Background", "x"])) | _JSON,
    },
)
_RESULTS = st.lists(
    st.fixed_dictionaries(
        {"from_name": _NAMES, "value": _VALUES | _JSON},
        optional={
            "id": st.sampled_from(["a", "b", "", None, 3]),
            "to_name": st.sampled_from(["image", "other", None, 3]),
            "is_positive": _JSON,
            "item_index": _JSON,
            "original_width": st.sampled_from([640, 0, -1, 2**40, None, "640"]),
            "original_height": st.sampled_from([960, 10**9, None]),
        },
    )
    | _JSON,
    max_size=4,
)


@settings(max_examples=150, deadline=None)
@given(_RESULTS | _JSON)
def test_whatever_comes_is_read_or_refused(results):
    size = (32, 24)
    assert_sound(lambda: read_context(results, CONFIG, size), size)
    assert_sound(lambda: regions_of_any(results, size), size)


def assert_sound(read_it, size):
    try:
        found = read_it()
    except PromptDataError:
        return
    for one in found:
        one.prompt.check(size)


def regions_of_any(results, size):
    task = {"annotations": [{"result": results}], "drafts": results, "data": {"boxes": results}}
    return read_regions(task, CONFIG, size, Options(boxes="boxes"))


# --- many


def polygon(x, y):
    return shape("poly", {"points": [[x, y], [x + 3, y + 1], [x + 1, y + 3]]})


def test_many_masks_of_a_large_image_are_kept_as_small_as_they_are():
    large = (2048, 1536)
    mask = np.zeros((large[1], large[0]), bool)
    mask[100:150, 200:290] = True
    brushed = brush(mask)
    task = {"annotations": [{"result": [polygon(5 + x, 40) for x in range(60)] + [brushed] * 20}]}
    tracemalloc.start()
    found = read_regions(task, CONFIG, large, Options())
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found) == 80
    assert kept < mask.nbytes
    assert peak < 10 * mask.nbytes  # run lengths of one mask at a time


@pytest.mark.parametrize("count", [4, 5])
def test_the_number_of_shapes_has_a_limit(monkeypatch, count):
    monkeypatch.setattr(prompts, "MAX_SHAPES", 4)
    results = [shape("rect", BOX) for _ in range(count)]
    for reading in (lambda: read(*results), lambda: regions({"drafts": [{"result": results}]})):
        if count <= 4:
            assert len(reading()) == count
            continue
        with pytest.raises(PromptDataError, match="5 regions are too many: 4 are possible"):
            reading()


@pytest.mark.parametrize("count", [1, 2])
def test_the_pixels_of_all_masks_together_have_a_limit(monkeypatch, count):
    monkeypatch.setattr(prompts, "MAX_MASK_PIXELS", 1000)
    results = [polygon(10, 10)] * count
    for reading in (lambda: read(*results), lambda: regions({"drafts": [{"result": results}]})):
        if count == 1:
            assert len(reading()) == 1
            continue
        with pytest.raises(PromptDataError, match="too large together.*1,000 pixels"):
            reading()
