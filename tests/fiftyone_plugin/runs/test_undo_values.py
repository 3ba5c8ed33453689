"""Tests of undo: a value as if some runs had not written it."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fiftyone_plugin.runs.journal import MISSING, Change, equal
from fiftyone_plugin.runs.undo import without


def written(*values):
    """Steps of runs A, B, C ... that each wrote a value over the one before."""
    olds = [MISSING, *values]
    return [step(run, old, new) for run, old, new in zip("ABCDEFGH", olds, values, strict=False)]


def step(run, old, new):
    return run, Change("", None, "caption", old, new)


@pytest.mark.parametrize(
    ("gone", "steps", "current", "value"),
    [
        ("A", written("a"), "a", MISSING),
        ("A", [step("A", None, "a")], "a", None),
        ("A", [step("A", "old", "a")], "a", "old"),
        ("A", written("a"), MISSING, MISSING),
        ("A", written("a"), None, None),
        ("A", written("a"), "edited", "edited"),
        ("A", written("a", "b"), "b", "b"),
        ("B", written("a", "b"), "b", "a"),
        ("BA", written("a", "b"), "b", MISSING),
        ("CB", written("a", "b", "c"), "c", "a"),
        ("CAB", written("a", "b", "c"), "c", MISSING),
        ("B", written("a", "b", "c"), "c", "c"),
        # A and B wrote the same: B's claim stays while B does.
        ("A", written("a", "a"), "a", "a"),
        ("B", written("a", "a"), "a", "a"),
        ("AB", written("a", "a"), "a", MISSING),
        # Somebody edited between A and B: that is what was there before B.
        ("BA", [step("A", MISSING, "a"), step("B", "mine", "b")], "b", "mine"),
        ("A", [step("A", MISSING, "a"), step("B", "mine", "b")], "b", "b"),
        # B was written after A had been undone.
        ("BA", [step("A", MISSING, "a"), step("B", MISSING, "b")], "b", MISSING),
        # A was undone, and C wrote the same as A before B did something else.
        ("BA", [step("A", "o", "a"), step("C", "o", "a"), step("B", "a", "b")], "b", "a"),
        # A was killed between its journal and its writing, and went on.
        ("A", [step("A", "o", "a"), step("A", "o", "a2")], "a2", "o"),
        ("A", [step("A", "o", "a"), step("A", "a", "a2")], "a2", "o"),
        # Somebody put A's text back over B's: it goes when A goes.
        ("BA", written("a", "b"), "a", MISSING),
        # The run never wrote here.
        ("Z", written("a"), "a", "a"),
    ],
)
def test_a_value_without_some_runs(gone, steps, current, value):
    found = without(gone, steps, current)
    assert found is value or found == value


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 4)), min_size=1, max_size=8),
    st.permutations("ABC"),
    st.one_of(st.none(), st.text(max_size=3)),
)
def test_all_runs_undone_in_any_order_leave_what_was_there(writes, order, before):
    """This also holds if runs write in turns, and the same values."""
    value, steps = before, []
    for run, number in writes:
        steps.append(step(run, value, number))
        value = number
    gone = ""
    for run in order:
        gone += run
        value = without(gone, steps, value)
    assert equal(value, before)
