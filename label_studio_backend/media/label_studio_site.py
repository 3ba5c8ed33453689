"""Decide which URLs belong to a Label Studio, and which of them get its token."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from label_studio_backend.media.urls import MediaError, NetworkZone, Url

if TYPE_CHECKING:
    from label_studio_backend.media.tokens import Credentials

# The paths where Label Studio serves images; its token is sent nowhere else. /file-proxy is not
# among them: it sends the project's own password to any address that the task names.
_IMAGES = re.compile(
    r"/(?:data|storage-data|static)/.|/(?:api/)?(?:tasks|projects)/\d+/(?:resolve|presign)/?$"
)


@dataclass(frozen=True)
class LabelStudioSite:
    """The Label Studio of one request.

    Attributes:
        base: its address; the path is its prefix, without a slash at the end.
        zone: the IP addresses that it may have.
        credentials: the token for it, if there is one.
        rights: a digest of its address and token; cached files are kept under it.
        alias: the address by which it calls itself, if that is not `base`.
    """

    base: Url
    zone: NetworkZone
    credentials: Credentials | None
    rights: str
    alias: Url | None = None

    def owns(self, url: Url) -> bool:
        """Whether a URL is in it; an https URL also counts if both ports are the defaults."""
        base = self.base
        usual = url.has_default_port and base.has_default_port
        upgraded = usual and base.scheme == "http"
        return _is_inside(url, base) and (upgraded or url.scheme == base.scheme)

    def serves(self, url: Url) -> bool:
        """Whether it serves images at this URL; only such URLs get its token."""
        return self.owns(url) and bool(_IMAGES.match(self.path_of(url)))

    def path_of(self, url: Url) -> str:
        """The path of one of its URLs, without its prefix."""
        return url.path.removeprefix(self.base.path)

    def at(self, path: str) -> Url:
        """The URL of a path, which may have the prefix and a query.

        Raises:
            MediaError: as `Url.parse` does.
        """
        prefix = self.base.path
        inside = path.removeprefix(prefix) if path.startswith(f"{prefix}/") else path
        return Url.parse(self.base.origin + prefix + inside)

    def adopted(self, url: Url) -> Url:
        """The URL in this Label Studio's `base`, if it is in `base` or `alias`; else unchanged."""
        for name in (self.base, self.alias):
            if name is not None and _is_inside(url, name):
                path = self.base.path + url.path.removeprefix(name.path)
                return replace(self.base, path=path, query=url.query)
        return url


def _is_inside(url: Url, base: Url) -> bool:
    """Whether a URL is below another; http and https on their default ports count as one."""
    usual = url.has_default_port and base.has_default_port
    is_below = (url.path + "/").startswith(base.path + "/")
    return url.host == base.host and is_below and (usual or url.port == base.port)


def base_url(text: str, name: str) -> Url:
    """The address of a Label Studio, from a setting or a request.

    Args:
        text: with http:// or https://, perhaps with a prefix.
        name: what messages call the address.

    Raises:
        MediaError: the text is not such an address.
    """
    try:
        url = Url.parse(text)
    except MediaError as error:
        raise MediaError(
            f"{name} is not an address like https://labels.example.org: {error}"
        ) from error
    return replace(url, path=url.path.rstrip("/"), query="")


def resolving_path(text: str, task_id: object) -> str:
    """The path at which Label Studio resolves a cloud address for users who may see the task.

    Raises:
        MediaError: `task_id` is not a task's id.
    """
    if not isinstance(task_id, int) or isinstance(task_id, bool) or task_id < 0:
        raise MediaError(
            f"the image is in a cloud storage ({text.partition('://')[0]}://), which Label "
            "Studio resolves for a task; this request names no task"
        )
    return f"/tasks/{task_id}/resolve/?fileuri={urlsafe_b64encode(text.encode()).decode()}"
