"""JSON that is read in pieces says what it says when it is read at once."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from label_studio_backend import json_pieces as module
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
