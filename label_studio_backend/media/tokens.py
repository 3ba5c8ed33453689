"""Label Studio's tokens, and the `Authorization` that comes of them.

- A *legacy token* is sent as it is: `Token <token>`.
- A *personal access token* is a JWT that only buys access tokens, at `/api/token/refresh/`; one is
  good for five minutes and is sent as `Bearer <access token>`. It is renewed before it runs out,
  and when Label Studio refuses it; however many threads need it, one of them asks.
- Any other JWT (an access token) is sent as `Bearer` too.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from label_studio_backend.media.urls import MediaError

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 300.0
"""Seconds that an access token lasts if it does not say so itself."""

_LETTERS = re.compile(r"[\x21-\x7e]+")
_MARGIN = 30.0  # renewed so long before the end: a download may take a while
_YOUNG = 5.0  # one that is refused at this age is not renewed: the next would be refused too
_PATIENCE = 5.0  # after a failure the next attempt waits so long


class Credentials:
    """A token, and the header that it gives at a time. Safe for many threads.

    Args:
        token: a legacy or personal access token.
        refresh: `refresh(personal access token, deadline)` asks Label Studio for an access token
            and returns it; it raises `MediaError`.

    Raises:
        MediaError: not a token: empty, or with spaces or line breaks in it.
    """

    def __init__(self, token: str, refresh: Callable[[str, float], str]) -> None:
        self._token = token.strip()
        if not _LETTERS.fullmatch(self._token):
            raise MediaError(
                "the Label Studio token is empty, or has spaces, line breaks or other letters that "
                "no token has; copy it again from Account & Settings (LABEL_STUDIO_API_KEY)"
            )
        self._refresh = refresh
        claims = _claims(self._token)
        self._refreshable = claims.get("token_type") == "refresh"
        self._header = f"{'Bearer' if claims else 'Token'} {self._token}"
        self._renewed = self._expires = float("-inf")
        self._failure: tuple[float, str] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Credentials({'personal access token' if self._refreshable else 'token'})"

    def header(self, deadline: float) -> str:
        """The value of `Authorization` for a request that is made now.

        Args:
            deadline: when a renewed token must be there, on `time.monotonic()`'s clock.

        Raises:
            MediaError: Label Studio gives no access token for the personal one.
        """
        if not self._refreshable:
            return self._header
        with self._lock:
            if time.monotonic() >= self._expires:
                self._renew(deadline)
            return self._header

    def renewed(self, refused: str, deadline: float) -> bool:
        """Whether there is another header, now that one was refused: then a retry makes sense.

        Args:
            refused: the header's value that Label Studio did not accept.
            deadline: as for `header`.

        Raises:
            MediaError: as `header` does.
        """
        if not self._refreshable:
            return False
        with self._lock:
            if refused == self._header:
                if time.monotonic() - self._renewed < _YOUNG:
                    return False
                self._renew(deadline)
            return True

    def _renew(self, deadline: float) -> None:
        if self._failure and time.monotonic() - self._failure[0] < _PATIENCE:
            raise MediaError(self._failure[1])
        started = time.monotonic()
        try:
            access = self._refresh(self._token, deadline)
            if not _LETTERS.fullmatch(access):
                raise MediaError("Label Studio answered with something that is no access token")
        except MediaError as error:
            self._failure = (time.monotonic(), str(error))
            raise
        lifetime = _lifetime(access)
        self._header, self._failure, self._renewed = f"Bearer {access}", None, started
        self._expires = started + lifetime - min(_MARGIN, lifetime / 2)


def _lifetime(access: str) -> float:
    """Seconds, from the token's own times: the clocks of two machines need not agree."""
    claims = _claims(access)
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, (int, float)) and isinstance(expires, (int, float)):
        return max(0.0, float(expires - issued))
    return LIFETIME


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; nothing if it is not one."""
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
