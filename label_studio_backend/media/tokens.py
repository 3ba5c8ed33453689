"""Label Studio's tokens, and the `Authorization` headers made from them.

- A *legacy token* is sent as it is: `Token <token>`.
- A *personal access token* is a JWT that is only exchanged for access tokens, at
  `/api/token/refresh/`. An access token is good for five minutes and is sent as `Bearer <access
  token>`. It is renewed before it runs out, and when Label Studio refuses it. If several threads
  need a new one, only one of them asks.
- Any other JWT (an access token) is sent as `Bearer` too.
"""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from typing import TYPE_CHECKING, Any

from label_studio_backend.media.urls import MediaError

if TYPE_CHECKING:
    from collections.abc import Callable

LIFETIME = 300.0
"""Seconds for which an access token is valid if it does not say so itself."""

_CHARACTERS = re.compile(r"[\x21-\x7e]+")
_MARGIN = 30.0  # a token is renewed this many seconds early: a download may take a while
_YOUNG = 5.0


class Credentials:
    """A token, and the header to send now; safe to use from any thread.

    Args:
        token: a legacy or personal access token.
        refresh: `refresh(personal access token, deadline)` asks Label Studio for an access token
            and returns it; the call that needed the token raises what it raises.
        patience: seconds for which a `MediaError` of `refresh` is raised again without asking.

    Raises:
        MediaError: the token is empty, or has characters that no token has.
    """

    def __init__(
        self, token: str, refresh: Callable[[str, float], str], *, patience: float = 5.0
    ) -> None:
        self._token = token.strip()
        if not _CHARACTERS.fullmatch(self._token):
            # The message must not quote it: any part may belong to the right token.
            raise MediaError(
                "the API key for Label Studio is empty, or has spaces, line breaks or other "
                "characters that no key has: copy it again from Account & Settings "
                "(LABEL_STUDIO_API_KEY or --api-key)"
            )
        self._refresh = refresh
        self._patience = patience
        self._claims = _claims(self._token)
        self._refreshable = self._claims.get("token_type") == "refresh"
        self._header = f"{'Bearer' if self._claims else 'Token'} {self._token}"
        self._renewed = self._expires = float("-inf")
        self._failure: tuple[float, str] | None = None
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"Credentials({'personal access token' if self._refreshable else 'token'})"

    @property
    def expired(self) -> bool:
        """Whether a personal access token says of itself that it has run out."""
        return self._refreshable and float(self._claims.get("exp", "inf")) < time.time()

    def header(self, deadline: float, *, refused: str | None = None) -> str:
        """The value of `Authorization` for a request made now.

        Args:
            deadline: when a renewed token must have arrived, on `time.monotonic()`'s clock.
            refused: a value that Label Studio refused; if there is no other, it is returned again.

        Raises:
            MediaError: Label Studio gives no access token for the personal access token.
        """
        if not self._refreshable:
            return self._header
        with self._lock:
            now = time.monotonic()
            # A new token that is refused is not renewed: the next one would be refused too.
            stale = refused == self._header and now - self._renewed >= _YOUNG
            if stale or now >= self._expires:
                self._renew(deadline)
            return self._header

    def _renew(self, deadline: float) -> None:
        if self._failure and time.monotonic() - self._failure[0] < self._patience:
            raise MediaError(self._failure[1])
        started = time.monotonic()
        try:
            access = self._refresh(self._token, deadline)
            if not _CHARACTERS.fullmatch(access):
                raise MediaError("Label Studio's answer holds no access token")
        except MediaError as error:
            self._failure = (time.monotonic(), str(error))
            raise
        # Use only the token's own times: the clocks of two machines may differ.
        claims = _claims(access)
        issued, expires = claims.get("iat"), claims.get("exp")
        lifetime = LIFETIME
        if isinstance(issued, (int, float)) and isinstance(expires, (int, float)):
            lifetime = max(0.0, float(expires - issued))
        self._header, self._failure, self._renewed = f"Bearer {access}", None, started
        self._expires = started + lifetime - min(_MARGIN, lifetime / 2)


def _claims(token: str) -> dict[str, Any]:
    """The claims of a JWT, unverified; {} if the token is not a JWT."""
    try:
        _, claims, _ = token.split(".")
        value = json.loads(base64.urlsafe_b64decode(f"{claims}=="))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
