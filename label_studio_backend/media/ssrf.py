"""The rules against server-side request forgery, for one download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from label_studio_backend.media.downloads import Permit
from label_studio_backend.media.urls import AllowedHosts, MediaError, NetworkZone, Url

if TYPE_CHECKING:
    from label_studio_backend.media.label_studio_site import LabelStudioSite


@dataclass(frozen=True)
class RequestPolicy:
    """Decides which requests of a download may be made, and which of them carry the token.

    Attributes:
        site: the Label Studio that the task is in, if one is known.
        allowed: further hosts.
        start: where the download begins.
    """

    site: LabelStudioSite | None
    allowed: AllowedHosts
    start: Url

    @property
    def in_label_studio(self) -> bool:
        """Whether the download begins in this Label Studio."""
        return self.site is not None and self.site.owns(self.start)

    def permit(self, url: Url, previous: Url | None, deadline: float | None = None) -> Permit:
        """Permit one request, or raise.

        Args:
            url: the URL of the request.
            previous: the URL that redirected to it; None for the first request.
            deadline: when a renewed token must have arrived, on `time.monotonic()`'s clock; None
                to send no token.

        Raises:
            MediaError: the request must not be made.
        """
        site = self.site
        if site is not None and site.owns(url):
            if previous is not None and site.path_of(url).startswith("/user/login"):
                raise MediaError(
                    f"{site.base} wants a login: set LABEL_STUDIO_API_KEY to a valid token"
                )
            header = None
            # No token after a redirect from another host: everybody would get the content from the
            # cache.
            if self.in_label_studio and deadline and site.credentials and site.serves(url):
                header = site.credentials.header(deadline)
            return Permit(site.zone, header, label_studio=True)
        zone = self.allowed.zone(url)
        if zone is not None:
            return Permit(zone)
        if previous is None or not self.in_label_studio:
            raise MediaError(
                f"images are not fetched from {url.origin}: it is neither the Label Studio "
                "of this backend (LABEL_STUDIO_URL) nor an allowed host (PAM_ALLOWED_HOSTS)"
            )
        if previous.scheme == "https" and url.scheme == "http":
            raise MediaError(
                f"{previous} redirects to {url.origin}, from https to http; if that is right, "
                "add the host to PAM_ALLOWED_HOSTS"
            )
        # Label Studio's presigned links lead to any public storage.
        return Permit(NetworkZone.PUBLIC)
