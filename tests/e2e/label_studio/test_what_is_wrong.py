"""What an administrator sees when something is wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from label_studio_backend.config_template import build_config
from tests.e2e.label_studio.api import ApiError
from tests.e2e.label_studio.conftest import basic_auth
from tests.e2e.label_studio.pages import screenshot

CONFIG = build_config(("circle", "star"))
NOT_SMART = CONFIG.replace(' smart="true"', "")


def test_a_config_without_smart_tools_is_said_in_the_settings(connect, api, backend, page):
    project, _ = connect("Config", CONFIG)
    api.change_config(project, NOT_SMART)
    state = api.backend(project)
    said = f"{state['error_message']} {state['model_version']}"
    assert "KeyPointLabels" in said
    assert 'smart="true"' in said
    page.goto(f"{project.url}/settings/ml")
    expect(page.get_by_text("PAM", exact=True)).to_be_visible()
    screenshot(page, "settings-wrong-config")


def test_a_wrong_password_is_refused_in_the_form(api, backend):
    project = api.create_project("Password", CONFIG, show_predictions=False)
    wrong = basic_auth() | {"basic_auth_pass": "wrong"}
    with pytest.raises(ApiError, match="authentication parameters") as refused:
        api.connect(project, backend.url, **wrong)
    assert refused.value.status == 400


def test_extra_parameters_that_are_none_are_refused_by_name(api, backend):
    project = api.create_project("Parameters", CONFIG, show_predictions=False)
    with pytest.raises(ApiError, match="lable_threshold"):
        api.connect(project, backend.url, **basic_auth(), extra_params={"lable_threshold": 0.5})
