"""Label Studio's HTTP API with patience: a server that is away is waited for.

Requests go through the transport of `label_studio_sdk`, which knows legacy tokens and refreshes
personal access tokens. Its typed methods are not used: they build a model of every number of
every mask (a few microseconds for each, on both ways) and send a write again whose answer was
lost, which doubles it.
"""

from __future__ import annotations

import json
import logging
import math
import re
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx
from label_studio_sdk.client import LabelStudio
from label_studio_sdk.core import ApiError

from label_studio_backend.media.task_media import ca_bundle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Seconds for an answer: Label Studio on SQLite waits its turn to write."""

_MOST_WAIT = 60.0  # seconds between two attempts
_TROUBLE = 4  # answers 500 to one request before it is given up: the others may well succeed
_DETAIL = 300  # characters of the server's own words

logging.getLogger("httpcore").setLevel(logging.INFO)  # its debug lines show cookies


class ApiFailure(RuntimeError):  # noqa: N818 - a failure of the server's, of several kinds
    """Label Studio did not do what was asked; the message is a sentence without secrets."""


class AccessError(ApiFailure):
    """Nothing will ever succeed: wrong address, key, rights or project."""


class UnreachableError(ApiFailure):
    """Label Studio was away for longer than anyone wants to wait."""


class StoppedError(ApiFailure):
    """Someone wants to stop while the server is waited for."""


class RefusedError(ApiFailure):
    """Label Studio refuses this one request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class LostAnswerError(ApiFailure):
    """A write was sent and nobody knows whether it was done."""


class Api:
    """One Label Studio, as one user.

    Args:
        url: its address, with its path where it is served under one.
        api_key: a legacy token, or a personal access token.
        patience: seconds to wait for a server that is away.
        stop: ends every waiting when it is set.
        tell: shows a sentence to people: what is waited for.

    Raises:
        AccessError: the address or the key cannot be one, or REQUESTS_CA_BUNDLE names no
            certificates.
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        *,
        patience: float = 900.0,
        stop: threading.Event | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = _checked_url(url)
        self._patience = patience
        self._stop = stop or threading.Event()
        self._tell = tell
        # It follows no redirects: they turn POST into GET.
        client = httpx.Client(timeout=TIMEOUT, verify=_trusted())
        try:
            # The slash keeps a path in the address when the token is refreshed.
            sdk = LabelStudio(  # type: ignore[no-untyped-call]  # takes *args and **kwargs
                base_url=f"{self.url}/",
                api_key=_checked_key(api_key),
                httpx_client=client,
                max_retries=0,
            )
        except ApiError:
            client.close()
            raise AccessError(
                "the personal access token is not valid any more: make a new one in Label Studio "
                "under Account & Settings, and give it with --api-key or LABEL_STUDIO_API_KEY"
            ) from None  # the cause shows headers
        self._client = client
        self._transport = sdk._client_wrapper.httpx_client  # has no public name

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **params: object) -> Any:
        """What Label Studio answers, from JSON; asked again until it does.

        Raises:
            AccessError: nothing will ever succeed.
            RefusedError: this request is refused.
            UnreachableError: the server was away for too long.
            StoppedError: someone wants to stop meanwhile.
        """
        return self._ask("GET", path, params=params)

    def repeatable(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Like `get`, for a write that does no harm when it is done twice."""
        return self._ask(method, path, body=body)

    def once(self, path: str, body: Mapping[str, object]) -> Any:
        """Post something that must not be done twice.

        It is sent again only where it certainly was not received.

        Raises:
            LostAnswerError: it may have been done, or be done later.
            ApiFailure: as in `get`; then it was not done.
        """
        return self._ask("POST", path, body=body, again=False)

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            StoppedError: someone wants to stop meanwhile.
        """
        if self._stop.wait(seconds):
            raise StoppedError("stopped while Label Studio was waited for")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        again: bool = True,
    ) -> Any:
        waiting = _Waiting(self._patience)
        troubles = 0
        while True:
            asked = None
            try:
                response = self._send(method, path, params, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._refuse_bad_tls(error)
                reason, received = f"is not reachable ({_name(error)})", False
            except httpx.TransportError as error:
                reason, received = f"gave no answer ({_name(error)})", True
            else:
                status = response.status_code
                troubles += status == HTTPStatus.INTERNAL_SERVER_ERROR
                if not _is_away(status) or troubles == _TROUBLE:
                    return self._read(response, path)
                reason, asked = _busy(status), _retry_after(response)
                received = status != HTTPStatus.TOO_MANY_REQUESTS
            if received and not again:
                raise LostAnswerError(f"Label Studio {reason}")
            self._wait_for(waiting, reason, asked)

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, object] | None,
        body: Mapping[str, object] | None,
    ) -> httpx.Response:
        content = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        try:
            return self._transport.request(
                path,
                method=method,
                params=dict(params or {}),
                content=content,
                headers=None if body is None else {"content-type": "application/json"},
            )
        except ApiError as error:  # the personal access token could not be refreshed
            return httpx.Response(error.status_code or 500, json=error.body)
        except json.JSONDecodeError:  # ... because a page of a proxy answered
            raise httpx.ConnectError("no token") from None

    def _read(self, response: httpx.Response, path: str) -> Any:
        status = response.status_code
        if response.is_redirect:
            raise AccessError(
                f"{self.url} sends visitors elsewhere ({status}): give the address that the "
                "browser shows with --label-studio-url"
            )
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            raise AccessError(self._no_access(status))
        if response.is_error:
            raise RefusedError(f"Label Studio answers {status}: {_detail(response)}", status)
        if status == HTTPStatus.NO_CONTENT:
            return None
        try:
            return response.json()
        except ValueError:
            raise AccessError(
                f"{self.url}/{path} answers, but not as Label Studio does: check --label-studio-url"
            ) from None

    def _no_access(self, status: int) -> str:
        if status == HTTPStatus.UNAUTHORIZED:
            return (
                f"Label Studio at {self.url} does not accept the API key (401): copy one from "
                "Account & Settings and give it with --api-key or LABEL_STUDIO_API_KEY; a legacy "
                "token works only where the organization allows legacy tokens"
            )
        return (
            f"the API key's user may not do this at {self.url} (403): give the key of someone "
            "who may change the project"
        )

    def _refuse_bad_tls(self, error: httpx.TransportError) -> None:
        """End where the connection failed for a reason that stays."""
        cause = _tls_error(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise AccessError(
                f"{self.url} cannot be trusted: its TLS certificate was refused "
                f"({cause.verify_message}). If it is signed by your own authority, set "
                "REQUESTS_CA_BUNDLE to that authority's certificate"
            ) from None
        # A connection that only breaks off may be a server that is being started.
        if cause is not None and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            raise AccessError(
                f"{self.url} does not speak TLS as it should ({cause.reason or cause}): should "
                "the address begin with http://?"
            ) from None

    def _wait_for(self, waiting: _Waiting, reason: str, asked: float | None) -> None:
        seconds = waiting.next(asked)
        if seconds is None:
            raise UnreachableError(
                f"Label Studio at {self.url} {reason}, also after {waiting.passed():.0f} s "
                "(--patience)"
            )
        self._tell(f"Label Studio {reason}; trying again in {seconds:.0f} s")
        self.wait(seconds)


class _Waiting:
    """How long to wait between attempts: 1, 2, 4 ... 60 s, or what the server asks for."""

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._began = time.monotonic()
        self._attempts = 0

    def passed(self) -> float:
        return time.monotonic() - self._began

    def next(self, asked: float | None) -> float | None:
        """Seconds to wait now; None where patience is at its end."""
        seconds = min(2.0**self._attempts, _MOST_WAIT) if asked is None else asked
        self._attempts += 1
        return None if self.passed() + seconds > self._patience else seconds


def _checked_url(url: str) -> str:
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise AccessError(
            "the address of Label Studio must begin with http:// or https://: give it with "
            "--label-studio-url or LABEL_STUDIO_URL"
        )
    if parsed.userinfo:
        raise AccessError("the address of Label Studio must have no user name or password in it")
    return str(parsed.copy_with(query=None, fragment=None)).rstrip("/")


def _checked_key(api_key: str) -> str:
    key = api_key.strip()
    # Anything else would be shown by the HTTP library's complaint about the header.
    if not re.fullmatch(r"[A-Za-z0-9._-]+", key):
        raise AccessError(
            "the API key is empty or has characters that no key has: copy it from Account & "
            "Settings, and give it with --api-key or LABEL_STUDIO_API_KEY"
        )
    return key


def _trusted() -> ssl.SSLContext | bool:
    """What `verify` of httpx is to be, which does not know REQUESTS_CA_BUNDLE."""
    bundle = ca_bundle()
    if bundle is None:
        return True
    try:
        if bundle.is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:  # what is no certificate is one, too
        raise AccessError(f"REQUESTS_CA_BUNDLE names {bundle}: {error}") from error


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS said, where that is why a connection failed."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _name(error: httpx.TransportError) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def _is_away(status: int) -> bool:
    """Whether the same request may well succeed later."""
    return status >= 500 or status in {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    }


def _busy(status: int) -> str:
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return "asks for fewer requests (429)"
    return f"is away or in trouble ({status})"


def _retry_after(response: httpx.Response) -> float | None:
    """The seconds of the Retry-After header, given as seconds or as a date."""
    text = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - time.time()
        except ValueError:
            return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None


def _detail(response: httpx.Response) -> str:
    """The server's own words, short: `detail` and `validation_errors` where they are given."""
    try:
        body = response.json()
    except ValueError:
        return response.reason_phrase
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return text if len(text) <= _DETAIL else f"{text[:_DETAIL]} ..."
