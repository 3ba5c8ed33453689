"""Downloads within limits: of time, of bytes (also after decompression), of redirects.

Whoever calls decides for each hop of a download, the first and every redirect, whether it may be
made and with which token (`Route`). What goes wrong is a `MediaError` that names the host and says
what to do, and nothing of the query or the token.
"""

from __future__ import annotations

import json
import time
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import requests
from requests.exceptions import ConnectTimeout, ReadTimeout, SSLError
from urllib3.exceptions import HTTPError, ReadTimeoutError

from label_studio_backend.media.guarded_http import GuardedAdapter, time_limit
from label_studio_backend.media.urls import MediaError, Reach, WebAddress

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MAX_REDIRECTS = 5
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 15.0
_ANSWER_BYTES = 1 << 16  # of JSON answers
_REDIRECTS = (301, 302, 303, 307, 308)
_PAGES = ("text/html", "application/xhtml+xml", "application/json")


class StatusError(MediaError):
    """An answer that is an error by HTTP's status.

    Attributes:
        status: 401, 404, ...
        authorization: the header that was sent to the host that answered so.
    """

    def __init__(self, message: str, status: int, authorization: str | None) -> None:
        super().__init__(message)
        self.status = status
        self.authorization = authorization


@dataclass(frozen=True)
class Hop:
    """How one request of a download is made.

    Attributes:
        reach: the addresses that the host may have.
        authorization: the header's value; None for none.
        label_studio: whether the host is the Label Studio, for the words of messages.
    """

    reach: Reach
    authorization: str | None = None
    label_studio: bool = False


class Route(Protocol):
    """Decides about a hop, before it is made.

    Args of the call:
        address: where to.
        previous: what redirected there; None for the first.

    Raises:
        MediaError: it is not to be made.
    """

    def __call__(self, address: WebAddress, previous: WebAddress | None) -> Hop: ...


@dataclass(frozen=True)
class Validators:
    """What a server said that tells one version of a file from another."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Of a request that asks whether the file has changed."""
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}


@dataclass(frozen=True)
class Download:
    """What came: `content` is None if the file has not changed (304)."""

    content: bytes | None
    validators: Validators


class Downloader:
    """Safe for many threads at once; keeps connections open for the next download.

    Args:
        max_bytes: of one file, as transferred and as decompressed.
        ca_bundle: certificates of authorities to trust instead of the usual ones: a file or folder.
    """

    def __init__(self, max_bytes: int, ca_bundle: Path | None = None) -> None:
        self._max_bytes = max_bytes
        self._verify = str(ca_bundle) if ca_bundle else True
        self._adapters = {reach: GuardedAdapter(reach) for reach in Reach}

    def close(self) -> None:
        """Close the connections that are kept."""
        for adapter in self._adapters.values():
            adapter.close()

    def get(
        self,
        start: WebAddress,
        route: Route,
        deadline: float,
        validators: Validators | None = None,
    ) -> Download:
        """Fetch a file.

        Args:
            start: where it is.
            route: asked before every request, also those that redirects lead to.
            deadline: when it must be there, on `time.monotonic()`'s clock.
            validators: of the version at hand; if it is still the right one, no content comes.

        Raises:
            MediaError: it could not be had.
            StatusError: the answer's status was not 200 (or 304).
        """
        address, previous = start, None
        headers = (validators or Validators()).headers()
        for _ in range(MAX_REDIRECTS + 1):
            hop = route(address, previous)
            request = requests.Request("GET", address.url, headers=_headers(hop, headers))
            with (
                _failures_as_sentences(address, deadline),
                time_limit(deadline),
                self._send(request, hop, deadline) as response,
            ):
                if response.status_code not in _REDIRECTS:
                    return self._read(response, address, hop, bool(headers))
                location = response.headers.get("Location", "")
            address, previous = address.join(location), address
        raise MediaError(f"{start} redirects more than {MAX_REDIRECTS} times")

    def post_json(
        self, address: WebAddress, reach: Reach, body: dict[str, str], deadline: float
    ) -> dict[str, Any]:
        """Post a JSON object to Label Studio and read its answer, another one; never redirected.

        Raises:
            MediaError: it could not be done.
            StatusError: the answer's status was not 200.
        """
        hop = Hop(reach, label_studio=True)
        request = requests.Request("POST", address.url, headers=_headers(hop, {}), json=body)
        with (
            _failures_as_sentences(address, deadline),
            time_limit(deadline),
            self._send(request, hop, deadline) as response,
        ):
            if response.status_code in _REDIRECTS:
                raise MediaError(
                    f"{address.origin} redirects to another address; set LABEL_STUDIO_URL to "
                    "where it redirects (https:// instead of http://?)"
                )
            if response.status_code != 200:
                raise _status_error(response.status_code, address, hop)
            content = _body(response, address, _ANSWER_BYTES)
        try:
            answer = json.loads(content)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise MediaError(f"{address} did not answer with a JSON object; is it a Label Studio?")
        return answer

    def _send(self, request: requests.Request, hop: Hop, deadline: float) -> requests.Response:
        remaining = max(deadline - time.monotonic(), 0.001)
        return self._adapters[hop.reach].send(
            request.prepare(),
            stream=True,
            timeout=(min(CONNECT_SECONDS, remaining), min(SILENCE_SECONDS, remaining)),
            verify=self._verify,
            proxies={},
        )

    def _read(
        self, response: requests.Response, address: WebAddress, hop: Hop, conditional: bool
    ) -> Download:
        validators = Validators(response.headers.get("ETag"), response.headers.get("Last-Modified"))
        if response.status_code == 304 and conditional:
            return Download(None, validators)
        if response.status_code != 200:
            raise _status_error(response.status_code, address, hop)
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if kind in _PAGES:
            raise MediaError(
                f"{address} answered with a page ({kind}), not with an image; "
                "is the address right, and does it need a login?"
            )
        return Download(_body(response, address, self._max_bytes), validators)


def _headers(hop: Hop, more: dict[str, str]) -> dict[str, str]:
    headers = {
        "User-Agent": "pam-labeling",
        "Accept": "*/*",
        "Accept-Encoding": "identity",
        **more,
    }
    return headers | ({"Authorization": hop.authorization} if hop.authorization else {})


@contextmanager
def _failures_as_sentences(address: WebAddress, deadline: float) -> Iterator[None]:
    try:
        yield
    except (requests.RequestException, HTTPError, OSError, UnicodeError) as error:
        message = _sentence(error, address.origin, time.monotonic() >= deadline)
        # Without its cause: that one quotes the whole link, a presigned one too.
        raise MediaError(message) from None


def _sentence(error: BaseException, host: str, overdue: bool) -> str:
    if isinstance(error, SSLError):
        return (
            f"{host} cannot be trusted: its TLS certificate was refused. If it is signed by your "
            "own authority, set REQUESTS_CA_BUNDLE to that authority's certificate"
        )
    if overdue:
        return f"{host} did not deliver the image in time (PAM_MEDIA_TIMEOUT); try again"
    if isinstance(error, ConnectTimeout):
        return f"{host} did not answer within {CONNECT_SECONDS:g} s; is it reachable from here?"
    if isinstance(error, (ReadTimeout, ReadTimeoutError, TimeoutError)):
        return f"{host} fell silent for {SILENCE_SECONDS:g} s; try again"
    if isinstance(error, requests.ConnectionError):
        return (
            f"{host} cannot be connected to, or hung up; is the address right, is it running, "
            "and reachable from the machine of this backend?"
        )
    return f"{host} broke off, or did not speak proper HTTP ({type(error).__name__}); try again"


def _status_error(status: int, address: WebAddress, hop: Hop) -> StatusError:
    advice = {
        401: "it needs a login that this backend does not have",
        403: "access is forbidden; a presigned link may have run out",
        404: "there is no such file",
        429: "too many requests; try again later",
    }
    if hop.label_studio:
        advice[500] = "it has a fault, look at its log; so it also answers for deleted uploads"
    if hop.label_studio and hop.authorization:
        advice[401] = (
            "the token is not accepted; set LABEL_STUDIO_API_KEY to a valid one (legacy tokens may "
            "be switched off: make a personal access token in Account & Settings)"
        )
        advice[403] = "the user whose token is used may not see it; use one of the project's"
        advice[404] += ", or the storage that it came from is not connected to the project"
    elif hop.label_studio:
        advice[401] = advice[403] = (
            "it needs a token: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY for this backend"
        )
    usual = "it has a fault; look at its log" if status >= 500 else "that was not expected"
    message = f"{address} answered {status}: {advice.get(status, usual)}"
    return StatusError(message, status, hop.authorization)


def _body(response: requests.Response, address: WebAddress, max_bytes: int) -> bytes:
    too_large = f"{address} is larger than {max_bytes:,} bytes (PAM_MEDIA_MAX_BYTES)"
    length = response.headers.get("Content-Length", "")
    if length.isdigit() and int(length) > max_bytes:
        raise MediaError(too_large)
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity", "gzip", "deflate"):
        raise MediaError(f"{address} came compressed ({encoding}), though it was not asked to")
    content, received = bytearray(), 0
    inflate = zlib.decompressobj(wbits=47) if encoding in ("gzip", "deflate") else None
    for chunk in response.raw.stream(1 << 16, decode_content=False):
        received += len(chunk)
        content += _inflated(inflate, chunk, max_bytes + 1 - len(content), address)
        if max(received, len(content)) > max_bytes:
            raise MediaError(too_large)
    if inflate is not None and not inflate.eof:
        raise MediaError(f"{address} came compressed and broken off; fetch or export it again")
    return bytes(content)


def _inflated(inflate: Any, chunk: bytes, max_bytes: int, address: WebAddress) -> bytes:
    if inflate is None:
        return chunk
    try:
        data: bytes = inflate.decompress(chunk, max_bytes)
    except zlib.error:
        raise MediaError(f"{address} came compressed and damaged") from None
    return data
