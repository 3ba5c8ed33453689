"""Prompts that are refused, whatever may come, and very many."""

from __future__ import annotations

import base64
import io
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from label_studio_backend.config.options import Options
from label_studio_backend.translation import prompts
from label_studio_backend.translation.bitmask import write_bitmask
from label_studio_backend.translation.drawn_regions import PromptDataError
from label_studio_backend.translation.prompts import MAX_POINTS
from tests.label_studio_backend.translation.drawn import (
    BOX,
    CONFIG,
    SIZE,
    brush,
    disc,
    point,
    polygon,
    read,
    read_context,
    read_regions,
    regions,
    shape,
)


def bitmask(mask):
    """A result as Label Studio sends it, from a mask or from the image of one."""
    uri = write_bitmask(mask) if isinstance(mask, np.ndarray) else png(mask)
    return shape("bits", {"imageDataURL": uri, "bitmasklabels": ["Car"]})


def png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


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
