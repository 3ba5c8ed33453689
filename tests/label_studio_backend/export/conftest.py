"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from label_studio_backend.commands import app
from tests.label_studio_backend.export.exported import CONFIG
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with FakeLabelStudio(tasks=1) as fake:
        fake.project["label_config"] = CONFIG
        monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
        monkeypatch.setenv("PAM_MEDIA_CACHE_DIR", str(tmp_path / "media"))
        monkeypatch.chdir(tmp_path)
        yield fake


@pytest.fixture
def export(fake):
    def export(*arguments, code=0):
        result = CliRunner().invoke(app, ["export", "--project", "1", *arguments])
        assert result.exit_code == code, result.output
        return " ".join(result.output.split())

    return export
