"""Values of tags in a task's data; expected are those of Label Studio 1.23's editor."""

from __future__ import annotations

import json

import pytest

from label_studio_backend.config.task_values import task_value
from label_studio_backend.json_pieces import Json, JsonList

DATA = {
    "image": "a.png",
    "id": 7,
    "none": None,
    "images": ["b.png", {"url": "c.png"}],
    "meta": {"brands": [{"value": "ring"}]},
    "meta.image": "d.png",
}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("$image", "a.png"),
        ("$none", None),
        ("$images[0]", "b.png"),
        ("$images.0", "b.png"),
        ("$images[1].url", "c.png"),
        ("$meta.brands", [{"value": "ring"}]),
        ("$meta.image", "d.png"),
        ("https://a.org/$id/$image", "https://a.org/7/a.png"),
        ("https://a.org/$images[0]?x=1", "https://a.org/b.png?x=1"),
        ("https://a.org/b.png", "https://a.org/b.png"),
        ("costs $", "costs $"),
    ],
)
def test_a_variable_is_looked_up_and_text_around_it_stays(value, found):
    assert task_value(value, DATA) == found


@pytest.mark.parametrize(
    ("value", "lacking"),
    [
        ("$other", "other"),
        ("$images[2]", "images[2]"),
        ("$images.url", "images.url"),
        ("$meta.brands[0].name", "meta.brands[0].name"),
        ("$none.x", "none.x"),
        ("https://a.org/$image.png", "image.png"),
        ("https://a.org/$meta/x.png", "meta"),
        ("https://a.org/$none", "none"),
    ],
)
def test_what_the_data_lacks_is_named(value, lacking):
    with pytest.raises(KeyError) as caught:
        task_value(value, DATA)
    assert caught.value.args == (lacking,)


def test_lists_of_many_megabytes_are_read_like_others():
    pages = [["x" * 100, "y"]]
    data = {"pages": JsonList(Json(json.dumps(pages).encode()))}
    assert task_value("$pages", data) == pages
    assert task_value("$pages[0][1]", data) == "y"
