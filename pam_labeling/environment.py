"""What all settings of the house have in common: they are read from environment variables."""

from __future__ import annotations

import os
from dataclasses import Field, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pam_labeling.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


def from_variables(*names: str, verbatim: bool = False) -> dict[str, Any]:
    """The metadata of a field that is not read from `PAM_` and its name.

    Args:
        names: environment variables; the first that is set wins.
        verbatim: whether blanks around the text belong to it.
    """
    return {"variables": names, "verbatim": verbatim}


@dataclass(frozen=True)
class EnvironmentSettings:
    """Base of settings whose fields are int, float, str, Path or a tuple of str, or None."""

    @classmethod
    def variables(cls) -> dict[str, tuple[str, ...]]:
        """The environment variables of each setting."""
        return {setting.name: _variables(setting) for setting in fields(cls)}

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **overrides: Any
    ) -> Self:
        """Read the environment; `overrides` that are not None win over it.

        An empty variable counts as one that is not set.

        Args:
            environment: `os.environ` by default.
            overrides: settings by name, for example from a command line.

        Raises:
            SettingsError: a value that is not of its kind, or out of its range.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for setting in fields(cls):
            for name in _variables(setting):
                text = environment.get(name, "")
                if not setting.metadata.get("verbatim"):
                    text = text.strip()
                if text:
                    values[setting.name] = _parse(setting, name, text)
                    break
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)

    def _require_range(self, low: float, high: float | None, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if low <= value and (high is None or value <= high):  # a NaN is not in any range
                continue
            limits = f"at least {low}" if high is None else f"from {low} to {high}"
            shown = f"{value:g}" if isinstance(value, float) else value
            raise SettingsError(f"{self.variables()[name][0]} is {limits}, not {shown}")

    def _require_one_of(self, allowed: tuple[str, ...], name: str, *, before: str = "") -> None:
        value = getattr(self, name)
        # Of "cuda:1" only what stands before the colon is one of the names.
        kind = value.partition(before)[0] if value and before else value
        if kind is not None and kind not in allowed:
            raise SettingsError(
                f"{self.variables()[name][0]} is one of {', '.join(allowed)}, not {value!r}"
            )


def _variables(setting: Field[Any]) -> tuple[str, ...]:
    names: tuple[str, ...] = setting.metadata.get("variables", (f"PAM_{setting.name.upper()}",))
    return names


def _parse(setting: Field[Any], variable: str, text: str) -> Any:
    if setting.type == "int":
        return _number(variable, text, int, "a whole number")
    if setting.type == "float":
        return _number(variable, text, float, "a number of seconds")
    if setting.type.startswith("Path"):
        return Path(text).expanduser()
    if setting.type.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _number(variable: str, text: str, kind: type[int] | type[float], what: str) -> int | float:
    try:
        return kind(text.replace("_", ""))
    except ValueError as error:
        raise SettingsError(f"{variable} is {what}, not {text!r}") from error
