#!/usr/bin/env python3
"""Write the tables of settings in docs/label-studio.md from the classes that read them."""

from __future__ import annotations

import re
from pathlib import Path

from label_studio_backend.settings import ServerSettings
from pam_labeling.environment import EnvironmentSettings, extra_of
from pam_labeling.settings import Settings

PAGE = Path(__file__).resolve().parents[1] / "docs" / "label-studio.md"
HEAD = "| Variable | Default | Meaning |\n| --- | --- | --- |\n"


def table(settings: type[EnvironmentSettings]) -> str:
    """The table of a class of settings, as Markdown."""
    rows = []
    for name, variables in settings.variables().items():
        field = settings.model_fields[name]
        default = extra_of(settings, name)["usual"] or written(field.default)
        names = " or ".join(f"`{variable}`" for variable in variables)
        rows.append(f"| {names} | {default}{' ' if default else ''}| {field.description} |\n")
    return HEAD + "".join(rows)


def written(default: object) -> str:
    """A default as the page shows it: sizes in MiB or GiB, nothing for None."""
    if isinstance(default, str):
        return f"`{default}`"
    if not isinstance(default, int | float):
        return ""
    for size, unit in ((2**30, "GiB"), (2**20, "MiB")):
        if default >= size and default % size == 0:
            return f"{default // size} {unit}"
    return f"`{default:g}`" if default < 10_000 else f"{default:,}"


def with_tables(page: str) -> str:
    """The page with its two tables replaced by new ones."""
    tables = iter([table(ServerSettings), table(Settings)])
    return re.sub(rf"{re.escape(HEAD)}(\|.*\n)+", lambda _: next(tables), page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
