"""Base of the settings of the house, which are read from environment variables."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field
from typing_extensions import Self

from pam_labeling.errors import SettingsError
from pam_labeling.validation import CheckedModel

_log = logging.getLogger(__name__)


def setting(
    default: Any,
    meaning: str,
    *variables: str,
    former: str = "",
    usual: str | None = None,
    verbatim: bool = False,
    unit: str | None = None,
    **field: Any,
) -> Any:
    """A field of settings.

    Args:
        default: the value without a variable, or a function that makes it.
        meaning: what it is, for the table of settings.
        variables: the environment variables; the first that is set counts. None: `PAM_` and the
            field's name.
        former: the variable's name in an earlier version, which is still read; "" if it had none.
        usual: how the table of settings writes the default, where it has no fixed one.
        verbatim: whether blanks around the text belong to it.
        unit: of a number, for messages.
        field: limits and the like, as `pydantic.Field` has them.
    """
    field["default_factory" if callable(default) else "default"] = default
    extra: dict[str, Any] = {
        "variables": variables,
        "former": former,
        "usual": usual,
        "verbatim": verbatim,
    }
    if unit:
        extra["unit"] = unit
    return Field(description=meaning, json_schema_extra=extra, **field)


class EnvironmentSettings(CheckedModel):
    """Base of settings, whose fields are made by `setting`.

    Raises:
        SettingsError: a value that cannot be used; the message names its environment variable.
    """

    model_config = ConfigDict(strict=False)  # a variable is text, also where a number is meant

    error = SettingsError
    noun = "setting"
    nothing = ""

    @classmethod
    def variables(cls) -> dict[str, tuple[str, ...]]:
        """The environment variables of each setting."""
        return {
            name: extra_of(cls, name)["variables"] or (f"PAM_{name.upper()}",)
            for name in cls.model_fields
        }

    @classmethod
    def spoken(cls, field: str) -> str:
        """The first variable of a setting."""
        return cls.variables()[field][0]

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **overrides: Any
    ) -> Self:
        """Read the environment; `overrides` that are not None win over it.

        An empty variable counts as one that is not set. A former name of a variable is read with
        a warning in the log.

        Args:
            environment: `os.environ` by default.
            overrides: settings by name, for example from a command line.

        Raises:
            SettingsError: a value that is not of its kind, or out of its range.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for name, variables in cls.variables().items():
            extra = extra_of(cls, name)
            for variable in (*variables, extra["former"]):
                text = environment.get(variable, "") if variable else ""
                if not text.strip():
                    continue
                if variable == extra["former"]:
                    _log.warning("%s is now called %s; please rename it.", variable, variables[0])
                values[name] = text if extra["verbatim"] else text.strip()
                break
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)


def extra_of(settings: type[EnvironmentSettings], name: str) -> dict[str, Any]:
    """What `setting` keeps about a field besides pydantic's own."""
    extra = settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)
    return extra
