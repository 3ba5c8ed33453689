"""URLs of images, and the hosts and IP addresses from which images may be fetched.

A task is untrusted: its author chooses its addresses, and could point them at services that only
this machine can reach. Two questions are asked before the first request, and again at every
redirect:

- *Is this host allowed?* `AllowedHosts` and the Label Studio decide it (`ssrf`).
- *Is this IP address allowed?* `resolve` decides it for the addresses that the name has now, and
  the connection is made to exactly those (`guarded_network`): a name that changes its addresses
  between check and connection (DNS rebinding) gains nothing.

A host that the administrator names exactly, including the configured Label Studio, may have a
private or loopback address (`NetworkZone.PRIVATE`): that is the usual set-up. Every other host,
even one that matches a wildcard, must have public addresses. Link-local, multicast, reserved and
cloud metadata addresses are never connected to.
"""

from __future__ import annotations

import re
import socket
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urljoin

import httpx

from pam_labeling.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

IPAddress: TypeAlias = "IPv4Address | IPv6Address"
IPNetwork: TypeAlias = "IPv4Network | IPv6Network"

MAX_URL_LENGTH = 8192
DEFAULT_PORTS = {"http": 80, "https": 443}
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*):")


class MediaError(InputError):
    """An image cannot or may not be fetched; the message says why and what to do.

    Messages never hold a token, a password, or the query of an address (a presigned link works like
    a password), so they can be logged and shown.
    """


@dataclass(frozen=True)
class Url:
    """A parsed http(s) address. `str()` leaves out its query, so the text is safe to show.

    Attributes:
        scheme: `http` or `https`.
        host: in lower case, ASCII, without brackets or a dot at the end.
        port: the scheme's default if the text names none.
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
        """Parse an address.

        Raises:
            MediaError: the address is not http(s), is too long, has no host, or has a user name or
                password, `..` in its path, control characters or backslashes.
        """
        text = text.strip().replace(" ", "%20")
        if len(text) > MAX_URL_LENGTH:
            raise MediaError(f"an address has more than {MAX_URL_LENGTH} characters")
        if re.search(r"[\x00-\x20\x7f\\]", text):
            raise MediaError("an address has control characters or backslashes in it")
        try:
            url = httpx.URL(text)
        except httpx.InvalidURL:
            # Without its cause, which quotes the whole address.
            raise MediaError("an address is malformed") from None
        host = url.raw_host.decode().rstrip(".").lower()
        if url.scheme not in DEFAULT_PORTS or not host or "%" in host:
            raise MediaError("an address needs http:// or https:// and a host")
        port = DEFAULT_PORTS[url.scheme] if url.port is None else url.port
        if not 0 < port < 1 << 16:
            raise MediaError(f"the address on {host} has an impossible port: {port}")
        if "@" in re.split(r"[/?#]", text)[2]:
            raise MediaError(
                f"an address must have no user name or password, as the one on {host} has"
            )
        decoded = re.split(r"[?#]", text, maxsplit=1)[0]
        for _ in range(3):  # a proxy in between may decode it once more
            decoded = unquote(decoded)
        if ".." in re.split(r"[/\\]", decoded):
            raise MediaError(f"the address on {host} has '..' in its path")
        path, _, query = url.raw_path.decode().partition("?")
        return cls(url.scheme, host, port, path or "/", query)

    @property
    def has_default_port(self) -> bool:
        """Whether the port is the scheme's default."""
        return self.port == DEFAULT_PORTS[self.scheme]

    @property
    def netloc(self) -> str:
        """The host, with the port if it is not the scheme's default."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.has_default_port else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """`scheme://host`, with the port if it is not the scheme's default."""
        return f"{self.scheme}://{self.netloc}"

    @property
    def target(self) -> str:
        """The path with the query, as in a request line; not for messages."""
        return self.path + (f"?{self.query}" if self.query else "")

    @property
    def text(self) -> str:
        """The whole address with its query; not for messages."""
        return self.origin + self.target

    def __str__(self) -> str:
        path = self.path if len(self.path) <= 200 else f"{self.path[:200]}…"
        return self.origin + path + ("?…" if self.query else "")

    def __repr__(self) -> str:
        return f"Url({str(self)!r})"

    def join(self, location: str) -> Url:
        """The target of a redirect from this URL; `location` may be relative.

        Raises:
            MediaError: as `parse` does; or the target is not http(s), such as a `data:` URI.
        """
        scheme = _SCHEME.match(location.strip().lower())
        if scheme and scheme[1] not in DEFAULT_PORTS:
            raise MediaError(
                f"{self} redirects to a {scheme[1][:20]}: address, which is not followed; only "
                "redirects to http:// and https:// are"
            )
        try:
            return Url.parse(urljoin(self.text, location.strip()))
        except ValueError as error:  # of urljoin, or a MediaError
            reason = error if isinstance(error, MediaError) else "an address is malformed"
            raise MediaError(f"{self} redirects to a wrong address: {reason}") from None


class NetworkZone(Enum):
    """The IP addresses that a host may have."""

    PUBLIC = "public"
    PRIVATE = "private"
    """Public, private or loopback."""


def _networks(*texts: str) -> tuple[IPNetwork, ...]:
    return tuple(ip_network(text) for text in texts)


# Listed here, because what ipaddress calls global differs between versions of Python.
_NEVER = {
    "cloud metadata": _networks(
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fd20:ce::254",
    ),
    "link-local": _networks("169.254.0.0/16", "fe80::/10", "fec0::/10"),
    "multicast": _networks("224.0.0.0/4", "ff00::/8"),
    "unspecified": _networks("0.0.0.0/8", "::/128"),
    "reserved": _networks(
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "240.0.0.0/4",
        "64:ff9b:1::/48",
        "2001::/23",
        "2001:db8::/32",
        "3fff::/20",
    ),
}
_PRIVATE = {
    "loopback": _networks("127.0.0.0/8", "::1/128"),
    "private": _networks(
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "198.18.0.0/15", "fc00::/7"
    ),
    "carrier-grade NAT": _networks("100.64.0.0/10"),
}
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")


def refusal(address: IPAddress, zone: NetworkZone) -> str | None:
    """Why an IP address must not be connected to ("a loopback address"); None if it may be.

    IPv6 addresses that carry an IPv4 address (mapped, NAT64, 6to4, ISATAP) are judged by it.
    """
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return refusal(address.ipv4_mapped, zone)
        inner = address.sixtofour
        if address in _NAT64 or int(address) >> 32 & 0xFDFFFFFF == 0x5EFE:  # the latter is ISATAP
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None and (reason := refusal(inner, NetworkZone.PUBLIC)):
            return f"{reason} inside IPv6"
    for kind, networks in _NEVER.items():
        if any(address in network for network in networks):
            return f"a {kind} address"
    for kind, networks in _PRIVATE.items():
        if any(address in network for network in networks):
            return None if zone is NetworkZone.PRIVATE else f"a {kind} address"
    if isinstance(address, IPv6Address) and address not in _GLOBAL_IPV6 and address not in _NAT64:
        return "a reserved address"
    return None


def resolve(host: str, port: int, zone: NetworkZone) -> list[str]:
    """The IP addresses of a host, as text, if all of them are in the zone.

    Raises:
        MediaError: one of them is not.
        socket.gaierror: there is no such host.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for text in addresses:
        if reason := refusal(ip_address(text), zone):
            raise MediaError(
                f"nothing is fetched from {host}: its address {text} is {reason}. The "
                "administrator must name such hosts exactly: in LABEL_STUDIO_URL if this is the "
                "Label Studio, else in the allowed hosts (PAM_ALLOWED_HOSTS)"
            )
    return addresses


class AllowedHosts:
    """Hosts that the administrator allows in addition to the Label Studio.

    `example.org` is that name on ports 80 and 443, `example.org:8443` is that name on port 8443,
    and `*.example.org` is every name below it, but not itself. IP addresses count as names.

    Args:
        patterns: as above.

    Raises:
        MediaError: a pattern does not have one of these forms.
    """

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        self._patterns = [_parsed(pattern) for pattern in patterns]

    def zone(self, url: Url) -> NetworkZone | None:
        """The IP addresses that an allowed host may have; None if the host is not allowed.

        `PRIVATE` for exact names; `PUBLIC` for wildcards, because somebody else may choose the name
        and the addresses that it points to.
        """
        found = None
        for host, port, wildcard in self._patterns:
            if not (url.has_default_port if port is None else url.port == port):
                continue
            if not wildcard and url.host == host:
                return NetworkZone.PRIVATE
            if wildcard and url.host.endswith(f".{host}"):
                found = NetworkZone.PUBLIC
        return found


def _parsed(text: str) -> tuple[str, int | None, bool]:
    """The host, the port if one is named, and whether the names below the host are meant."""
    pattern = text.strip().lower()
    rest = pattern.removeprefix("*.")
    if rest.count(":") > 1 and not rest.startswith("["):
        rest = f"[{rest}]"  # an IPv6 address
    try:
        url = Url.parse(f"http://{rest}")
    except MediaError:
        url = None
    if url is None or url.target != "/" or rest[-1:] in "/?#":
        raise MediaError(
            f"allowed host {text!r} is not understood; write example.org, example.org:8443 or "
            "*.example.org, without http:// and without a path"
        )
    wildcard = pattern.startswith("*.")
    if "*" in rest or (wildcard and "." not in url.host):
        raise MediaError(
            f"allowed host {text!r} would allow too much: "
            "use one * at the beginning of a domain, as in *.example.org"
        )
    return url.host, url.port if re.search(r":\d+$", rest) else None, wildcard
