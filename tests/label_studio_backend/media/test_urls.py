from __future__ import annotations

from ipaddress import ip_address

import pytest

from label_studio_backend.media.urls import (
    MAX_URL_LENGTH,
    AllowedHosts,
    MediaError,
    NetworkZone,
    Url,
    refusal,
)

PUBLIC = ["8.8.8.8", "93.184.215.14", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "::1",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "fd12::1",
    "::ffff:10.0.0.1",
    "::ffff:127.0.0.1",
]
NEVER = [
    "169.254.169.254",
    "169.254.1.1",
    "fe80::1",
    "fec0::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "::",
    "224.0.0.1",
    "ff0e::1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "2001:db8::1",
    "2001::1",
    "3fff::1",
    "4000::1",
    "64:ff9b:1::1",
    "::127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::1",
    "2002:c0a8:101::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
]


@pytest.mark.parametrize("address", PUBLIC)
@pytest.mark.parametrize("zone", NetworkZone)
def test_public_addresses_may_be_connected_to(address, zone):
    assert refusal(ip_address(address), zone) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_for_hosts_that_the_administrator_names(address):
    assert refusal(ip_address(address), NetworkZone.PUBLIC) is not None
    assert refusal(ip_address(address), NetworkZone.PRIVATE) is None


@pytest.mark.parametrize("address", NEVER)
@pytest.mark.parametrize("zone", NetworkZone)
def test_some_addresses_are_never_connected_to(address, zone):
    assert refusal(ip_address(address), zone) is not None


def test_the_reason_names_the_kind_of_address():
    assert refusal(ip_address("169.254.169.254"), NetworkZone.PRIVATE) == "a cloud metadata address"
    assert refusal(ip_address("127.0.0.1"), NetworkZone.PUBLIC) == "a loopback address"
    assert (
        refusal(ip_address("2002:a00:1::"), NetworkZone.PUBLIC) == "a private address inside IPv6"
    )


def test_an_address_is_taken_apart():
    address = Url.parse(" HTTPS://Images.Example.ORG.:8443/a b/ü.jpg?x=1#top ")
    assert (address.scheme, address.host, address.port) == ("https", "images.example.org", 8443)
    assert address.text == "https://images.example.org:8443/a%20b/%C3%BC.jpg?x=1"


def test_an_ipv6_host_keeps_its_brackets_in_the_address():
    address = Url.parse("http://[2606:4700::1111]:8080/x")
    assert address.host == "2606:4700::1111"
    assert address.text == "http://[2606:4700::1111]:8080/x"


def test_what_is_shown_of_an_address_leaves_the_query_out():
    address = Url.parse("https://s3.example.org/image.jpg?X-Amz-Signature=secret")
    assert str(address) == "https://s3.example.org/image.jpg?…"
    assert "secret" not in repr(address)
    assert len(str(Url.parse("https://s3.example.org/" + 1000 * "x"))) < 300


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ftp://example.org/x",
        "file:///etc/passwd",
        "http://",
        "http:///x",
        "//example.org/x",
        "http://user:secret@example.org/x",
        "http://allowed.example.org@evil.example/x",
        "http://evil.example\\@allowed.example.org/x",
        "http://example.org/x\r\nHost: evil",
        "http://example.org/\x00",
        "http://example.org:0/x",
        "http://example.org:99999/x",
        "http://[fe80::1%25eth0]/x",
        "http://[::1/x",
        "http://example.org/data/upload/../../etc/passwd",
        "http://example.org/data/upload/%2e%2E/%2e%2e/etc/passwd",
        "http://example.org/data/upload/%252e%252e/x",
        "http://example.org/data/upload/..%5c..%5cx",
        "http://example.org/" + 9000 * "x",
    ],
)
def test_addresses_that_mean_something_else_than_they_seem_are_refused(text):
    with pytest.raises(MediaError) as caught:
        Url.parse(text)
    assert "secret" not in str(caught.value)


def test_a_redirect_may_be_relative():
    address = Url.parse("http://example.org/a/b?c=1")
    assert address.join("../x?y=2").text == "http://example.org/x?y=2"
    assert address.join("//other.example/z").text == "http://other.example/z"


@pytest.mark.parametrize("location", ["http://[::1/x", "http://x/" + "y" * MAX_URL_LENGTH])
def test_a_redirect_to_a_wrong_address_is_refused(location):
    with pytest.raises(MediaError, match=r"http://example.org/a\?… redirects to a wrong"):
        Url.parse("http://example.org/a?secret").join(location)


@pytest.mark.parametrize(
    "location", ["file:///etc/passwd", "gopher://x/", "DATA:image/png;base64," + "A" * 100_000]
)
def test_a_redirect_to_something_else_than_the_web_is_refused(location):
    scheme = location.partition(":")[0].lower()
    with pytest.raises(
        MediaError, match=rf"org/a\?… redirects to a {scheme}: address, which is not"
    ):
        Url.parse("http://example.org/a?secret").join(location)


@pytest.mark.parametrize(
    ("pattern", "url", "zone"),
    [
        ("example.org", "https://example.org/x", NetworkZone.PRIVATE),
        ("Example.ORG", "http://example.org/x", NetworkZone.PRIVATE),
        ("example.org", "http://example.org:8080/x", None),
        ("example.org", "https://example.org:80/x", None),
        ("example.org", "https://sub.example.org/x", None),
        ("example.org", "https://notexample.org/x", None),
        ("example.org", "https://example.org.evil.example/x", None),
        ("example.org:8080", "http://example.org:8080/x", NetworkZone.PRIVATE),
        ("example.org:8080", "http://example.org/x", None),
        ("*.example.org", "https://a.b.example.org/x", NetworkZone.PUBLIC),
        ("*.example.org", "https://example.org/x", None),
        ("*.example.org", "https://evilexample.org/x", None),
        ("*.example.org:9000", "https://a.example.org:9000/x", NetworkZone.PUBLIC),
        ("192.168.1.5:9000", "http://192.168.1.5:9000/x", NetworkZone.PRIVATE),
        ("192.168.1.5", "http://3232235781/x", None),
        ("::1", "http://[::1]/x", NetworkZone.PRIVATE),
        ("[::1]:9000", "http://[::1]:9000/x", NetworkZone.PRIVATE),
    ],
)
def test_allowed_hosts_are_matched_exactly_by_port_and_by_subdomain(pattern, url, zone):
    assert AllowedHosts([pattern]).zone(Url.parse(url)) is zone


def test_a_host_that_is_named_exactly_may_be_private_even_if_a_wildcard_matches_too():
    allowed = AllowedHosts(["*.example.org", "nas.example.org"])
    assert allowed.zone(Url.parse("http://nas.example.org/")) is NetworkZone.PRIVATE


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "*.*",
        "*.org",
        "a*.example.org",
        "http://example.org",
        "example.org/x",
        "a b",
        "x?y",
    ],
)
def test_patterns_that_are_not_hosts_are_refused(pattern):
    with pytest.raises(MediaError, match="allowed host"):
        AllowedHosts([pattern])
