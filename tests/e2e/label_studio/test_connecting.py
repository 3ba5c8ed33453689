"""The first steps of an administrator, in the browser alone."""

from __future__ import annotations

import subprocess

from label_studio_backend.config.lint import LintReport, check_project
from tests.e2e.label_studio import servers
from tests.e2e.label_studio.pages import ModelSettings, screenshot


def test_the_form_connects_the_backend_to_a_ready_config(api, backend, page):
    command = [servers.program("pam-labeling"), "label-config", "--label", "Dog", "--label", "Cat"]
    config = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    project = api.create_project("Animals", config, show_predictions=False)
    settings = ModelSettings(page, project)
    settings.fill_form("PAM", backend.url, *servers.BASIC_AUTH)
    screenshot(page, "connection-form")
    settings.validate_and_save()
    settings.expect_state("Connected")

    connected = api.backend(project)
    assert connected["is_interactive"]
    assert connected["model_version"].startswith("nano")
    assert check_project(config, None).findings == LintReport()
