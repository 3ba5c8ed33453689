"""Download files within limits on time, redirects and bytes (compressed and decompressed).

The caller permits each request of a download, including those that follow redirects, and gives the
token for it (`Permit`). Every failure is a `MediaError` that names the host and says what to do,
and never shows the query or the token.

httpcore is used without httpx's client, because that reads the environment (proxies, .netrc), keeps
cookies, and can follow redirects on its own.
"""

from __future__ import annotations

import io
import json
import time
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import msgspec

from label_studio_backend.media import guarded_network
from label_studio_backend.media.files import Incoming
from label_studio_backend.media.guarded_network import (
    GuardedBackend,
    tls_error,
    trusted_certificates,
)
from label_studio_backend.media.urls import MediaError, NetworkZone, Url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MAX_REDIRECTS = 5
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 15.0
_ANSWER_BYTES = 1 << 16  # at most, of a JSON answer
_CONNECTIONS = 16  # kept open for the next download
_REDIRECTS = (301, 302, 303, 307, 308)
_PAGES = ("text/html", "application/xhtml+xml", "application/json")
_FAILURES = (httpcore.TimeoutException, httpcore.NetworkError, httpcore.ProtocolError)


class StatusError(MediaError):
    """An answer with an unexpected HTTP status.

    Attributes:
        status: 401, 404, ...
        authorization: the `Authorization` header of the request; None for none.
    """

    def __init__(self, message: str, status: int, authorization: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.authorization = authorization


@dataclass(frozen=True)
class Permit:
    """How one request of a download may be made.

    Attributes:
        zone: the IP addresses that the host may have.
        authorization: the `Authorization` header; None for none.
        label_studio: whether the host is the Label Studio; messages depend on it.
    """

    zone: NetworkZone
    authorization: str | None = None
    label_studio: bool = False


@dataclass(frozen=True)
class Validators:
    """The HTTP headers that tell one version of a file from another."""

    etag: str | None = None
    last_modified: str | None = None


class Downloader:
    """Downloads files, and keeps connections open for the next one; safe to use from any thread.

    Args:
        max_bytes: limit on one file, both as transferred and as decompressed.
        ca_bundle: file or folder of CA certificates to trust instead of the usual ones.

    Raises:
        MediaError: `ca_bundle` has no certificates.
    """

    def __init__(self, max_bytes: int, ca_bundle: Path | None = None) -> None:
        self._max_bytes = max_bytes
        # Each zone has its own connections: one to a private host is never reused for another zone.
        self._pools = {
            zone: httpcore.ConnectionPool(
                ssl_context=trusted_certificates(ca_bundle),
                max_connections=None,
                max_keepalive_connections=_CONNECTIONS,
                network_backend=GuardedBackend(zone),
            )
            for zone in NetworkZone
        }

    def close(self) -> None:
        """Close the connections that are kept open."""
        for pool in self._pools.values():
            pool.close()

    def get(
        self,
        start: Url,
        permit: Callable[[Url, Url | None], Permit],
        deadline: float,
        incoming: Incoming,
        known: Validators | None = None,
    ) -> Validators | None:
        """Fetch a file.

        Args:
            start: the file's URL.
            permit: called before each request with its URL and the URL that redirected to it (None
                for the first); raises `MediaError` to forbid the request.
            deadline: when the download must be complete, on `time.monotonic()`'s clock.
            incoming: receives the content; after an error it may hold a part of it.
            known: validators of the version at hand; if it is current, no content is sent.

        Returns:
            The validators of the new content; None if the `known` version is current.

        Raises:
            MediaError: the file cannot be fetched.
            StatusError: the answer's status was not 200 (or 304).
        """
        condition = {
            "If-None-Match": known.etag if known else None,
            "If-Modified-Since": known.last_modified if known else None,
        }
        url, previous = start, None
        for _ in range(MAX_REDIRECTS + 1):
            permitted = permit(url, previous)
            status, headers = self._request(
                "GET", url, permitted, deadline, incoming, self._max_bytes, condition
            )
            if status == 200:
                kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
                if kind in _PAGES:
                    raise MediaError(
                        f"{url} answered with a page ({kind}), not with an image; "
                        "is the address right, and does it need a login?"
                    )
                return Validators(headers.get("ETag"), headers.get("Last-Modified"))
            if status == 304 and any(condition.values()):
                return None
            if status not in _REDIRECTS:
                raise _status_error(status, url, permitted)
            url, previous = url.join(headers.get("Location", "")), url
        raise MediaError(f"{start} redirects more than {MAX_REDIRECTS} times")

    def post_json(
        self, url: Url, zone: NetworkZone, body: dict[str, str], deadline: float
    ) -> dict[str, Any]:
        """Post a JSON object to Label Studio, and read the JSON object that it answers.

        Raises:
            MediaError: the request fails, is redirected, or is not answered with a JSON object.
            StatusError: the answer's status was not 200.
        """
        permit = Permit(zone, label_studio=True)
        answer = Incoming(io.BytesIO())
        headers = {"Content-Type": "application/json"}
        status, _ = self._request(
            "POST", url, permit, deadline, answer, _ANSWER_BYTES, headers, json.dumps(body).encode()
        )
        if status in _REDIRECTS:
            raise MediaError(
                f"{url.origin} redirects to another address; set LABEL_STUDIO_URL to "
                "where it redirects (https:// instead of http://?)"
            )
        if status != 200:
            raise _status_error(status, url, permit)
        try:
            return msgspec.json.decode(answer.in_memory().read(), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise MediaError(
                f"{url} did not answer with a JSON object; is it a Label Studio?"
            ) from None

    def _request(
        self,
        method: str,
        url: Url,
        permit: Permit,
        deadline: float,
        incoming: Incoming,
        max_bytes: int,
        headers: Mapping[str, str | None],
        content: bytes | None = None,
    ) -> tuple[int, httpx.Headers]:
        """Make one request; if the status is 200, write the body to `incoming`."""
        headers = {
            "Host": url.netloc,
            "User-Agent": "pam-labeling",
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "Authorization": permit.authorization,
            **headers,
        }
        seconds = dict.fromkeys(("read", "write"), SILENCE_SECONDS) | {"connect": CONNECT_SECONDS}
        pool = self._pools[permit.zone]
        # Built from its parts, so that httpcore cannot parse the address differently.
        target = httpcore.URL(scheme=url.scheme, host=url.host, port=url.port, target=url.target)
        limit = guarded_network.deadline.set(deadline)
        try:
            with pool.stream(
                method,
                target,
                headers=[
                    # As bytes, because a server's validators may hold more than ASCII.
                    (name.encode(), value.encode())
                    for name, value in headers.items()
                    if value
                ],
                content=content,
                extensions={"timeout": seconds},
            ) as response:
                answered = httpx.Headers(response.headers)
                if response.status == 200:
                    _write_body(response, answered, url, max_bytes, incoming)
                return response.status, answered
        except _FAILURES as error:
            message = _sentence(error, url.origin, time.monotonic() >= deadline)
            # Without the cause, which may quote the whole link, even a presigned one.
            raise MediaError(message) from None
        finally:
            guarded_network.deadline.reset(limit)


def _sentence(error: Exception, host: str, overdue: bool) -> str:
    if tls_error(error) is not None:
        return (
            f"{host} cannot be trusted: its TLS certificate was refused. If it is signed by your "
            "own authority, set REQUESTS_CA_BUNDLE to that authority's certificate"
        )
    if overdue:
        return f"{host} did not deliver the image in time (PAM_MEDIA_TIMEOUT); try again"
    if isinstance(error, httpcore.ConnectTimeout):
        return f"{host} did not answer within {CONNECT_SECONDS:g} s; is it reachable from here?"
    if isinstance(error, httpcore.TimeoutException):
        return f"{host} sent nothing for {SILENCE_SECONDS:g} s; try again"
    if isinstance(error, httpcore.NetworkError):
        return (
            f"{host} cannot be reached, or closed the connection; is the address right, and is "
            "the host running and reachable from the machine of this backend?"
        )
    if "buffer too long" in str(error):  # h11 reads headers of at most 100 KiB
        return (
            f"{host} sent more than 100 KiB of headers, which are not read; an older Label Studio "
            "does so when it redirects to a data: address, which is not followed"
        )
    return f"{host} broke off, or did not send valid HTTP ({type(error).__name__}); try again"


def _status_error(status: int, url: Url, permit: Permit) -> StatusError:
    advice = {
        401: "it needs a login that this backend does not have",
        403: "access is forbidden; a presigned link may have run out",
        404: "there is no such file",
        429: "too many requests; try again later",
        **dict.fromkeys(
            (502, 503, 504), "it, or what is behind it, does not answer now; try again later"
        ),
    }
    if permit.label_studio:
        advice[500] = "it failed, see its log; deleted uploads get this answer too"
    if permit.label_studio and permit.authorization:
        advice[401] = (
            "the token is not accepted; set LABEL_STUDIO_API_KEY to a valid one (legacy tokens may "
            "be switched off: make a personal access token in Account & Settings)"
        )
        advice[403] = "the token's user may not see it; use the token of a member of the project"
        advice[404] += ", or its storage is not connected to the project"
    elif permit.label_studio:
        advice[401] = advice[403] = (
            "it needs a token: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY for this backend"
        )
    usual = "it failed; see its log" if status >= 500 else "this status was not expected"
    message = f"{url} answered {status}: {advice.get(status, usual)}"
    return StatusError(message, status, permit.authorization)


def _write_body(
    response: httpcore.Response,
    headers: httpx.Headers,
    url: Url,
    max_bytes: int,
    incoming: Incoming,
) -> None:
    too_large = f"{url} is larger than {max_bytes:,} bytes (PAM_MEDIA_MAX_BYTES)"
    length = headers.get("Content-Length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise MediaError(too_large)
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise MediaError(f"{url} was sent compressed ({encoding}), though nothing asked for it")
    # Some servers compress without being asked; 47 means zlib or gzip.
    inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
    received = written = 0
    for chunk in response.iter_stream():
        received += len(chunk)
        try:
            # Decompress at most one byte over the limit, even of a decompression bomb.
            data = inflate.decompress(chunk, max_bytes + 1 - written) if inflate else chunk
        except zlib.error:
            raise MediaError(f"{url} was sent compressed, and is damaged") from None
        written += len(data)
        if max(received, written) > max_bytes:
            raise MediaError(too_large)
        incoming.write(data)
    if inflate is not None and not inflate.eof:
        raise MediaError(f"{url} was sent compressed, and its end is missing; try again")
