"""A Label Studio as an address: what is in it, under which names, and what gets its token."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from label_studio_backend.media.urls import MediaError, Reach, WebAddress

if TYPE_CHECKING:
    from label_studio_backend.media.tokens import Credentials

# Where Label Studio serves images, and so the only places its token is sent to. /file-proxy is
# not among them: it sends the project's own password to whatever address the task names.
_IMAGES = re.compile(
    r"/(?:data|storage-data|static)/.|/(?:api/)?(?:tasks|projects)/\d+/(?:resolve|presign)/?$"
)


@dataclass(frozen=True)
class LabelStudioSite:
    """The Label Studio of one request.

    Attributes:
        base: where it is; the path is its prefix, without a slash at the end.
        reach: the IP addresses that it may have.
        credentials: the token for it, if there is one.
        rights: a digest of whose rights these are; cached files are kept under it.
        alias: what it calls itself, where that is another address than `base`.
    """

    base: WebAddress
    reach: Reach
    credentials: Credentials | None
    rights: str
    alias: WebAddress | None = None

    def owns(self, address: WebAddress) -> bool:
        """Whether an address is in it; https on the usual port counts for http there too."""
        base = self.base
        same = (address.scheme, address.port) == (base.scheme, base.port)
        upgraded = address.scheme == "https" and base.scheme == "http"
        upgraded = upgraded and address.has_default_port and base.has_default_port
        return (
            address.host == base.host
            and (same or upgraded)
            and (address.path + "/").startswith(base.path + "/")
        )

    def serves(self, address: WebAddress) -> bool:
        """Whether it is one of its addresses of images, which get its token."""
        return self.owns(address) and bool(_IMAGES.match(self.path_of(address)))

    def uploaded(self, address: WebAddress) -> bool:
        """Whether it is one of its uploads, which never change."""
        return self.owns(address) and self.path_of(address).startswith("/data/upload/")

    def path_of(self, address: WebAddress) -> str:
        """The path of one of its addresses, without its prefix."""
        return address.path.removeprefix(self.base.path)

    def at(self, path: str) -> WebAddress:
        """The address of a path, with or without its prefix, and a query in it.

        Raises:
            MediaError: as `WebAddress.parse` does.
        """
        prefix = self.base.path
        inside = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
        return WebAddress.parse(self.base.origin + prefix + inside)

    def adopted(self, address: WebAddress) -> WebAddress:
        """The same address by the configured name, if it is in this Label Studio by another."""
        for name in (self.base, self.alias):
            if name is None or address.host != name.host:
                continue
            usual = address.has_default_port and name.has_default_port
            inside = (address.path + "/").startswith(name.path + "/")
            if inside and (usual or address.port == name.port):
                path = self.base.path + address.path.removeprefix(name.path)
                base = self.base
                return replace(
                    address, scheme=base.scheme, host=base.host, port=base.port, path=path
                )
        return address


def base_address(text: str, name: str) -> WebAddress:
    """The address of a Label Studio, from a setting or a request.

    Args:
        text: with http:// or https://, perhaps with a prefix.
        name: what messages call it.

    Raises:
        MediaError: it is no such address.
    """
    try:
        address = WebAddress.parse(text)
    except MediaError as error:
        raise MediaError(f"{name} is not an address like https://labels.example.org") from error
    return replace(address, path=address.path.rstrip("/"), query="")


def resolving_path(text: str, task_id: object) -> str:
    """Where Label Studio resolves a cloud address for those who may see the task.

    Raises:
        MediaError: `task_id` is not a task's id.
    """
    if not isinstance(task_id, int) or isinstance(task_id, bool) or task_id < 0:
        raise MediaError(
            f"the image is in a cloud storage ({text.partition('://')[0]}://), which Label "
            "Studio resolves for a task; this request names no task"
        )
    return f"/tasks/{task_id}/resolve/?fileuri={urlsafe_b64encode(text.encode()).decode()}"
