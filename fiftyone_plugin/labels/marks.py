"""Marks of review: a person's verdict on one text of a label.

Each text has a mark of its own, in the attribute `{text}_reviewed` beside it. Until version 0.1.0 a
label had one mark for all its texts, `reviewed`, which did not say of which text it spoke. It
counts as the mark of the text that the panel showed first; and because that may have been another
one, it keeps runs from replacing any text of the label.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import fiftyone as fo

from .fields import attributes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Verdict = Literal["accepted", "edited", "rejected"]

OLD_MARK = "reviewed"
KEEPS: Collection[Any] = ("accepted", "edited")
"""The verdicts of a text that stays. A rejected text may be replaced."""

SHOWN_FIRST = ("caption", "brief", "detailed")
"""The texts that the review panel prefers, here as in version 0.1.0."""

_SUFFIX = "_reviewed"
_NOT_TEXTS = frozenset({"label", "mask_path", "instance", "attributes", OLD_MARK})


def mark_of(text: str) -> str:
    """The attribute with the mark of a text."""
    return f"{text}{_SUFFIX}"


def is_mark(name: str, names: Collection[str]) -> bool:
    """Whether an attribute is a mark, among the names of all attributes."""
    return is_like_mark(name) and (name == OLD_MARK or name.removesuffix(_SUFFIX) in names)


def is_like_mark(name: str) -> bool:
    """Whether an attribute has the name of a mark, of whatever text."""
    return name == OLD_MARK or name.endswith(_SUFFIX)


def texts_of(collection: Any, field: str, kind: type[fo.Field] = fo.StringField) -> list[str]:
    """The declared attributes of a field's labels that a run or a person may put texts into."""
    known = attributes_of(collection, field)
    return [
        name
        for name, found in known.items()
        if isinstance(found, kind) and name not in _NOT_TEXTS and not is_mark(name, known)
    ]


def text_of_old_mark(texts: Sequence[str]) -> str | None:
    """The text that `reviewed` speaks of, among all texts of the labels."""
    return next((name for name in SHOWN_FIRST if name in texts), next(iter(texts), None))


def keeps(label: Mapping[str, Any], name: str) -> bool:
    """Whether a person accepted or edited a text of a label (as the database holds it)."""
    if not isinstance(label.get(name), str):  # nobody was shown anything else
        return False
    return (label.get(mark_of(name)) or label.get(OLD_MARK)) in KEEPS
