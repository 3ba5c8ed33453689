from __future__ import annotations

import itertools
import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from label_studio_sdk.converter import brush

from pam_labeling.errors import MaskError
from pam_labeling.formats import brush_rle as label_studio_rle
from pam_labeling.formats.brush_rle import decode, encode, pixels
from pam_labeling.formats.brush_rle_blocks import RLEError

FIXTURES = Path(__file__).parents[2] / "label_studio_backend" / "fixtures"
WIDTHS = (3, 4, 8, 16)
masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, max_side=40))


def sdk_encode(mask):
    return brush.mask2rle(mask.astype(np.uint8) * 255)


def sdk_decode(rle, width, height):
    return brush.decode_rle(rle).reshape(height, width, 4)[:, :, 3] > 0


def ragged(height, width, share=0.5, seed=0):
    return np.random.default_rng(seed).random((height, width)) < share


def pack(words, blocks, widths=WIDTHS, word=8, padding=None):
    """A stream of `blocks`: (repeated?, index of the width, length, values)."""
    bits = f"{words:032b}{word - 1:05b}" + "".join(f"{width - 1:04b}" for width in widths)
    for repeated, index, length, values in blocks:
        bits += f"{int(repeated)}{index:02b}{length - 1:0{widths[index]}b}"
        bits += "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8) if padding is None else padding
    return [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]


@st.composite
def streams(draw):
    """A valid stream of any blocks and widths, and the words it stands for."""
    widths = draw(st.tuples(*[st.integers(1, 16)] * 4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share = draw(st.sampled_from([0.0, 0.05, 0.5, 1.0]))
    words, blocks = [], []
    for _ in range(draw(st.integers(1, 200))):
        index = int(rng.integers(4))
        length = int(rng.integers(1, min(2 ** widths[index], 40) + 1))
        repeated = bool(rng.random() >= share)
        values = rng.choice([0, 0, 1, 127, 255], size=1 if repeated else length).tolist()
        blocks.append((repeated, index, length, values))
        words += values * length if repeated else values
    while len(words) % 4:
        blocks.append((True, 0, 1, [0]))
        words.append(0)
    return pack(len(words), blocks, widths), words


@given(masks)
def test_any_mask_is_encoded_as_the_sdk_does(mask):
    assert encode(mask) == sdk_encode(mask)


@given(masks)
def test_any_mask_comes_back(mask):
    height, width = mask.shape
    rle = encode(mask)
    decoded = decode(rle, size=(width, height))
    np.testing.assert_array_equal(decoded, mask)
    np.testing.assert_array_equal(decoded, sdk_decode(rle, width, height))


@pytest.mark.parametrize("pixels_", [1, 2, 3, 4, 5, 63, 64, 65, 16383, 16384, 16385, 32768, 50000])
@pytest.mark.parametrize("value", [False, True])
def test_runs_at_the_limits_of_each_width_are_those_of_the_sdk(pixels_, value):
    mask = np.full((1, pixels_ + 3), not value)
    mask[0, 2 : 2 + pixels_] = value
    rle = encode(mask)
    assert rle == sdk_encode(mask)
    np.testing.assert_array_equal(decode(rle, size=(pixels_ + 3, 1)), mask)
    whole = np.full((1, pixels_), value)
    assert encode(whole) == sdk_encode(whole)
    np.testing.assert_array_equal(decode(encode(whole), size=(pixels_, 1)), whole)


@pytest.mark.parametrize(
    "mask",
    [
        ragged(130, 190),
        ragged(130, 190, 0.03),
        np.indices((120, 160)).sum(0) % 2 == 0,  # all blocks alike: a wrong start never meets them
        np.indices((120, 160))[1] % 34 < 17,
        np.asfortranarray(ragged(90, 70)),
        ragged(180, 140)[::2, ::-2],
    ],
    ids=["noise", "specks", "checks", "stripes", "by columns", "with steps"],
)
def test_ragged_masks_are_those_of_the_sdk(mask):
    height, width = mask.shape
    rle = encode(mask)
    assert rle == sdk_encode(mask)
    np.testing.assert_array_equal(decode(rle, size=(width, height)), mask)


@given(streams())
@settings(max_examples=100, deadline=None)
def test_any_stream_is_decoded_as_the_sdk_does(stream):
    rle, words = stream
    np.testing.assert_array_equal(brush.decode_rle(rle), words)
    expected = np.array(words).reshape(1, -1, 4)[:, :, 3] > 0
    np.testing.assert_array_equal(decode(rle, size=(len(words) // 4, 1)), expected)


def test_long_literal_blocks_are_decoded():
    words = np.random.default_rng(5).integers(0, 3, 4 * 40000).tolist()
    cuts = [0, 50002, 50003, 50003 + 2**16, len(words)]
    parts = [words[start:stop] for start, stop in itertools.pairwise(cuts)]
    stream = pack(len(words), [(False, 3, len(part), part) for part in parts])
    expected = np.array(words).reshape(100, 400, 4)[:, :, 3] > 0
    np.testing.assert_array_equal(decode(stream, size=(400, 100)), expected)


def test_many_literal_blocks_after_repeats_are_decoded():
    rng = np.random.default_rng(6)
    start = ragged(60, 60)
    words, blocks = [], []
    for pixel in start.ravel():
        blocks.append((True, 0, 4, [255 * int(pixel)]))
        words += [255 * int(pixel)] * 4
    for _ in range(4400):
        values = rng.integers(0, 2, 4).tolist()
        blocks.append((False, 1, 4, values))
        words += values
    expected = np.array(words).reshape(80, 100, 4)[:, :, 3] > 0
    np.testing.assert_array_equal(decode(pack(len(words), blocks), size=(100, 80)), expected)


def test_every_alpha_above_0_is_in_the_mask():
    rle = pack(12, [(False, 3, 12, [9, 9, 9, 0, 0, 0, 0, 1, 255, 0, 0, 128])])
    assert decode(rle, size=(3, 1)).tolist() == [[False, True, True]]


def recorded_masks(name):
    """(run lengths, width, height) of every brush region in a recorded message."""

    def find(node):
        if isinstance(node, dict):
            value = node.get("value")
            if isinstance(value, dict) and "rle" in value:
                yield value["rle"], node["original_width"], node["original_height"]
            for child in node.values():
                yield from find(child)
        elif isinstance(node, list):
            for child in node:
                yield from find(child)

    return list(find(json.loads((FIXTURES / name).read_text(encoding="utf-8"))))


@pytest.mark.parametrize(
    "name",
    [
        "predict_interactive_empty_context_on_submit.json",
        "response_brush_caption_choices.json",
        "saved_annotation_brush_caption_choices.json",
        "saved_predictions_brush.json",
        "webhook_ANNOTATION_CREATED_brush_with_caption.json",
    ],
)
def test_recorded_masks_are_decoded_as_the_sdk_does(name):
    found = recorded_masks(name)
    assert found
    for rle, width, height in found:
        mask = decode(rle, size=(width, height))
        assert mask.any()
        np.testing.assert_array_equal(mask, sdk_decode(rle, width, height))
        assert pixels(rle) == width * height


def test_what_the_browser_wrote_is_what_we_write_but_for_a_spare_byte():
    (rle, width, height), *_ = recorded_masks("saved_annotation_brush_caption_choices.json")
    assert encode(decode(rle, size=(width, height)))[: len(rle)] == rle


SMALL = encode(np.eye(4, dtype=np.bool_))


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        (None, "a list of ints from 0 to 255, not NoneType"),
        ("AAAA", "not str"),
        ({"counts": [1]}, "not dict"),
        ([0, 0, 0, 64, 57, 27, 255, 256], "0 to 255"),
        ([0, 0, 0, 64, 57, 27, -1], "0 to 255"),
        ([0, 0, 0, 64, 57, 27, 1.5], "0 to 255"),
        ([0, 0, 0, 64, 57, 27, "1"], "0 to 255"),
        ([0, 0, 0, 64, 57, 27, None], "0 to 255"),
        ([0, 0, 0, 64, 57, 27, [1]], "0 to 255"),
        ([], "cut off within their header"),
        ([0, 0, 0, 64, 57, 27], "cut off within their header"),
        ([1, 2, 3], "cut off within their header"),
        (SMALL[:7], "end before the image"),
        (SMALL[:-3], "end before the image"),
        ([*SMALL, 0], "followed by"),
        ([*SMALL[:-1], SMALL[-1] | 1], "not zero"),
        (SMALL + SMALL, "followed by"),
        (pack(64, [(True, 3, 64, [1])], word=16), "words of 8 bits, not 16"),
        (pack(63, [(True, 3, 63, [1])]), "4 values for each RGBA pixel"),
        (pack(0, []), "4 values for each RGBA pixel"),
        (pack(60, [(True, 3, 60, [1])]), "for 15 pixels, but the image has 4 x 4"),
        (pack(2**32 - 4, [(True, 3, 2**16, [1])]), "for 1,073,741,823 pixels"),
        (pack(64, [(True, 3, 65, [1])]), "go on after"),
        (pack(64, [(True, 3, 63, [1]), (False, 0, 2, [1, 1])]), "go on after"),
        (pack(64, [(True, 3, 63, [1])]), "end before the image"),
        (pack(64, [(False, 3, 64, [1] * 63)]), "cut off within"),
    ],
)
def test_malformed_run_lengths_are_refused(rle, message):
    with pytest.raises(RLEError, match=message):
        decode(rle, size=(4, 4))


def test_bytes_mean_what_a_list_means():
    assert np.array_equal(decode(bytes(SMALL), size=(4, 4)), decode(SMALL, size=(4, 4)))


def test_its_error_is_a_mask_error():
    assert issubclass(RLEError, MaskError)
    assert issubclass(RLEError, ValueError)


@pytest.mark.parametrize("size", [(0, 4), (4, 0), (-4, -4), (10**6, 10**6)])
def test_sizes_that_no_image_has_are_refused(size):
    with pytest.raises(RLEError, match="from 1 to 89,478,485 pixels, not"):
        decode(SMALL, size=size)


def test_too_many_bytes_are_refused(monkeypatch):
    monkeypatch.setattr(label_studio_rle, "_MOST", len(SMALL) - 1)
    with pytest.raises(RLEError, match="must have at most"):
        decode(SMALL, size=(4, 4))


def test_a_bomb_allocates_nothing_of_the_declared_size():
    bomb = pack(4 * 8000 * 8000, [(True, 3, 2**16, [1])] * 3)
    tracemalloc.start()
    try:
        with pytest.raises(RLEError, match="end before the image"):
            decode(bomb, size=(8000, 8000))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


@given(st.lists(st.integers(0, 255), max_size=60), st.integers(1, 9), st.integers(1, 9))
@example([255] * 40, 5, 5)
@settings(max_examples=300)
def test_any_bytes_are_a_full_mask_or_refused(tail, width, height):
    rle = pack(4 * width * height, [])[:6] + tail
    try:
        mask = decode(rle, size=(width, height))
    except RLEError:
        return
    np.testing.assert_array_equal(mask, sdk_decode(rle, width, height))


@given(st.data())
def test_a_damaged_stream_is_a_full_mask_or_refused(data):
    rle = encode(ragged(12, 15, seed=data.draw(st.integers(0, 99))))
    at = data.draw(st.integers(0, len(rle) - 1))
    rle[at] ^= 1 << data.draw(st.integers(0, 7))
    try:
        mask = decode(rle, size=(15, 12))
    except RLEError:
        return
    np.testing.assert_array_equal(mask, sdk_decode(rle, 15, 12))


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((2, 3), dtype=np.uint8), "not uint8"),
        (np.zeros((2, 3, 4), dtype=np.bool_), r"\(2, 3, 4\)"),
        (np.zeros((0, 3), dtype=np.bool_), "from 1 to"),
    ],
)
def test_what_is_no_mask_is_not_encoded(mask, message):
    with pytest.raises(RLEError, match=message):
        encode(mask)


def test_encode_returns_plain_ints():
    assert {type(value) for value in encode(np.eye(3, dtype=np.bool_))} == {int}


def test_pixels_reads_the_header_only():
    assert pixels(SMALL) == 16
    assert pixels(SMALL[:7]) == 16
    with pytest.raises(RLEError, match="header"):
        pixels(SMALL[:6])
    with pytest.raises(RLEError, match="not int"):
        pixels(3)


def test_a_large_ragged_mask_stays_small_in_memory():
    mask = ragged(768, 1024)
    tracemalloc.start()
    try:
        rle = encode(mask)
        decode(rle, size=(1024, 768))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 48 * mask.size  # 4096 x 3072: 0.6 GB, with a run at every other pixel
