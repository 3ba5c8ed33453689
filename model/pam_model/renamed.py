"""Names of earlier versions: they still work, and warn with the new name."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

C = TypeVar("C", bound=type)


def load_renamed(
    package: str, load: Callable[[str], object], new_names: Mapping[str, str]
) -> Callable[[str], object]:
    """A module's `__getattr__` that also knows old names.

    Args:
        package: the module's name, for the message.
        load: returns the object with a new name.
        new_names: the new name of each old one.
    """

    def load_by_any_name(name: str) -> object:
        if name not in new_names:
            return load(name)
        _warn(f"{package}.{name} is deprecated: write {package}.{new_names[name]}")
        return load(new_names[name])

    return load_by_any_name


def renamed_argument(old: str, new: str) -> Callable[[C], C]:
    """Let a class also take an argument by its old name, and give its attribute both names."""

    def decorate(cls: C) -> C:
        begin = cls.__init__  # type: ignore[misc]  # of this class, and of no other

        @functools.wraps(begin)
        def initialise(self: object, *args: Any, **options: Any) -> None:
            if old in options:
                _warn(f"{cls.__name__}({old}=...) is deprecated: write {cls.__name__}({new}=...)")
                options[new] = options.pop(old)
            begin(self, *args, **options)

        def read(self: object) -> Any:
            _warn(f"{cls.__name__}.{old} is deprecated: write {cls.__name__}.{new}")
            return getattr(self, new)

        cls.__init__ = initialise  # type: ignore[misc]
        setattr(cls, old, property(read))
        return cls

    return decorate


def _warn(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=3)
