"""What the page about Label Studio says is so."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from label_studio_backend.settings import ServerSettings
from pam_labeling import Settings

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "label-studio.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.splitlines() if line.startswith("| `")]
SERVER = [name for names in ServerSettings.variables().values() for name in names]
MODEL = [name for names in Settings.variables().values() for name in names]
IMAGES = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)


@pytest.mark.parametrize("variable", [*SERVER, *MODEL])
def test_every_setting_is_in_the_table_once(variable):
    assert len([row for row in ROWS if f"`{variable}`" in row.split("|")[1]]) == 1


def test_the_table_has_no_setting_that_there_is_not():
    named = {name for row in ROWS for name in re.findall(r"`([A-Z_0-9]+)`", row.split("|")[1])}
    assert named == {*SERVER, *MODEL}


@pytest.mark.parametrize(
    ("settings", "setting"),
    [(settings, each) for settings in (ServerSettings, Settings) for each in fields(settings)],
)
def test_plain_defaults_are_those_of_the_settings(settings, setting):
    if not isinstance(setting.default, (int, float, str)):
        return
    variable = settings.variables()[setting.name][0]
    [row] = [row for row in ROWS if f"`{variable}`" in row.split("|")[1]]
    default = row.split("|")[2].strip().strip("`")
    assert default in spellings(setting.default)


def spellings(value):
    """How a default may be written: as it is, with commas, or in MiB or GiB."""
    if isinstance(value, str):
        return [value]
    shapes = [f"{value:g}", f"{value:,}"]
    return [*shapes, f"{value / 2**20:g} MiB", f"{value / 2**30:g} GiB"]


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_there_and_not_large(name):
    assert 1000 < (DOCS / name).stat().st_size < 250_000


def test_the_page_has_images_and_its_links_lead_somewhere():
    assert len(IMAGES) >= 4
    links = re.findall(r"(?<!!)\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
