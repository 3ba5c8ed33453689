"""Tests of what a value would be without a run."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from fiftyone_plugin.runs.history import MISSING, Fate, Step, equal, without


def written(*values):
    """Steps of runs A, B, C ... that each wrote a value over the one before."""
    olds = [MISSING, *values]
    return [Step(run, old, new) for run, old, new in zip("ABCDEFGH", olds, values, strict=False)]


@pytest.mark.parametrize(
    ("run", "steps", "current", "undone", "fate", "value"),
    [
        ("A", written("a"), "a", "", Fate.RESTORE, MISSING),
        ("A", [Step("A", None, "a")], "a", "", Fate.RESTORE, None),
        ("A", [Step("A", "old", "a")], "a", "", Fate.RESTORE, "old"),
        ("A", written("a"), MISSING, "", Fate.RESTORED, None),
        ("A", written("a"), None, "", Fate.RESTORED, None),
        ("A", written("a"), "edited", "", Fate.KEPT, None),
        ("A", written("a", "b"), "b", "", Fate.SUPERSEDED, None),
        ("B", written("a", "b"), "b", "", Fate.RESTORE, "a"),
        ("B", written("a", "b"), "b", "A", Fate.RESTORE, MISSING),
        ("C", written("a", "b", "c"), "c", "B", Fate.RESTORE, "a"),
        ("C", written("a", "b", "c"), "c", "AB", Fate.RESTORE, MISSING),
        ("B", written("a", "b", "c"), "c", "", Fate.SUPERSEDED, None),
        # A and B wrote the same: B's claim stays while B does.
        ("A", written("a", "a"), "a", "", Fate.SUPERSEDED, None),
        ("B", written("a", "a"), "a", "", Fate.RESTORED, "a"),
        ("B", written("a", "a"), "a", "A", Fate.RESTORE, MISSING),
        ("A", written("a", "a"), "a", "B", Fate.RESTORE, MISSING),
        # Somebody edited between A and B: that is what was there before B.
        ("B", [Step("A", MISSING, "a"), Step("B", "mine", "b")], "b", "A", Fate.RESTORE, "mine"),
        ("A", [Step("A", MISSING, "a"), Step("B", "mine", "b")], "b", "", Fate.RESTORED, None),
        # B was written after A had been undone.
        ("B", [Step("A", MISSING, "a"), Step("B", MISSING, "b")], "b", "A", Fate.RESTORE, MISSING),
        # A was killed between its journal and its writing, and went on.
        ("A", [Step("A", "o", "a"), Step("A", "o", "a2")], "a2", "", Fate.RESTORE, "o"),
        ("A", [Step("A", "o", "a"), Step("A", "a", "a2")], "a2", "", Fate.RESTORE, "o"),
        # Somebody put A's text back over B's: it goes when A goes.
        ("A", written("a", "b"), "a", "", Fate.RESTORE, MISSING),
        # The run never wrote here.
        ("Z", written("a"), "a", "", Fate.RESTORED, None),
    ],
)
def test_fates(run, steps, current, undone, fate, value):
    verdict = without(run, steps, current, set(undone))
    assert verdict.fate is fate
    if fate is Fate.RESTORE:
        assert verdict.value is value or verdict.value == value


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 4)), min_size=1, max_size=8),
    st.permutations("ABC"),
    st.one_of(st.none(), st.text(max_size=3)),
)
def test_all_runs_undone_in_any_order_leave_what_was_there(writes, order, before):
    """Also where runs write in turns, and the same values."""
    value, steps = before, []
    for run, number in writes:
        steps.append(Step(run, value, number))
        value = number
    undone: set[str] = set()
    for run in order:
        verdict = without(run, steps, value, undone)
        assert verdict.fate is not Fate.KEPT
        if verdict.fate is Fate.RESTORE:
            value = verdict.value
        assert without(run, steps, value, undone).fate is not Fate.RESTORE  # to repeat is harmless
        undone.add(run)
    assert value == before


@pytest.mark.parametrize(
    ("one", "other", "equals"),
    [
        ("a", "a", True),
        (1, True, False),
        (float("nan"), float("nan"), True),
        (MISSING, None, True),
        (MISSING, MISSING, True),
        (b"x" * 100, b"x" * 100, True),
        (b"x" * 100, b"y" * 100, False),
        (["a"], ["a"], True),
        ("a", None, False),
    ],
)
def test_equality_is_that_of_the_database(one, other, equals):
    assert equal(one, other) is equals
