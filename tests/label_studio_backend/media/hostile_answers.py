"""What a hostile web server may send instead of an image, as bytes on the wire."""

from __future__ import annotations

from itertools import repeat

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_NO_HTTP = "did not send valid HTTP"
_TOO_LONG = "more than 100 KiB of headers"
_TOO_LARGE = "is larger than 100,000 bytes"
_TOO_LATE = "did not deliver the image in time"


def _redirect(place: bytes) -> list[bytes]:
    return [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: " + place + b"\r\n\r\n"]


ANSWERS = {
    "headers without end": ([_OK], b"X: " + b"a" * 60_000 + b"\r\n", _TOO_LONG),
    "a header without end": ([_OK + b"X: "], b"a" * 60_000, _TOO_LONG),
    "interim answers without end": ([], b"HTTP/1.1 103 Early Hints\r\n\r\n" * 99, _TOO_LATE),
    "chunks without end": ([_CHUNKED], b"3e8\r\n" + b"a" * 1000 + b"\r\n", _TOO_LARGE),
    "a chunk without end": ([_CHUNKED, b"f" * 20 + b"\r\n"], b"a" * 60_000, _TOO_LARGE),
    "a chunk's head without end": ([_CHUNKED, b"1;"], b"a" * 60_000, _TOO_LONG),
    "trailers without end": ([_CHUNKED, b"1\r\na\r\n0\r\n"], b"X: y\r\n" * 999, _TOO_LONG),
    "a chunk of negative length": ([_CHUNKED, b"-1\r\na"], b"", _NO_HTTP),
    "a negative length": ([_OK + b"Content-Length: -5\r\n\r\nabc"], b"", _NO_HTTP),
    "a length of 500 digits": (
        [_OK + b"Content-Length: " + b"9" * 500 + b"\r\n\r\n"],
        b"",
        _NO_HTTP,
    ),
    "two lengths": ([_OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"], b"", _NO_HTTP),
    "another protocol": (
        [b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
        b"",
        _NO_HTTP,
    ),
    "no head": ([b"hello"], b"", _NO_HTTP),
    "a status of no kind": ([b"HTTP/1.1 000 X\r\nContent-Length: 0\r\n\r\n"], b"", _NO_HTTP),
    "compressed twice": (
        [_OK + b"Content-Encoding: gzip, gzip\r\n\r\n"],
        b"",
        "was sent compressed",
    ),
    "to an IPv4 address in IPv6": (_redirect(b"http://[::ffff:169.254.169.254]/"), b"", "metadata"),
    "to an address with a zone": (_redirect(b"http://[fe80::1%25lo]/"), b"", "wrong address"),
    "to half an IPv6 address": (_redirect(b"http://[::1/"), b"", "wrong address: .* malformed"),
    "to a null byte": (_redirect(b"http://a\x00b/"), b"", _NO_HTTP),
}
"""By name: what is sent first, what is sent again and again, and what the error says."""


def send(request, first, again):
    """Send an answer over the connection of a request, until the client hangs up."""
    request.close_connection = True
    for part in first:
        request.connection.sendall(part)
    for part in repeat(again) if again else ():
        request.connection.sendall(part)
