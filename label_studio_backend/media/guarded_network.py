"""Connect only to checked IP addresses, and only until a deadline.

httpcore lets a network backend make its connections. `GuardedBackend`

- looks the host up once, checks every address that it finds (`urls.resolve`), and connects to
  exactly those addresses, while TLS still verifies the certificate for the host's *name*;
- stops connecting, reading and writing at the `deadline` of its thread, however slowly the bytes
  arrive: the usual time-outs limit only the silence between two of them.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

import httpcore
import httpx

from label_studio_backend.media.urls import MediaError, NetworkZone, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

deadline: ContextVar[float] = ContextVar("deadline", default=float("inf"))
"""After this time on `time.monotonic()`'s clock, no guarded connection of this thread connects,
reads or writes."""

# Its debug messages show cookies, tokens and presigned links.
logging.getLogger("httpcore").setLevel(logging.INFO)


def _shortened(timeout: float | None) -> float | None:
    remaining = deadline.get() - time.monotonic()
    if remaining <= 0:
        raise httpcore.TimeoutException("the time for the whole download is over")
    return timeout if remaining == float("inf") else min(remaining, timeout or remaining)


class _TimedStream(httpcore.NetworkStream):
    """A connection that ends at the deadline, not only after a silence."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _shortened(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _shortened(timeout))

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _TimedStream(
            self._stream.start_tls(ssl_context, server_hostname, _shortened(timeout))
        )

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedBackend(httpcore.NetworkBackend):
    """Connects to the addresses of one zone; see the top of the module.

    Args:
        zone: the addresses that a host may have.
    """

    def __init__(self, zone: NetworkZone) -> None:
        self._zone = zone
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that answers.

        Raises:
            MediaError: the host has an address outside the zone.
            httpcore.ConnectError, httpcore.TimeoutException: no address answers.
        """
        try:
            addresses = resolve(host, port, self._zone)
        except (socket.gaierror, UnicodeError) as error:
            raise httpcore.ConnectError("there is no such host") from error
        failure: Exception = httpcore.ConnectError("the host has no address")
        for address in addresses:
            try:
                # The address, not the name: a second look-up could return another address.
                return _TimedStream(
                    self._sockets.connect_tcp(
                        address, port, _shortened(timeout), local_address, socket_options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:  # noqa: PERF203
                failure = error
        raise failure


@cache
def trusted_certificates(bundle: Path | None) -> ssl.SSLContext:
    """The TLS context with the certificates that are trusted.

    Args:
        bundle: file or folder of CA certificates. None for the usual ones, or those that the
            environment variables SSL_CERT_FILE and SSL_CERT_DIR name.

    Raises:
        MediaError: there are no certificates there.
    """
    try:
        if bundle is None:
            return httpx.create_ssl_context()
        if bundle.is_dir():
            return ssl.create_default_context(capath=bundle)
        return ssl.create_default_context(cafile=bundle)
    except OSError as error:  # also raised for a file without a certificate
        raise MediaError(
            f"REQUESTS_CA_BUNDLE names {bundle}, which has no certificates ({error})"
        ) from error


def tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The TLS error that made a connection fail; None if it failed for another reason."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error
