"""The first steps of an administrator, in the browser alone."""

from __future__ import annotations

from label_studio_backend.config_template import build_config
from tests.e2e.label_studio import servers
from tests.e2e.label_studio.pages import ModelSettings, screenshot


def test_the_form_connects_the_backend(api, backend, page):
    project = api.create_project("Shapes", build_config(("circle",)), show_predictions=False)
    settings = ModelSettings(page, project)
    settings.fill_form("PAM", backend.url, *servers.BASIC_AUTH)
    screenshot(page, "connection-form")
    settings.validate_and_save()
    settings.expect_state("Connected")

    connected = api.backend(project)
    assert connected["is_interactive"]
    assert connected["model_version"].startswith("nano")
