"""The site that `make docs` builds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import pam_labeling
import pam_model

ROOT = Path(__file__).parents[2]
REFERENCE = {pam_labeling: "docs/api/pam_labeling.html", pam_model: "docs/api/pam_model.html"}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Built as `make docs` does it; a warning fails."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_visitors_browser_asks_nobody_else(site):
    loaded = r'<(?:script|link|img|iframe)[^>]*(?:src|href)="((?:https?:)?//[^"]+)"'
    pages = list(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        assert re.findall(loaded, page.read_text(encoding="utf-8")) == [], page
    for style in site.rglob("*.css"):
        assert "url(http" not in style.read_text(encoding="utf-8"), style


@pytest.mark.parametrize("package", REFERENCE, ids=lambda package: package.__name__)
def test_the_reference_has_every_public_class_and_function_of_the_package(site, package):
    page = (site / REFERENCE[package]).read_text(encoding="utf-8")
    defined = [
        name
        for name in package.__all__
        if getattr(getattr(package, name), "__module__", "").startswith(package.__name__)
        and callable(getattr(package, name))
    ]
    assert len(defined) > 10
    missing = [name for name in defined if f'id="{package.__name__}.{name}"' not in page]
    assert missing == []
