"""A client of Label Studio's REST API that waits for an unreachable server.

It does not use the typed methods of `label_studio_sdk`, for two reasons: they build an object for
every number of every mask, a few microseconds each, in both directions; and they repeat a write
whose answer was lost, which duplicates the prediction.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import ssl
import threading
import time
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import httpx

from label_studio_backend.media.guarded_network import tls_error, trusted_certificates
from label_studio_backend.media.label_studio_site import base_url
from label_studio_backend.media.task_media import ca_bundle
from label_studio_backend.media.tokens import Credentials
from label_studio_backend.media.urls import MediaError
from pam_labeling.errors import PamError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

TIMEOUT = httpx.Timeout(120.0, connect=10.0)
"""Seconds to wait for an answer: Label Studio on SQLite writes one request at a time."""

_MOST_WAIT = 60.0  # seconds between two attempts
# After this many answers with status 500 we give up: the request itself may be at fault.
_MOST_FAULTS = 4
_DETAIL = 300  # characters of the server's own words


class ApiFailure(PamError, RuntimeError):  # noqa: N818 - the server's failure, of several kinds
    """A request to Label Studio failed; the message is a sentence without secrets."""


class AccessError(ApiFailure):
    """No request will ever succeed: the address, key, permissions or project are wrong."""


class UnreachableError(ApiFailure):
    """Label Studio was unreachable for longer than `patience`."""


class StoppedError(ApiFailure):
    """Somebody stopped the program while it waited for the server."""


class RefusedError(ApiFailure):
    """Label Studio refuses this one request.

    Attributes:
        status: the HTTP status.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class LostAnswerError(ApiFailure):
    """A write was sent, but its answer was lost: it may or may not have been done."""


class Api:
    """A connection to one Label Studio as one user.

    Args:
        url: its address, including the path if it is served under one.
        api_key: a legacy token, or a personal access token.
        patience: seconds to wait for an unreachable server.
        stop: ends every wait when it is set.
        tell: shows the user a sentence about what the program waits for.

    Raises:
        AccessError: the address or the key is malformed, or REQUESTS_CA_BUNDLE names no
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
        self._patience = patience
        self._stop = stop or threading.Event()
        self._tell = tell
        try:
            self.url = base_url(
                url, "the address of Label Studio (--label-studio-url or LABEL_STUDIO_URL)"
            ).text
            # Failures are not remembered: `_ask` waits between its attempts.
            self._credentials = Credentials(api_key, self._refresh, patience=0)
            certificates = trusted_certificates(ca_bundle())
        except MediaError as error:
            raise AccessError(str(error)) from None
        if self._credentials.expired:
            raise AccessError(
                "the personal access token has expired: make a new one in Label Studio under "
                "Account & Settings, and give it with --api-key or LABEL_STUDIO_API_KEY"
            )
        # It follows no redirects: they would turn POST into GET.
        self._client = httpx.Client(timeout=TIMEOUT, verify=certificates)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def get(self, path: str, **params: object) -> Any:
        """Get Label Studio's answer, decoded from JSON; repeat the request until one comes.

        Raises:
            AccessError: nothing will ever succeed.
            RefusedError: this request is refused.
            UnreachableError: the server was away for too long.
            StoppedError: `stop` was set meanwhile.
        """
        return self._ask("GET", path, params=params)

    def repeatable(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        """Like `get`, for a write that may be done twice."""
        return self._ask(method, path, body=body)

    def once(self, path: str, body: Mapping[str, object]) -> Any:
        """Post something that must not be done twice.

        It is sent again only if the server certainly did not receive it.

        Raises:
            LostAnswerError: it may have been done, or may still be done.
            ApiFailure: as in `get`; it was not done.
        """
        return self._ask("POST", path, body=body, again=False)

    def wait(self, seconds: float) -> None:
        """Sleep.

        Raises:
            StoppedError: `stop` was set meanwhile.
        """
        if self._stop.wait(seconds):
            raise StoppedError("stopped while waiting for Label Studio")

    def _ask(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, object] | None = None,
        body: Mapping[str, object] | None = None,
        again: bool = True,
    ) -> Any:
        began = time.monotonic()
        faults = 0
        for attempt in itertools.count():
            wanted = None
            try:
                response = self._send(method, path, params, body)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                self._refuse_bad_tls(error)
                reason, received = f"is not reachable ({_name(error)})", False
            except httpx.TransportError as error:
                reason, received = f"gave no answer ({_name(error)})", True
            else:
                status = response.status_code
                faults += status == HTTPStatus.INTERNAL_SERVER_ERROR
                if not _is_away(status) or faults == _MOST_FAULTS:
                    return self._read(response, path)
                wanted = _retry_after(response)
                received = status != HTTPStatus.TOO_MANY_REQUESTS
                reason = (
                    f"{'cannot answer now' if received else 'asks for fewer requests'} ({status})"
                )
            if received and not again:
                raise LostAnswerError(f"Label Studio {reason}")
            # 1, 2, 4 ... 60 s, or what the server asks for.
            seconds = min(2.0**attempt, _MOST_WAIT) if wanted is None else wanted
            passed = time.monotonic() - began
            if passed + seconds > self._patience:
                # Only prelabel waits; it has an option for it.
                waited = f", even after {passed:.0f} s (--patience)" if self._patience else ""
                raise UnreachableError(f"Label Studio at {self.url} {reason}{waited}")
            self._tell(f"Label Studio {reason}; trying again in {seconds:.0f} s")
            self.wait(seconds)
        raise AssertionError("unreachable")

    def _send(
        self,
        method: str,
        path: str,
        params: Mapping[str, object] | None,
        body: Mapping[str, object] | None,
    ) -> httpx.Response:
        try:
            headers = {"Authorization": self._credentials.header(math.inf)}
        except MediaError as error:
            raise AccessError(str(error)) from None
        return self._client.request(
            method,
            f"{self.url}/{path}",
            params=params,  # type: ignore[arg-type]  # numbers and texts
            json=body,
            headers=headers,
        )

    def _refresh(self, token: str, _deadline: float) -> str:
        """Exchange the personal access token for an access token."""
        path = "api/token/refresh/"
        response = self._client.post(f"{self.url}/{path}", json={"refresh": token})
        if _is_away(response.status_code):
            # For `_ask` this equals a missing connection: the request itself was not sent.
            raise httpx.ConnectError("no access token")
        if response.is_client_error:
            raise AccessError(self._no_access(HTTPStatus.UNAUTHORIZED))
        answer = self._read(response, path)
        return str(answer.get("access", "")) if isinstance(answer, dict) else ""

    def _read(self, response: httpx.Response, path: str) -> Any:
        status = response.status_code
        if response.is_redirect:
            raise AccessError(
                f"{self.url} redirects to another address ({status}): give the one that the "
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
                f"the answer of {self.url}/{path} is not Label Studio's: check --label-studio-url"
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
        """Raise AccessError if the connection failed for a permanent reason."""
        cause = tls_error(error)
        if isinstance(cause, ssl.SSLCertVerificationError):
            raise AccessError(
                f"{self.url} cannot be trusted: its TLS certificate was refused "
                f"({cause.verify_message}). If it is signed by your own authority, set "
                "REQUESTS_CA_BUNDLE to that authority's certificate"
            ) from None
        # If the connection only breaks off, the server may still be starting.
        if cause is not None and not isinstance(cause, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            raise AccessError(
                f"{self.url} does not speak TLS correctly ({cause.reason or cause}): should "
                "the address begin with http://?"
            ) from None


def _name(error: httpx.TransportError) -> str:
    # ReadTimeout is "read timeout"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def _is_away(status: int) -> bool:
    """Whether the same request may succeed later."""
    return status >= 500 or status in {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.REQUEST_TIMEOUT,
    }


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
    """The server's own words, shortened: `validation_errors` or `detail` if it gives them."""
    try:
        body = response.json()
    except ValueError:
        return response.reason_phrase
    if isinstance(body, dict):
        body = body.get("validation_errors") or body.get("detail") or body
    text = body if isinstance(body, str) else json.dumps(body, ensure_ascii=False)
    return text if len(text) <= _DETAIL else f"{text[:_DETAIL]} ..."
