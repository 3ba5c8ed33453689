"""The http(s) addresses of images, taken apart and checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote, urljoin

import httpx

from pam_labeling.errors import InputError

MAX_URL_LENGTH = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}


class MediaError(InputError):
    """An image that cannot or may not be fetched; the message says why and what to do.

    Messages never hold a token, a password, or the query of an address (presigned links are
    passwords), so they can be logged and shown.
    """


@dataclass(frozen=True)
class Url:
    """An http(s) address, taken apart. `str()` leaves its query out and is safe to show.

    Attributes:
        scheme: `http` or `https`.
        host: in lower case, ASCII, without brackets or a dot at the end.
        port: the scheme's own if the text names none.
        path: percent-encoded, begins with `/`.
        query: percent-encoded, without the question mark; "" if there is none.
    """

    scheme: str
    host: str
    port: int
    path: str
    query: str

    @classmethod
    def parse(cls, text: str) -> Url:
        """Take an address apart.

        Raises:
            MediaError: not http(s), no host, a user name or password in it, `..` in its path,
                control characters, backslashes, or too long.
        """
        text = text.strip().replace(" ", "%20")
        if len(text) > MAX_URL_LENGTH:
            raise MediaError(f"the address of an image has more than {MAX_URL_LENGTH} characters")
        if re.search(r"[\x00-\x20\x7f\\]", text):
            raise MediaError("the address of an image has control characters or backslashes in it")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            # Without its cause, which quotes the whole address.
            raise MediaError("the address of an image is malformed") from None
        host = url.raw_host.decode().rstrip(".").lower()
        if url.scheme not in DEFAULT_PORTS or not host or "%" in host:
            raise MediaError("the address of an image needs http:// or https:// and a host")
        port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if not 0 < port < 1 << 16:
            raise MediaError(f"the address of an image on {host} has a port that cannot be: {port}")
        if "@" in re.split(r"[/?#]", text)[2]:
            raise MediaError(
                f"the address of an image on {host} holds a user name or password; leave it out"
            )
        decoded = re.split(r"[?#]", text, maxsplit=1)[0]
        for _ in range(3):  # a proxy on the way may decode it once more
            decoded = unquote(decoded)
        if ".." in re.split(r"[/\\]", decoded):
            raise MediaError(f"the address of an image on {host} has '..' in its path")
        path, _, query = url.raw_path.decode().partition("?")
        return cls(url.scheme, host, port, path or "/", query)

    @property
    def has_default_port(self) -> bool:
        """Whether the port is the scheme's own."""
        return self.port == DEFAULT_PORTS[self.scheme]

    @property
    def netloc(self) -> str:
        """The host, with the port if it is not the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.has_default_port else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://host`, with the port if it is not the scheme's own."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def target(self) -> str:
        """The path with the query, as a request names it: not for messages."""
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def text(self) -> str:
        """The whole address, with its query: not for messages."""
        return self.origin + self.target

    def __str__(self) -> str:
        path = self.path if len(self.path) <= 200 else f"{self.path[:200]}…"
        return self.origin + path + ("?…" if self.query else "")

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def join(self, location: str) -> Url:
        """Where a redirect from here leads: `location` may be relative.

        Raises:
            MediaError: as `parse` does.
        """
        try:
            return Url.parse(urljoin(self.text, location.strip()))
        except ValueError as error:  # of urljoin, or a MediaError
            reason = error if isinstance(error, MediaError) else "the address is malformed"
            raise MediaError(f"{self} redirects to where it should not: {reason}") from None
