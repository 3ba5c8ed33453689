"""Which addresses a download connects to, whatever names and redirects say."""

from __future__ import annotations

import socket

import pytest

from label_studio_backend.media.urls import MediaError
from tests.label_studio_backend.media.fetching import anywhere_public, get, here


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
