"""Settings that are read from environment variables."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, ValidationError
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
        default: the value if no variable is set, or a function that makes it.
        meaning: what the setting is, for the table of settings.
        variables: the environment variables; the first one that is set counts. By default
            `PAM_` and the field's name.
        former: the variable's name in an earlier version, still read with a warning; "" if none.
        usual: what the table of settings says about a default that is not a fixed value.
        verbatim: whether to keep spaces around the text.
        unit: the unit of a number, for messages.
        field: limits and other arguments of `pydantic.Field`.
    """
    field["default_factory" if callable(default) else "default"] = default
    extra: dict[str, Any] = {
        "variables": variables,
        "former": former,
        "usual": usual,
        "verbatim": verbatim,
        "unit": unit,
    }
    return Field(description=meaning, json_schema_extra=extra, **field)


class EnvironmentSettings(CheckedModel):
    """Base class of settings; `setting` makes their fields.

    Raises:
        SettingsError: a value cannot be used; the message names its environment variable.
    """

    model_config = ConfigDict(strict=False)  # the text of a variable may stand for a number

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
        cls,
        environment: Mapping[str, str] | None = None,
        *,
        option: str | None = None,
        **overrides: Any,
    ) -> Self:
        """Read the environment; `overrides` that are not None take precedence.

        An empty variable counts as not set. A former name of a variable is read with a warning in
        the log.

        Args:
            environment: `os.environ` by default.
            option: how messages call an override, such as `"--{}"` for options of a command line,
                or None to call it by its variable.
            overrides: settings by name, for example from a command line.

        Raises:
            SettingsError: a value has the wrong type or is out of range; the message names the
                variable or the option.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for name, variables in cls.variables().items():
            extra = extra_of(cls, name)
            # The old name comes last: if both are set, the new one counts.
            for variable in (*variables, extra["former"]):
                text = environment.get(variable, "") if variable else ""
                if not text.strip():
                    continue
                if variable == extra["former"]:
                    _log.warning("%s is now called %s; please rename it.", variable, variables[0])
                values[name] = text if extra["verbatim"] else text.strip()
                break
        given = {name: value for name, value in overrides.items() if value is not None}
        try:
            return cls(**(values | given))
        except SettingsError as error:
            if option is None or not isinstance(error.__cause__, ValidationError):
                raise
            names = {name: option.format(name.replace("_", "-")) for name in given}
            raise cls.error(cls._sentence(error.__cause__, names)) from error.__cause__


def extra_of(settings: type[EnvironmentSettings], name: str) -> dict[str, Any]:
    """The arguments of a field's `setting` that pydantic has no place for."""
    extra = settings.model_fields[name].json_schema_extra
    assert isinstance(extra, dict)  # pydantic would also take a function
    return extra
