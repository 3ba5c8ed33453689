"""Label Studio's tokens, and the `Authorization` header that is made of them.

- A *legacy token* is sent as it is: `Token <token>`.
- A *personal access token* is a JWT that is only exchanged for access tokens, at
  `/api/token/refresh/`. An access token is good for five minutes and is sent as `Bearer <access
  token>`. It is renewed before it runs out, and when Label Studio refuses it; however many threads
  need a new one, one of them asks.
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
"""Seconds that an access token lasts if it does not say so itself."""

_CHARACTERS = re.compile(r"[\x21-\x7e]+")
_MARGIN = 30.0  # renewed so long before the end: a download may take a while
_YOUNG = 5.0


class Credentials:
    """A token, and the header that it gives at a time. Safe for many threads.

    Args:
        token: a legacy or personal access token.
        refresh: `refresh(personal access token, deadline)` asks Label Studio for an access token
            and returns it; what it raises ends the call that needed the token.
        patience: seconds for which a `MediaError` of `refresh` is raised again without asking.

    Raises:
        MediaError: not a token: empty, or with characters that no token has.
    """

    def __init__(
        self, token: str, refresh: Callable[[str, float], str], *, patience: float = 5.0
    ) -> None:
        self._token = token.strip()
        if not _CHARACTERS.fullmatch(self._token):
            # Without the token: anything in it may be a part of the right one.
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
        """The value of `Authorization` for a request that is made now.

        Args:
            deadline: when a renewed token must be there, on `time.monotonic()`'s clock.
            refused: a value that Label Studio did not accept; where no other one can be had, it is
                given again.

        Raises:
            MediaError: Label Studio gives no access token for the personal one.
        """
        if not self._refreshable:
            return self._header
        with self._lock:
            now = time.monotonic()
            # One that is refused while it is young is not renewed: the next would be refused too.
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
                raise MediaError("Label Studio answered with something that is no access token")
        except MediaError as error:
            self._failure = (time.monotonic(), str(error))
            raise
        # From the token's own times: the clocks of two machines need not agree.
        claims = _claims(access)
        issued, expires = claims.get("iat"), claims.get("exp")
        lifetime = LIFETIME
        if isinstance(issued, (int, float)) and isinstance(expires, (int, float)):
            lifetime = max(0.0, float(expires - issued))
        self._header, self._failure, self._renewed = f"Bearer {access}", None, started
        self._expires = started + lifetime - min(_MARGIN, lifetime / 2)


def _claims(token: str) -> dict[str, Any]:
    """What a JWT says of itself, unverified; nothing if it is not one."""
    try:
        _, claims, _ = token.split(".")
        value = json.loads(base64.urlsafe_b64decode(f"{claims}=="))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
