"""Answers that are compressed, cut, wrong or errors: a sentence, and no secrets."""

from __future__ import annotations

import gzip
import io
import logging
import socket
import time
import traceback
import zlib

import pytest

from label_studio_backend.media.downloads import Permit, StatusError
from label_studio_backend.media.files import Incoming
from label_studio_backend.media.urls import MediaError, NetworkZone, Url
from tests.label_studio_backend.media.fetching import anywhere_public, get, here
from tests.label_studio_backend.media.hostile_answers import ANSWERS, send


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_what_comes_compressed_though_unasked_is_decompressed(downloader, server, encoding):
    body = gzip.compress(b"image") if encoding == "gzip" else zlib.compress(b"image")
    server.serve("/x", body, Content_Encoding=encoding)
    assert get(downloader, f"{server.url}/x").content == b"image"


def test_a_gzip_bomb_does_not_go_off(downloader, server):
    server.serve("/x", gzip.compress(bytes(20 << 20), 1), Content_Encoding="gzip")
    with pytest.raises(MediaError, match="larger than 100,000 bytes"):
        get(downloader, f"{server.url}/x")


@pytest.mark.parametrize(
    ("body", "encoding", "complaint"),
    [
        (gzip.compress(b"image", mtime=0)[:-9], "gzip", "its end is missing"),
        (b"no gzip at all", "gzip", "damaged"),
        (b"x", "br", r"compressed \(br\)"),
    ],
)
def test_what_cannot_be_decompressed_is_named(downloader, server, body, encoding, complaint):
    server.serve("/x", body, Content_Encoding=encoding)
    with pytest.raises(MediaError, match=complaint):
        get(downloader, f"{server.url}/x")


@pytest.mark.parametrize("length", ["100", "8"])
def test_a_file_shorter_than_its_length_is_an_error(downloader, server, length):
    server.serve("/x", b"image", Content_Length=length, Connection="close")
    with pytest.raises(MediaError, match="broke off|closed the connection"):
        get(downloader, f"{server.url}/x")


def test_of_a_file_longer_than_its_length_nothing_more_is_read(downloader, server):
    server.serve("/x", b"image", Content_Length="3", Connection="close")
    assert get(downloader, f"{server.url}/x").content == b"ima"


def test_what_is_not_http_is_named(downloader, server):
    def answer(request):
        request.wfile.write(b"SSH-2.0-x\r\n")
        request.close_connection = True

    server.routes["/x"] = answer
    with pytest.raises(MediaError, match="cannot be reached, or closed the connection|valid HTTP"):
        get(downloader, f"{server.url}/x")


@pytest.mark.parametrize("name", ANSWERS)
def test_hostile_answers_end_soon_in_a_sentence(downloader, server, name):
    first, again, complaint = ANSWERS[name]
    server.routes["/x"] = lambda request: send(request, first, again)
    start = time.monotonic()
    with pytest.raises(MediaError, match=complaint):
        downloader.get(Url.parse(f"{server.url}/x"), here, start + 1, Incoming(io.BytesIO()))
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json"])
def test_a_page_is_not_an_image(downloader, server, kind):
    server.serve("/x", b"<html>", Content_Type=kind)
    with pytest.raises(MediaError, match="answered with a page"):
        get(downloader, f"{server.url}/x")


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "needs a login"),
        (403, "presigned link may have run out"),
        (404, "no such file"),
        (429, "try again later"),
        (500, "see its log"),
        (502, "does not answer now; try again later"),
        (503, "does not answer now; try again later"),
        (504, "does not answer now; try again later"),
        (413, "not expected"),
        (206, "not expected"),
    ],
)
def test_an_error_names_the_host_and_what_to_do(downloader, server, status, advice):
    server.serve("/x", b"", status=status)
    with pytest.raises(StatusError, match=advice) as caught:
        get(downloader, f"{server.url}/x?X-Amz-Signature=secret")
    assert caught.value.status == status
    assert server.url in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "authorization", "advice"),
    [
        (401, "Token secret", "token is not accepted.*personal access token"),
        (403, "Token secret", "may not see it"),
        (404, "Token secret", "its storage is not connected"),
        (500, "Token secret", "see its log; deleted uploads get this answer too"),
        (401, None, "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"),
        (403, None, "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY"),
    ],
)
def test_an_error_of_label_studio_is_about_its_token(
    downloader, server, status, authorization, advice
):
    server.serve("/x", b"", status=status)
    with pytest.raises(StatusError, match=advice) as caught:
        get(
            downloader,
            f"{server.url}/x",
            lambda *_: Permit(NetworkZone.PRIVATE, authorization, label_studio=True),
        )
    assert "secret" not in str(caught.value)
    assert caught.value.authorization == authorization


def test_a_host_that_is_not_there_is_named(downloader, internet):
    with pytest.raises(MediaError, match=r"http://missing\.example cannot be reached"):
        get(downloader, "http://missing.example/x", anywhere_public)


def test_no_link_or_token_is_in_tracebacks_or_the_log(downloader, server, caplog):
    caplog.set_level(logging.DEBUG)
    secret = 3 * "signature"  # not as it stands in this file, which tracebacks quote
    server.redirect("/a", f"/b?X-Amz-Signature={secret}")
    server.routes["/b"] = lambda request: request.connection.shutdown(socket.SHUT_RDWR)
    with pytest.raises(MediaError) as caught:
        get(
            downloader, f"{server.url}/a", lambda *_: Permit(NetworkZone.PRIVATE, f"Token {secret}")
        )
    assert server.requests[1].path.endswith(secret)
    assert secret not in "".join(traceback.format_exception(caught.value))
    assert secret not in caplog.text


def test_the_log_of_a_good_download_has_no_query(downloader, server, caplog):
    caplog.set_level(logging.DEBUG)
    server.serve("/b")
    get(downloader, f"{server.url}/b?X-Amz-Signature=secret")
    assert "secret" not in caplog.text
