"""Downloads over TLS, and posts."""

from __future__ import annotations

import time

import pytest

from label_studio_backend.media.downloads import Downloader, StatusError
from label_studio_backend.media.urls import MediaError, NetworkZone, Url
from tests.label_studio_backend.media.fetching import LIMIT, get
from tests.label_studio_backend.web import TLS, running


@pytest.fixture(scope="module")
def running_secure_server():
    with running(tls=True) as server:
        yield server


@pytest.fixture
def secure_server(running_secure_server):
    running_secure_server.reset().serve("/x")
    return running_secure_server


def test_tls_is_verified_for_the_name_not_the_address(internet, secure_server):
    internet.names["pictures.test"] = internet.names["other.test"] = ["127.0.0.1"]
    downloader = Downloader(LIMIT, TLS / "certificate.pem")
    url = f"https://pictures.test:{secure_server.port}/x"
    assert get(downloader, url).content == b"image"
    with pytest.raises(MediaError, match=r"other\.test:\d+ cannot be trusted.*REQUESTS_CA_BUNDLE"):
        get(downloader, f"https://other.test:{secure_server.port}/x")
    downloader.close()


def test_tls_of_an_unknown_authority_is_refused(downloader, internet, secure_server):
    internet.names["pictures.test"] = ["127.0.0.1"]
    with pytest.raises(MediaError, match="cannot be trusted"):
        get(downloader, f"https://pictures.test:{secure_server.port}/x")
    assert secure_server.requests == []


def test_dripping_over_tls_does_not_outlast_the_total_time(internet, secure_server):
    def drip(request):
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.02)

    secure_server.routes["/x"] = drip
    internet.names["pictures.test"] = ["127.0.0.1"]
    downloader = Downloader(LIMIT, TLS / "certificate.pem")
    started = time.monotonic()
    with pytest.raises(MediaError, match="in time"):
        get(downloader, f"https://pictures.test:{secure_server.port}/x", seconds=0.3)
    assert time.monotonic() - started < 2
    downloader.close()


def post(downloader, url):
    deadline = time.monotonic() + 10
    return downloader.post_json(Url.parse(url), NetworkZone.PRIVATE, {"a": "b"}, deadline)


def test_json_is_posted_and_answered(downloader, server):
    server.routes["/x"] = lambda request: request.answer_json({"c": "d"})
    assert post(downloader, f"{server.url}/x") == {"c": "d"}
    assert server.requests[0].body == b'{"a": "b"}'
    assert server.requests[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body", [b"[]", b"<html>", b"\xff"])
def test_an_answer_that_is_no_json_object_is_refused(downloader, server, body):
    server.serve("/x", body)
    with pytest.raises(MediaError, match="is it a Label Studio"):
        post(downloader, f"{server.url}/x")


def test_a_post_is_not_redirected(downloader, server):
    server.redirect("/x", "/y", 307)
    with pytest.raises(MediaError, match="set LABEL_STUDIO_URL to where it redirects"):
        post(downloader, f"{server.url}/x")
    assert server.paths == ["/x"]


def test_a_refused_post_says_its_status(downloader, server):
    server.serve("/x", b"", status=500)
    with pytest.raises(StatusError, match="500"):
        post(downloader, f"{server.url}/x")
