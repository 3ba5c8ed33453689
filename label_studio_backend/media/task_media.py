"""Fetch the images of tasks safely, and keep their files.

**Accepted addresses.** Label Studio's own `/data/upload/...` and `/data/local-files/?d=...`;
`s3://`, `gs://` and `azure-blob://`, which Label Studio resolves, and the
`/tasks/1/resolve/?fileuri=...` that it makes of them; http(s) addresses in Label Studio or on
allowed hosts; `data:` URIs. Paths on a disk, `file://` and everything else are refused.

**Trust.** Anybody who reaches this backend can post a task, and claim in `/setup` to be any Label
Studio: neither is authenticated unless Basic Auth is set. Therefore

- the administrator's token (`api_key`) is sent only to the administrator's `label_studio_url`, and
  there only to the addresses that serve images;
- a token that came with a request is sent only to the Label Studio that the same request names, and
  only if that is the configured one, or none is configured and the address rules allow it;
- if a Label Studio is configured, the name in a request is only an alias of it: addresses under
  that name are fetched from the configured one. If none is configured, the Label Studio that a
  request names is a stranger's, and must have a public IP address;
- a redirect is judged like a new address. Label Studio may redirect to any public host (that is
  how presigned links work), other hosts only to allowed ones. A redirect never takes the token to
  another host, and leads from https to http only on an allowed host.

`ssrf` holds these rules; `urls` says which IP addresses each kind of host may have. Proxies of the
environment are not used: a proxy would look the names up itself.

**Caching.** A cached file belongs to the Label Studio and the token with which it was fetched;
with another token it is fetched again. An upload never changes in Label Studio and is kept for a
day; everything else is asked for again after five minutes (by ETag, if there is one).
"""

from __future__ import annotations

import io
import logging
import os
import threading
import time
from contextlib import nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cachetools import LRUCache

from label_studio_backend.media.downloads import Downloader, StatusError
from label_studio_backend.media.files import Incoming, MediaFile
from label_studio_backend.media.inline_media import find_local_file, image_text, read_data_uri
from label_studio_backend.media.label_studio_site import LabelStudioSite, base_url, resolving_path
from label_studio_backend.media.media_cache import Entry, MediaCache, entry_key
from label_studio_backend.media.ssrf import RequestPolicy
from label_studio_backend.media.tokens import Credentials
from label_studio_backend.media.urls import AllowedHosts, MediaError, NetworkZone, Url
from label_studio_backend.single_flight import SingleFlight

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from label_studio_backend.settings import ServerSettings

__all__ = ["Access", "MediaError", "TaskMedia"]

UPLOAD_SECONDS = 24 * 3600.0
OTHER_SECONDS = 300.0

fetch_slot: ContextVar[Callable[[], AbstractContextManager[None]]] = ContextVar(
    "fetch_slot", default=nullcontext
)
"""Entered while this thread waits for a download, to limit how many do."""

_log = logging.getLogger(__name__)

_CLOUD = ("s3", "gs", "azure-blob")
_MAX_CREDENTIALS = 256


def ca_bundle() -> Path | None:
    """The file or folder of certificates that the environment's REQUESTS_CA_BUNDLE names."""
    name = os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(name) if name else None


@dataclass(frozen=True)
class Access:
    """The Label Studio that a request claims to come from, unverified.

    Attributes:
        host: its address, the `hostname` of `/setup`.
        token: the `access_token` of `/setup`.
    """

    host: str | None = None
    token: str | None = field(default=None, repr=False)


class TaskMedia:
    """Fetches the images of tasks; safe to use from any thread. See the top of the module.

    Args:
        settings: where images come from, and how much is fetched and kept. The Label Studio, and
            hosts that `allowed_hosts` names exactly, may have private addresses. If
            `local_files_root` is set, every task may use every file in it.

    Raises:
        MediaError: an address or host in the settings is malformed, a token has no address, or
            REQUESTS_CA_BUNDLE names no certificates.
    """

    def __init__(self, settings: ServerSettings) -> None:
        url = settings.label_studio_url
        if settings.api_key and not url:
            raise MediaError(
                "LABEL_STUDIO_API_KEY is set without LABEL_STUDIO_URL: set the address too, "
                "because the key is sent nowhere else"
            )
        self._settings = settings
        self._label_studio = base_url(url, "LABEL_STUDIO_URL") if url else None
        self._allowed = AllowedHosts(settings.allowed_hosts)
        self._downloader = Downloader(settings.media_max_bytes, ca_bundle())
        self._cache = None
        if settings.media_cache_bytes:
            self._cache = MediaCache(settings.media_cache_dir, settings.media_cache_bytes)
        self._credentials: LRUCache[tuple[str, str], Credentials] = LRUCache(_MAX_CREDENTIALS)
        self._fetching: SingleFlight[MediaFile] = SingleFlight()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are kept open for the next image."""
        self._downloader.close()

    def file(self, value: object, access: Access, task_id: object = None) -> MediaFile:
        """Find or fetch the file of an image, without reading it.

        Args:
            value: what task data holds for the image tag.
            access: the access of the request that sent the task.
            task_id: the task's id, which cloud addresses (`s3://...`) need.

        Raises:
            MediaError: the image cannot or may not be fetched; the message says why.
        """
        text = image_text(value)
        if text[:5].lower() == "data:":
            return read_data_uri(text, self._settings.media_max_bytes)
        site = self._site(access)
        url = self._url(text, site, task_id)
        policy = RequestPolicy(site, self._allowed, url)
        policy.permit(url, None)  # cached files, too, are only for requests that may fetch them
        rights, fresh = "", OTHER_SECONDS
        if site is not None and policy.in_label_studio:
            root, path = self._settings.local_files_root, site.path_of(url)
            if root is not None and path.rstrip("/") == "/data/local-files":
                return find_local_file(root, url, self._settings.media_max_bytes)
            rights = site.rights
            if path.startswith("/data/upload/"):
                fresh = UPLOAD_SECONDS
        key = entry_key(rights, url.text)
        entry = self._kept(key)
        if entry is not None and entry.age < fresh:
            return entry.file
        with fetch_slot.get()():
            return self._fetching.call(key, lambda: self._kept_or_fetched(key, policy, fresh))

    def _site(self, access: Access) -> LabelStudioSite | None:
        claimed = None
        try:
            if access.host:
                claimed = base_url(access.host, "the host name that Label Studio sent")
        except MediaError:
            if self._label_studio is None:
                raise
        if self._label_studio is not None:
            base, zone = self._label_studio, NetworkZone.PRIVATE
            # A request's token goes only to the Label Studio that the request names.
            token = self._settings.api_key or (access.token if claimed == base else None)
        elif claimed:
            base, zone = claimed, self._allowed.zone(claimed) or NetworkZone.PUBLIC
            token = access.token
        else:
            return None
        rights = entry_key(base.text, token or "")
        # A stranger must not make an allowed host an alias of Label Studio.
        other = claimed is not None and claimed != base and not self._allowed.zone(claimed)
        credentials = self._credentials_for(base, zone, token) if token else None
        return LabelStudioSite(base, zone, credentials, rights, claimed if other else None)

    def _credentials_for(self, base: Url, zone: NetworkZone, token: str) -> Credentials:
        def refresh(refresh_token: str, deadline: float) -> str:
            url = replace(base, path=f"{base.path}/api/token/refresh/")
            try:
                answer = self._downloader.post_json(url, zone, {"refresh": refresh_token}, deadline)
            except StatusError as error:
                if error.status not in (400, 401, 403):
                    raise
                raise MediaError(
                    f"{base} does not accept the personal access token ({error.status}): it has "
                    "run out or was revoked; make another one in Account & Settings and set "
                    "LABEL_STUDIO_API_KEY to it"
                ) from None
            return str(answer.get("access", ""))

        with self._lock:
            credentials = self._credentials.get((base.text, token))
            if credentials is None:
                credentials = self._credentials[base.text, token] = Credentials(token, refresh)
            return credentials

    def _url(self, text: str, site: LabelStudioSite | None, task_id: object) -> Url:
        scheme = text.partition("://")[0].lower() if "://" in text.split("?", 1)[0] else ""
        if scheme in ("http", "https"):
            url = Url.parse(text)
            return site.adopted(url) if site else url
        if scheme and scheme not in _CLOUD:
            raise MediaError(
                f"images are not fetched from {scheme[:20]!r} addresses; use http(s), "
                f"{', '.join(f'{cloud}://' for cloud in _CLOUD)} through a storage of the Label "
                "Studio project, or an upload"
            )
        if not scheme and not text.startswith("/"):
            raise MediaError(
                f"{text[:60]!r} is not the address of an image; files on a disk are not read: "
                "upload them, or connect their folder to the project as local storage"
            )
        if site is None:
            raise MediaError(
                "the image is in Label Studio, but this backend does not know its address: "
                "set LABEL_STUDIO_URL (and LABEL_STUDIO_API_KEY) for this backend"
            )
        if scheme:
            return site.at(resolving_path(text, task_id))
        url = site.at(text)
        if not site.serves(url):
            raise MediaError(
                f"{url} is not where Label Studio has images (/data/upload/..., "
                "/data/local-files/?d=..., /tasks/.../resolve/); files on a disk are not read: "
                "upload them, or connect their folder to the project as local storage"
            )
        return url

    def _kept(self, key: str) -> Entry | None:
        return self._cache.get(key) if self._cache else None

    def _kept_or_fetched(self, key: str, policy: RequestPolicy, fresh: float) -> MediaFile:
        """The cached file if it was confirmed within `fresh` seconds, else a fetched one."""
        entry = self._kept(key)  # again: another thread may have fetched it meanwhile
        if entry is not None and entry.age < fresh:
            return entry.file
        deadline = time.monotonic() + self._settings.media_timeout
        try:
            return self._fetched(key, policy, entry, deadline)
        except StatusError as error:
            credentials = policy.site.credentials if policy.site else None
            refused = error.authorization if error.status == 401 else None
            # The token may have run out; if there is another one, try again with it.
            if (
                credentials is None
                or refused is None
                or credentials.header(deadline, refused=refused) == refused
            ):
                raise
            return self._fetched(key, policy, entry, deadline)

    def _fetched(
        self, key: str, policy: RequestPolicy, entry: Entry | None, deadline: float
    ) -> MediaFile:
        permit = partial(policy.permit, deadline=deadline)
        known = entry.validators if entry else None
        if self._cache:
            try:
                with self._cache.incoming() as incoming:
                    found = self._downloader.get(policy.start, permit, deadline, incoming, known)
                    if found is not None:
                        return self._cache.keep(key, incoming, found)
                assert entry is not None  # only its validators can have been current
                self._cache.confirm(key)
                return entry.file
            except OSError as error:
                _log.warning("the media cache cannot be written: %s", error)
        incoming = Incoming(io.BytesIO())
        self._downloader.get(policy.start, permit, deadline, incoming)
        return incoming.in_memory()
