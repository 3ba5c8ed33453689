"""Messages that an administrator sees when something is wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from label_studio_backend.config.template import build_config
from pam_model import Task
from tests.e2e.label_studio.api import ApiError
from tests.e2e.label_studio.conftest import basic_auth
from tests.e2e.label_studio.images import DrawnImage
from tests.e2e.label_studio.pages import ModelSettings, screenshot

CONFIG = build_config(("circle", "star"), texts=(Task.BRIEF,))


def test_a_config_that_cannot_work_is_refused_in_the_form(api, backend):
    shapeless = '<View><Image name="image" value="$image"/></View>'
    project = api.create_project("Shapeless", shapeless, show_predictions=False)
    with pytest.raises(ApiError, match="BrushLabels") as refused:
        api.connect(project, backend.url, **basic_auth())
    assert refused.value.status == 400


def test_a_config_that_was_broken_later_is_said_in_the_settings(connect, api, page):
    project, _ = connect("Broken", CONFIG)
    api.change_config(project, CONFIG.replace('pam="brief"', 'pam="breif"'))
    state = api.backend(project)
    assert state["readable_state"] == "Error"
    assert 'not "breif"' in state["error_message"]
    settings = ModelSettings(page, project)
    settings.expect_state("Error")
    settings.reopen_form()
    settings.validate_and_save()
    expect(page.get_by_text('not "breif"').first).to_be_visible()
    screenshot(page, "settings-wrong-config")


def test_what_is_missing_in_a_config_is_said_by_the_test_request(connect, api):
    file = ("shapes.png", DrawnImage(17).png())
    options = {"points_per_side": 8}
    without = CONFIG.replace(' smart="true"', "")
    project, _ = connect("Missing", without, file, extra_params=options)
    [answer] = api.test_request(project)["response"]
    assert any('KeyPoint "point" has no smart="true"' in hint for hint in answer["hints"])


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
