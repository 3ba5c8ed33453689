"""HTTP connections to checked addresses only, with a limit on the whole time.

A `GuardedAdapter` is a `requests` adapter whose connections

- look the host up once, check what they find (`addresses.resolve`) and connect to exactly that,
  while TLS still verifies the certificate for the host's *name*;
- stop reading when the time set with `time_limit` is over, however slowly the bytes drip: the
  usual time-outs only limit the silence between two of them.

It is used without a `requests.Session`: nothing is taken from the environment (proxies, .netrc),
no cookies are kept, and no redirect is followed.
"""

from __future__ import annotations

import io
import logging
import re
import socket
import time
from contextlib import contextmanager
from contextvars import ContextVar
from http.client import HTTPResponse
from typing import TYPE_CHECKING, Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection
from urllib3.util.timeout import Timeout

from label_studio_backend.media.urls import Reach, resolve

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import WriteableBuffer

_deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))


class _WithoutQueries(logging.Filter):
    """Takes the queries out of what urllib3 logs: presigned links are passwords."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = re.sub(r"\?[^\s\"']+", "?…", record.getMessage()), None
        return True


_without_queries = _WithoutQueries()


@contextmanager
def time_limit(deadline: float) -> Iterator[None]:
    """Within it, in this thread, no guarded connection connects or reads after `deadline`.

    Args:
        deadline: on `time.monotonic()`'s clock.
    """
    token = _deadline.set(deadline)
    try:
        yield
    finally:
        _deadline.reset(token)


def _remaining() -> float:
    seconds = _deadline.get() - time.monotonic()
    if seconds <= 0:
        raise TimeoutError("the time for the whole download is over")
    return seconds


class _TimedReader(io.RawIOBase):
    """A socket's reader that gives up at the deadline, not only after a silence."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket) -> None:
        self._raw, self._sock = raw, sock
        self._silence = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int | None:
        remaining = _remaining()
        if remaining < float("inf"):
            self._sock.settimeout(min(remaining, self._silence or remaining))
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _TimedResponse(HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        # The raw reader under the buffer keeps the socket open for as long as it is needed.
        self.fp: io.BufferedReader = io.BufferedReader(_TimedReader(self.fp.detach(), sock))


def _connect(connection: HTTPConnection, reach: Reach) -> socket.socket:
    try:
        addresses = resolve(connection.host, connection.port, reach)
    except socket.gaierror as error:
        raise NameResolutionError(connection.host, connection, error) from error
    failure = OSError("the host has no address")
    for address in addresses:
        attempt = _attempt(connection, address)
        if isinstance(attempt, socket.socket):
            return attempt
        failure = attempt
    if isinstance(failure, TimeoutError):
        raise ConnectTimeoutError(connection, "no connection in time") from failure
    raise NewConnectionError(connection, f"no connection: {failure}") from failure


def _attempt(connection: HTTPConnection, address: str) -> socket.socket | OSError:
    try:
        return create_connection(
            (address, connection.port),
            min(Timeout.resolve_default_timeout(connection.timeout) or 60.0, _remaining()),
            source_address=connection.source_address,
            socket_options=connection.socket_options,
        )
    except OSError as error:
        return error


def _pool_classes(reach: Reach) -> dict[str, Any]:
    class Plain(HTTPConnection):
        response_class = _TimedResponse

        def _new_conn(self) -> socket.socket:
            return _connect(self, reach)

    class Secure(HTTPSConnection):
        response_class = _TimedResponse

        def _new_conn(self) -> socket.socket:
            return _connect(self, reach)

    class PlainPool(HTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(HTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


class GuardedAdapter(HTTPAdapter):
    """See the top of the module. Keeps connections open, and never shares them with another reach.

    Args:
        reach: the addresses that its connections may be made to.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        for name in ("urllib3.connectionpool", "urllib3.connection"):
            logging.getLogger(name).addFilter(_without_queries)
        super().__init__(pool_connections=16, pool_maxsize=16)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Build the pools with connections that check where they go."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _pool_classes(self._reach)
