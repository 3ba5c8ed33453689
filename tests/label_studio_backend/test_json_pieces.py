"""JSON that is read in pieces says what it says when it is read at once."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_backend import json_pieces as module
from label_studio_backend.errors import RequestError
from label_studio_backend.json_pieces import Json, JsonList

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | st.text('a"\\{}[],: é😀\n', max_size=8),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text('b",}\\'), inner),
    max_leaves=30,
)


@pytest.fixture
def small(monkeypatch):
    """Everything is long."""
    for name, size in {"PIECE": 8, "_SCAN": 5, "LONG_LIST": 40, "_LEVELS": 2}.items():
        monkeypatch.setattr(module, name, size)


def plain(value):
    """What was read as Python's own lists and dicts."""
    if isinstance(value, Mapping):
        return {key: plain(value[key]) for key in value}
    return [plain(one) for one in value] if isinstance(value, list | JsonList) else value


@given(content=ANY, space=st.sampled_from([None, 1, "\t"]), ascii_only=st.booleans())
def test_pieces_together_are_the_whole(content, space, ascii_only):
    text = json.dumps(content, indent=space, ensure_ascii=ascii_only).encode()
    with pytest.MonkeyPatch.context() as patch:
        for name, size in {"PIECE": 24, "_SCAN": 5, "LONG_LIST": 40, "_LEVELS": 2}.items():
            patch.setattr(module, name, size)
        patch.setattr(module, "MOST_TEXT", 10_000)
        assert plain(Json(b" " * 300 + text + b"\n" * 600).value()) == content


@pytest.mark.parametrize(
    ("at", "beyond", "said"),
    [
        pytest.param(
            *(
                json.dumps({str(number): "xxxx" for number in range(members)}).encode()
                for members in (10_000, 10_001)
            ),
            "more than 10,000 items in a list or object",
            id="members of a long object",
        ),
        pytest.param(
            *(b'"' + b"x" * (size - 2) + b'"' for size in (32 << 20, (32 << 20) + 1)),
            "a text of 33,554,433 bytes, longer than is read",
            id="a text",
        ),
        pytest.param(
            *(b'"' + b"x" * (size - 4) + rb'\n"' for size in (1 << 20, (1 << 20) + 1)),
            "a text of 1,048,577 bytes, longer than is read",
            id="a text with escapes",
        ),
        pytest.param(
            *(b"[" * levels + b"1," * 20_000 + b"1" + b"]" * levels for levels in (40, 41)),
            "nested too deeply",
            id="levels that are longer than a piece",
        ),
        pytest.param(
            *(b"[" + b"{}," * (count - 2) + b"{}]" for count in (200_000, 200_001)),
            "more than 200,000 lists and objects in a list",
            id="lists and objects in a list",
        ),
        pytest.param(
            *(b"[" + b"1," * commas + b"1]" for commas in (8_000_000, 8_000_001)),
            "more than 8,000,000 items in lists and objects",
            id="commas",
        ),
    ],
)
def test_each_limit_is_where_the_manual_says(at, beyond, said):
    def read(text):
        value = Json(text).value()
        return next(value.json.pieces()) if isinstance(value, JsonList) else value

    assert read(at)
    with pytest.raises(RequestError, match=said):
        read(beyond)
