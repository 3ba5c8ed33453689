"""What a request can be answered with instead of what it asked for."""

from __future__ import annotations


class RequestError(Exception):
    """A request that cannot be answered; the message is a sentence for whoever sent it.

    Attributes:
        status: the HTTP status.
        retry_after: seconds after which to try again, or None.
    """

    def __init__(self, message: str, status: int = 400, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after


class UnavailableError(RequestError):
    """The request is good, but the backend cannot do it now."""

    def __init__(self, message: str, *, retry_after: int = 5) -> None:
        super().__init__(message, 503, retry_after=retry_after)
