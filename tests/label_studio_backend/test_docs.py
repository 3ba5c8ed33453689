"""The statements of the page about Label Studio are true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from label_studio_backend.settings import ServerSettings
from pam_labeling import Settings
from scripts.settings_table import with_tables

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


def test_the_tables_of_settings_are_as_the_classes_have_them():
    assert with_tables(PAGE) == PAGE, "run scripts/settings_table.py"


def test_defaults_are_written_as_people_read_them():
    assert f"| `PAM_MEDIA_CACHE_BYTES` | {4096 * 2**20 // 2**30} GiB |" in PAGE
    assert "| `PAM_MEDIA_TIMEOUT` | `30` |" in PAGE
    assert "| `PAM_HOST` | `127.0.0.1` |" in PAGE
    assert "| `PAM_MAX_PIXELS` | 89,478,485 |" in PAGE


@pytest.mark.parametrize("name", IMAGES)
def test_images_are_there_and_not_large(name):
    assert 1000 < (DOCS / name).stat().st_size < 250_000


def test_the_page_has_images_and_its_links_lead_somewhere():
    assert len(IMAGES) >= 4
    links = re.findall(r"(?<!!)\[[^\]]+\]\(([^)#]+)(?:#[^)]*)?\)", PAGE)
    assert links
    assert [link for link in links if not (DOCS / link).exists()] == []
