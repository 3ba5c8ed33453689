""""""

from __future__ import annotations

import time

import httpcore
import pytest

from label_studio_backend.media import downloads
from label_studio_backend.media.downloads import Permit, StatusError, Validators
from label_studio_backend.media.urls import MediaError, NetworkZone
from tests.label_studio_backend.media.fetching import LIMIT, anywhere_public, get


def test_a_file_comes_with_its_validators_and_no_encoding_is_asked_for(downloader, server):
    server.serve("/x", b"image", ETag='"1"', Last_Modified="Mon")
    download = get(downloader, f"{server.url}/x?a=1")
    assert (download.content, download.validators) == (b"image", Validators('"1"', "Mon"))
    [request] = server.requests
    assert request.path == "/x?a=1"
    assert request.headers["Accept-Encoding"] == "identity"
    assert "Authorization" not in request.headers


def test_connections_are_kept_for_the_next_file(downloader, server):
    server.serve("/x")
    get(downloader, f"{server.url}/x")
    get(downloader, f"{server.url}/x")
    first, second = (request.client_address for request in server.requests)
    assert first == second


def test_a_file_that_has_not_changed_does_not_come_again(downloader, server):
    server.routes["/x"] = lambda request: request.answer(status=304)
    download = get(downloader, f"{server.url}/x", validators=Validators('"1"', "Mon"))
    assert (download.content, download.validators) == (b"", None)
    assert server.requests[0].headers["If-None-Match"] == '"1"'
    assert server.requests[0].headers["If-Modified-Since"] == "Mon"


def test_validators_need_not_be_ascii(downloader, server):
    server.serve("/x", ETag='"\xe9"')
    known = get(downloader, f"{server.url}/x").validators
    assert get(downloader, f"{server.url}/x", validators=known).content == b"image"


def test_an_unasked_304_is_an_error(downloader, server):
    server.routes["/x"] = lambda request: request.answer(status=304)
    with pytest.raises(StatusError, match="304: this status was not expected"):
        get(downloader, f"{server.url}/x")


def test_redirects_are_followed_and_each_is_judged(downloader, server):
    server.redirect("/a", "/b?c=1", 303)
    server.redirect("/b", f"{server.url}/d", 307)
    server.serve("/d")
    judged = []

    def permit(url, previous):
        judged.append((url.path, previous.path if previous else None))
        return Permit(NetworkZone.PRIVATE, "Token x" if url.path == "/a" else None)

    assert get(downloader, f"{server.url}/a", permit).content == b"image"
    assert judged == [("/a", None), ("/b", "/a"), ("/d", "/b")]
    assert [r.headers.get("Authorization") for r in server.requests] == ["Token x", None, None]


def test_endless_redirects_end(downloader, server):
    server.redirect("/a", "/a")
    with pytest.raises(MediaError, match="redirects more than 5 times"):
        get(downloader, f"{server.url}/a")
    assert len(server.requests) == 6


def test_a_redirect_without_a_place_leads_back_and_so_ends(downloader, server):
    server.serve("/a", b"", status=302)
    with pytest.raises(MediaError, match="more than 5 times"):
        get(downloader, f"{server.url}/a")


def test_a_file_as_large_as_the_limit_comes(downloader, server):
    server.serve("/x", LIMIT * b"x")
    assert len(get(downloader, f"{server.url}/x").content) == LIMIT


def test_a_file_that_says_it_is_too_large_is_not_read(downloader, server):
    server.serve("/x", b"", Content_Length=str(LIMIT + 1))
    started = time.monotonic()
    with pytest.raises(MediaError, match="larger than 100,000 bytes"):
        get(downloader, f"{server.url}/x")
    assert time.monotonic() - started < 5


def test_an_endless_file_is_left(downloader, server):
    sent = []

    def endless(request):
        request.send_response(200)
        request.send_header("Transfer-Encoding", "chunked")
        request.end_headers()
        for _ in range(100_000):
            request.wfile.write(b"1000\r\n" + 4096 * b"x" + b"\r\n")
            sent.append(4096)

    server.routes["/x"] = endless
    with pytest.raises(MediaError, match="larger than 100,000 bytes"):
        get(downloader, f"{server.url}/x")
    assert sum(sent) < 100_000 * 4096


@pytest.mark.parametrize("when", ["head", "body", "chunks"])
def test_dripping_does_not_outlast_the_total_time(downloader, server, when):
    def drip(request):
        request.wfile.write(b"HTTP/1.1 200 OK\r\n")
        if when == "body":
            request.wfile.write(b"Content-Length: 1000\r\n\r\n")
        if when == "chunks":
            request.wfile.write(b"Transfer-Encoding: chunked\r\n\r\n3e8\r\n")
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.02)

    server.routes["/x"] = drip
    started = time.monotonic()
    with pytest.raises(MediaError, match="did not deliver the image in time"):
        get(downloader, f"{server.url}/x", seconds=0.2)
    assert 0.15 < time.monotonic() - started < 2


def test_redirects_share_the_total_time(downloader, server):
    def slow(request):
        time.sleep(0.08)
        request.answer(status=302, Location="/x")

    server.routes["/x"] = slow
    started = time.monotonic()
    with pytest.raises(MediaError, match="in time"):
        get(downloader, f"{server.url}/x", seconds=0.2)
    assert time.monotonic() - started < 2


def test_a_silence_is_named(downloader, server, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.1)
    server.routes["/x"] = lambda request: time.sleep(1)
    with pytest.raises(MediaError, match=r"127\.0\.0\.1:\d+ sent nothing for 0.1 s"):
        get(downloader, f"{server.url}/x")


def test_a_silence_in_the_middle_is_named(downloader, server, monkeypatch):
    monkeypatch.setattr(downloads, "SILENCE_SECONDS", 0.1)

    def pause(request):
        request.send_response(200)
        request.send_header("Content-Length", "10")
        request.end_headers()
        request.wfile.write(b"12345")
        time.sleep(1)

    server.routes["/x"] = pause
    with pytest.raises(MediaError, match="sent nothing"):
        get(downloader, f"{server.url}/x")


def test_a_host_that_does_not_answer_is_named(downloader, internet, monkeypatch):
    def wait(*args, **kwargs):
        raise httpcore.ConnectTimeout("timed out")

    internet.names["example.org"] = ["93.184.215.14"]
    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", wait)
    with pytest.raises(MediaError, match=r"http://example\.org did not answer within 5 s"):
        get(downloader, "http://example.org/x", anywhere_public)


def test_nothing_is_asked_for_when_the_time_is_over(downloader, server):
    with pytest.raises(MediaError, match="in time"):
        get(downloader, f"{server.url}/x", seconds=-1)
    assert server.requests == []
