"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import pytest

from label_studio_backend.media.downloads import Downloader
from label_studio_backend.settings import ServerSettings
from tests.label_studio_backend.media.asked import LEGACY, Media
from tests.label_studio_backend.media.fetching import LIMIT
from tests.label_studio_backend.web import Internet, running


@pytest.fixture(scope="module")
def running_server():
    with running() as server:
        yield server


@pytest.fixture
def server(running_server):
    return running_server.reset()


@pytest.fixture(scope="module")
def other_running_server():
    with running() as server:
        yield server


@pytest.fixture
def other(other_running_server):
    other_running_server.reset().serve("/x.jpg", b"elsewhere")
    return other_running_server


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


@pytest.fixture
def media():
    made = []

    def make(server=None, **settings):
        if server is not None:
            settings.setdefault("label_studio_url", server.url)
            settings.setdefault("api_key", LEGACY)
        if "media_cache_dir" not in settings:
            settings["media_cache_bytes"] = 0
        made.append(Media(ServerSettings(**settings)))
        return made[-1]

    yield make
    for media in made:
        media.close()


@pytest.fixture
def downloader():
    downloader = Downloader(LIMIT)
    yield downloader
    downloader.close()
