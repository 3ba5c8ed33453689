"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import logging

import pytest
from typer.testing import CliRunner

from label_studio_backend.commands import app
from pam_labeling import Settings
from tests.label_studio_backend.conftest import Kept, png
from tests.label_studio_backend.fake_label_studio import TOKEN, FakeLabelStudio
from tests.label_studio_backend.prelabel.projects import CONFIG, QUICK


@pytest.fixture
def fake(monkeypatch, tmp_path):
    with FakeLabelStudio(tasks=4) as fake:
        fake.project["label_config"] = CONFIG
        for number in fake.tasks:
            fake.files[f"/data/upload/{number}.png"] = png()
        monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", TOKEN)
        monkeypatch.setenv("PAM_MEDIA_CACHE_DIR", str(tmp_path / "media"))
        monkeypatch.setenv("PAM_THREADS", "1")
        monkeypatch.setenv("OMP_NUM_THREADS", "1")
        yield fake
        logging.getLogger("label_studio_backend.model_loader").setLevel(logging.NOTSET)


@pytest.fixture
def warm(monkeypatch, annotator):
    """The embedded model is there already."""
    load = Settings.open_annotator

    def open_annotator(settings):
        return Kept(annotator) if settings.model == "nano" else load(settings)

    monkeypatch.setattr(Settings, "open_annotator", open_annotator)


@pytest.fixture
def prelabel(fake, warm):
    def prelabel(*arguments):
        return CliRunner().invoke(app, ["prelabel", "--project", "1", *QUICK, *arguments])

    return prelabel
