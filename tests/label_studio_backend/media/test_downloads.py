from __future__ import annotations

import gzip
import io
import logging
import socket
import time
import traceback
import zlib
from dataclasses import dataclass

import httpcore
import pytest

from label_studio_backend.media import downloads
from label_studio_backend.media.downloads import Downloader, Permit, StatusError, Validators
from label_studio_backend.media.files import Incoming
from label_studio_backend.media.urls import MediaError, NetworkZone, Url
from tests.label_studio_backend.media.hostile_answers import ANSWERS, send
from tests.label_studio_backend.web import TLS, Internet, running

LIMIT = 100_000


@pytest.fixture(scope="module")
def running_server():
    with running() as server:
        yield server


@pytest.fixture
def server(running_server):
    return running_server.reset()


@pytest.fixture
def internet(monkeypatch):
    return Internet(monkeypatch)


@pytest.fixture
def downloader():
    downloader = Downloader(LIMIT)
    yield downloader
    downloader.close()


def here(url, previous):
    return Permit(NetworkZone.PRIVATE)


def anywhere_public(url, previous):
    return Permit(NetworkZone.PUBLIC)


@dataclass
class Download:
    content: bytes
    validators: Validators | None


def get(downloader, url, permit=here, *, seconds=10.0, validators=None):
    incoming = Incoming(io.BytesIO())
    deadline = time.monotonic() + seconds
    found = downloader.get(Url.parse(url), permit, deadline, incoming, validators)
    return Download(incoming.in_memory().read(), found)


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


@pytest.mark.parametrize("letters", [100, 90_000, 200_000])
def test_a_redirect_to_a_data_uri_is_refused(downloader, server, letters):
    server.redirect("/a", "data:image/png;base64," + "A" * letters)
    with pytest.raises(MediaError, match="redirects to a data: address, which is not followed"):
        get(downloader, f"{server.url}/a")


def test_a_redirect_to_a_file_is_refused(downloader, server):
    server.redirect("/a", "file:///etc/passwd")
    with pytest.raises(MediaError, match="redirects to a file: address"):
        get(downloader, f"{server.url}/a")


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::ffff:7f00:1"])
def test_a_name_with_a_private_address_is_not_connected_to(downloader, internet, address):
    internet.names["evil.example"] = [address]
    with pytest.raises(MediaError, match=r"nothing is fetched from evil\.example: its address"):
        get(downloader, "http://evil.example/x", anywhere_public)
    assert internet.connected == []


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "0", "[::1]"])
def test_no_spelling_of_loopback_is_connected_to(downloader, server, host):
    with pytest.raises(MediaError):
        get(downloader, f"http://{host}:{server.port}/x", anywhere_public)
    assert server.requests == []


def test_one_private_address_among_public_ones_is_enough_to_refuse(downloader, internet):
    internet.names["evil.example"] = ["93.184.215.14", "10.0.0.1"]
    with pytest.raises(MediaError, match=r"10\.0\.0\.1 is a private address"):
        get(downloader, "http://evil.example/x", anywhere_public)
    assert internet.connected == []


def test_a_metadata_address_is_refused_even_to_named_hosts(downloader, internet):
    internet.names["nas.example.org"] = ["169.254.169.254"]
    with pytest.raises(MediaError, match="cloud metadata"):
        get(downloader, "http://nas.example.org/x", here)


def test_a_name_is_looked_up_once_and_the_checked_address_is_connected_to(
    downloader, internet, server
):
    internet.names["evil.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    internet.servers["93.184.215.14"] = server
    server.serve("/x")
    assert get(downloader, "http://evil.example/x", anywhere_public).content == b"image"
    assert internet.connected == ["93.184.215.14"]
    assert internet.asked == ["evil.example"]
    assert server.requests[0].headers["Host"] == "evil.example"


def test_a_name_that_turns_private_is_refused_on_the_next_connection(downloader, internet, server):
    internet.names["evil.example"] = [["93.184.215.14"], ["127.0.0.1"]]
    internet.servers["93.184.215.14"] = server
    server.serve("/x", Connection="close")
    get(downloader, "http://evil.example/x", anywhere_public)
    with pytest.raises(MediaError, match="a loopback address"):
        get(downloader, "http://evil.example/x", anywhere_public)
    assert internet.connected == ["93.184.215.14"]


def test_a_connection_of_a_named_host_is_not_used_for_others(downloader, server):
    server.serve("/x")
    get(downloader, f"{server.url}/x", here)
    with pytest.raises(MediaError, match="a loopback address"):
        get(downloader, f"{server.url}/x", anywhere_public)
    assert len(server.requests) == 1


def test_a_redirect_to_a_private_address_is_not_followed(downloader, internet, server):
    internet.host("public.example", server)
    internet.names["inside.example"] = ["192.168.0.1"]
    server.redirect("/x", "http://inside.example/secret")
    with pytest.raises(MediaError, match=r"nothing is fetched from inside\.example"):
        get(downloader, "http://public.example/x", anywhere_public)
    assert len(server.requests) == 1


def test_the_next_address_is_tried_if_one_does_not_answer(downloader, internet, server):
    internet.names["example.org"] = ["127.0.0.2", "93.184.215.14"]
    internet.servers["93.184.215.14"] = server
    server.serve("/x")
    with socket.socket() as closed:
        closed.bind(("127.0.0.2", 0))
        port = closed.getsockname()[1]
    assert get(downloader, f"http://example.org:{port}/x").content == b"image"
    assert internet.connected == ["127.0.0.2", "93.184.215.14"]


def test_the_environment_s_proxies_and_passwords_are_not_used(
    downloader, server, monkeypatch, tmp_path
):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login a password b")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server.serve("/x")
    get(downloader, f"{server.url}/x")
    assert "Authorization" not in server.requests[0].headers


def test_cookies_are_not_kept(downloader, server):
    server.serve("/x", Set_Cookie="sessionid=of-one-user; Path=/")
    get(downloader, f"{server.url}/x")
    get(downloader, f"{server.url}/x")
    assert "Cookie" not in server.requests[1].headers


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
