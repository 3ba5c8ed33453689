"""One Label Studio, one backend and one browser for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.e2e.conftest import PATIENCE
from tests.e2e.label_studio import servers
from tests.e2e.label_studio.api import Api
from tests.e2e.label_studio.pages import log_in, screenshot

_FAILED = pytest.StashKey[bool]()
_CHROMIUM_OPTIONS = (
    "--no-sandbox",  # which root cannot have, and a container does not need
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture(scope="session")
def label_studio_url(tmp_path_factory):
    servers.chromium()  # say that it is missing now rather than after a minute
    servers.ARTEFACTS.mkdir(parents=True, exist_ok=True)
    for server in servers.label_studio(tmp_path_factory.mktemp("label-studio")):
        yield server.url


@pytest.fixture(scope="session")
def api(label_studio_url):
    api = Api(label_studio_url, f"Token {servers.TOKEN}")
    yield api
    api.close()


@pytest.fixture(scope="session")
def backend(label_studio_url, tmp_path_factory):
    """`pam-labeling serve`, with a legacy token; what is said to it is recorded."""
    folder = tmp_path_factory.mktemp("backend")
    yield from servers.serve("backend", folder, label_studio_url, servers.TOKEN)


@pytest.fixture(scope="session")
def logged_in(playwright, label_studio_url):
    """A browser context with the user's session."""
    browser = playwright.chromium.launch(executable_path=servers.chromium(), args=_CHROMIUM_OPTIONS)
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    log_in(page, label_studio_url)
    page.close()
    yield context
    browser.close()


@pytest.fixture
def page(logged_in, request):
    """A new tab. No script of the page may have failed; what is seen of a failed test is kept."""
    page = logged_in.new_page()
    errors = []

    def remember(error):
        errors.append(error)

    page.on("pageerror", remember)
    yield page
    if request.node.stash.get(_FAILED, False):
        screenshot(page, f"failed-{request.node.name}")
    page.close()
    assert errors == []


@pytest.fixture
def connect(api, backend):
    """Make a project with an image or several, and connect the backend to it."""

    def connect(title, label_config, *files, show_predictions=False, **options):
        project = api.create_project(title, label_config, show_predictions=show_predictions)
        tasks = [api.upload(project, name, content) for name, content in files]
        connected = api.connect(project, backend.url, **basic_auth(), **options)
        assert connected["readable_state"] == "Connected"
        return project, tasks

    return connect


def basic_auth():
    user, password = servers.BASIC_AUTH
    return {
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": user,
        "basic_auth_pass": password,
    }
