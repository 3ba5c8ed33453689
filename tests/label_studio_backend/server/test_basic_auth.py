"""Names and passwords as Label Studio and others write them into the header."""

from __future__ import annotations

import base64

import pytest

NONE = ("", "Basic", "Basic *", "Basic ü", "Bearer bWU6cGFzcw==", "x y z")


def status(client, header):
    return client.get("/versions", headers={"Authorization": header}).status_code


def header(pair, encoding):
    return f"Basic {base64.b64encode(pair.encode(encoding)).decode()}"


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_a_password_with_an_umlaut_is_known_in_either_encoding(open_backend, client_of, encoding):
    client = client_of(open_backend(basic_auth_user="me", basic_auth_pass="a: pässword"))
    assert status(client, header("me:a: pässword", encoding)) == 200
    assert status(client, header("me:a: passwörd", encoding)) == 401


def test_a_password_that_latin_1_cannot_write_is_known_in_utf_8_only(open_backend, client_of):
    client = client_of(open_backend(basic_auth_user="me", basic_auth_pass="密码"))
    assert status(client, header("me:密码", "utf-8")) == 200
    assert status(client, header("me:??", "utf-8")) == 401


@pytest.mark.parametrize("given", NONE)
def test_headers_that_are_no_basic_auth_are_refused(open_backend, client_of, given):
    client = client_of(open_backend(basic_auth_user="me", basic_auth_pass="pass"))
    assert status(client, given) == 401
    assert status(client, "basic bWU6cGFzcw==") == 200
