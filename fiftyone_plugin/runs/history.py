"""What a value would be without a run, from everything that runs wrote into its place.

Runs may overlap, and be undone in any order. Each wrote down what it found and what it left, so the
steps form a chain; where a step found something else than the step before it left, somebody was
there in between, and the chain begins anew with that person's value.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from .journal import same, stamp

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class _Missing(Enum):
    MISSING = "missing"


MISSING = _Missing.MISSING
"""Nothing is there, not even null. For the question who wrote a value, it equals null."""


@dataclass(frozen=True)
class Step:
    """One run's writing of one value.

    Attributes:
        run: the run's journal.
        old: what it found, as MongoDB has it, or `MISSING`.
        new: the stamp of what it left.
    """

    run: str
    old: Any
    new: Any


class Fate(Enum):
    """What undoing a run means for one value."""

    RESTORE = "restore"
    RESTORED = "restored"
    SUPERSEDED = "superseded"
    KEPT = "kept"


@dataclass(frozen=True)
class Verdict:
    """What is to be done with one value.

    Attributes:
        fate: RESTORE: write `value`; RESTORED: it is already as without the run; SUPERSEDED: a
            later run's value is there and stays; KEPT: somebody edited it, and that stays.
        value: as MongoDB has it, or `MISSING`.
    """

    fate: Fate
    value: Any = None


def without(run: str, steps: Iterable[Step], current: Any, undone: Collection[str]) -> Verdict:
    """Decide what undoing a run does to one value.

    Args:
        run: the run to undo.
        steps: what all runs wrote there, in the order of writing, undone runs' too.
        current: what is there now, as MongoDB has it, or `MISSING`.
        undone: the runs that are undone already, or partly.
    """
    chain: list[Step] = []
    base: Any = MISSING
    for step in steps:
        holder = _holder(chain, step.old)
        if holder < 0:
            base = step.old
        chain = [*chain[: holder + 1], step]
    holder = _holder(chain, current, undone)
    if holder < 0:
        restored = equal(current, base)
        return Verdict(Fate.RESTORED if restored else Fate.KEPT)
    if chain[holder].run != run:
        later = any(step.run == run for step in chain[:holder])
        return Verdict(Fate.SUPERSEDED if later else Fate.RESTORED)
    gone = {run, *undone}
    for index in range(holder - 1, -1, -1):
        if chain[index].run not in gone:
            value = chain[index + 1].old  # what the step above it found is what it left
            return Verdict(Fate.RESTORED if equal(value, current) else Fate.RESTORE, value)
    return Verdict(Fate.RESTORED if equal(base, current) else Fate.RESTORE, base)


def equal(one: Any, other: Any) -> bool:
    """Whether two values, or a value and a stamp, are the same; nothing equals null."""
    plain, also = (None if value is MISSING else stamp(value) for value in (one, other))
    return same(plain, also)


def _holder(chain: list[Step], value: Any, undone: Collection[str] = ()) -> int:
    """The last step that left `value`, rather of a run that is not undone; -1 where none did."""
    left = [index for index, step in enumerate(chain) if equal(step.new, value)]
    standing = [index for index in left if chain[index].run not in undone]
    return max(standing or left, default=-1)
