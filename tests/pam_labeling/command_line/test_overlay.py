from __future__ import annotations

import numpy as np
import pytest

from pam_labeling.command_line import lettering
from pam_labeling.command_line.lettering import wrap
from pam_labeling.command_line.overlay import colour_of, draw_overlay
from pam_labeling.regions import Provenance, Region, Scores
from pam_model import Task


def region(x1, y1, x2, y2, *, size=(800, 600), label="cat", texts=None):
    mask = np.zeros((size[1], size[0]), dtype=np.bool_)
    mask[y1:y2, x1:x2] = True
    return Region.from_mask(
        mask, Scores(0.9, 1.0), Provenance("fake", "1"), label=label, texts=texts
    )


GREY = np.full((600, 800, 3), 128, dtype=np.uint8)


def test_the_mask_is_tinted_and_the_rest_is_left():
    overlay = draw_overlay(GREY, [region(300, 200, 500, 400)])
    assert overlay.dtype == np.uint8
    assert (overlay[20, 20] == 128).all()
    expected = 128 * 0.7 + np.array(colour_of(0)) * 0.3
    np.testing.assert_allclose(overlay[300, 400], expected, atol=1)


def test_the_outline_has_the_regions_own_colour():
    overlay = draw_overlay(GREY, [region(300, 200, 500, 400)])
    np.testing.assert_allclose(overlay[399, 400], colour_of(0), atol=60)
    assert len({colour_of(index) for index in range(20)}) == 20


def test_small_regions_lie_on_top_of_large_ones():
    regions = [region(390, 290, 420, 310), region(100, 100, 700, 500)]
    overlay = draw_overlay(GREY, regions)
    alone = draw_overlay(GREY, regions[1:])
    assert (overlay[300, 405] != alone[300, 405]).any()


@pytest.mark.parametrize(
    ("given_size", "drawn"), [((40, 20), 720), ((4000, 100), 1600), ((800, 600), 800)]
)
def test_the_longest_side_stays_legible(given_size, drawn):
    pixels = np.zeros((given_size[1], given_size[0], 3), dtype=np.uint8)
    overlay = draw_overlay(pixels, [region(1, 1, 9, 9, size=given_size)])
    assert overlay.shape[1] == drawn


def test_the_words_make_the_strip_underneath_longer():
    short = draw_overlay(GREY, [region(10, 100, 60, 160)])
    text = "a large cat that looks at you from the left side of the image " * 4
    long = draw_overlay(GREY, [region(10, 100, 60, 160, texts={(Task.BRIEF, "en"): text})])
    assert long.shape[0] > short.shape[0] > 600
    np.testing.assert_array_equal(long[:600], short[:600])


def test_short_words_are_set_in_columns():
    row = [region(10 + 40 * n, 100, 40 + 40 * n, 160) for n in range(12)]
    few = draw_overlay(GREY, row[:1])
    many = draw_overlay(GREY, row)
    assert many.shape[0] - 600 < 6 * (few.shape[0] - 600)
    assert (many[600:, 400:] != 255).any()


def test_a_tag_stands_on_its_own_region_not_on_the_corner_of_its_box():
    mask = np.zeros((600, 800), dtype=np.bool_)
    mask[100:300, 500:520] = True
    mask[280:300, 100:520] = True  # an L the other way round: nothing at its box's top left
    bent = Region.from_mask(mask, Scores(0.9, 1.0), Provenance("fake", "1"), label="bent")
    overlay = draw_overlay(GREY, [bent])
    assert (overlay[60:97, 60:300] == 128).all()
    assert (overlay[85, 505] == colour_of(0)).all()


def test_labels_are_drawn_also_in_chinese():
    first, second = (
        draw_overlay(GREY, [region(10, 100, 60, 160, label=label)]) for label in ("星形", "圆环")
    )
    assert (first[:600] != second[:600]).any()
    assert (first[600:] != second[600:]).any()


def test_a_strip_says_where_letters_are_not_joined(monkeypatch):
    regions = [region(10, 100, 60, 160, label="قطة")]
    joined = draw_overlay(GREY, regions)
    monkeypatch.setattr(lettering, "_shapes", lambda: False)
    alone = draw_overlay(GREY, regions)
    lines = len(wrap(lettering.UNJOINED, 800 - 24))
    assert alone.shape[0] == joined.shape[0] + 26 * lines
    assert (alone[joined.shape[0] :] < 128).any()
    cats = [region(10, 100, 60, 160, label="cat")]
    assert draw_overlay(GREY, cats).shape[0] == joined.shape[0]


def test_labels_at_the_edge_stay_inside():
    for box in [(0, 0, 5, 5), (795, 0, 800, 5), (795, 595, 800, 600)]:
        draw_overlay(GREY, [region(*box, label="a label that is rather long " * 5)])


def test_no_regions_is_the_image_and_an_empty_strip():
    overlay = draw_overlay(GREY, [])
    np.testing.assert_array_equal(overlay[:600], GREY)
    assert (overlay[600:] == 255).all()
