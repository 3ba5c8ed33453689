"""From what task data holds in the place of an image to the image's bytes, safely.

**What it may be.** Label Studio's own `/data/upload/...` and `/data/local-files/?d=...`; `s3://`,
`gs://` and `azure-blob://`, which Label Studio resolves, and the `/tasks/1/resolve/?fileuri=...`
that it makes of them; http(s) addresses in Label Studio or on allowed hosts; `data:` URIs. Paths on
a disk, `file://` and everything else are refused.

**Who is trusted.** Anybody who reaches this backend can post a task, and claim in `/setup` to be
any Label Studio: neither is authenticated unless Basic Auth is set. So

- the administrator's token (`api_key`) is sent to the administrator's `label_studio_url` only, and
  there only to the addresses that serve images;
- a token that came with a request is sent to the Label Studio that the same request names, and only
  if that is the configured one, or none is configured and the address rules allow it;
- where a Label Studio is configured, the one that a request names is only a second name for it: its
  addresses are looked up in the configured one. Else it is a stranger, and must be public;
- a redirect is judged like a new address. Label Studio may redirect to any public host (that is
  how presigned links work); others only to allowed ones. Tokens do not go along, and nothing goes
  from https to http, unless to an allowed host.

`addresses` says which IP addresses that comes down to. Proxies are not used, whatever the
environment says: a proxy would look the names up itself.

**What is kept.** A cached file belongs to the Label Studio and the token it was fetched with;
another token has to ask Label Studio itself. An upload never changes in Label Studio and is kept
for a day; everything else is asked for again after five minutes (by ETag, where there is one).
"""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path

from label_studio_backend.media.downloads import Downloader, Hop, StatusError, Validators
from label_studio_backend.media.inline_media import image_text, read_data_uri, read_local_file
from label_studio_backend.media.label_studio_site import (
    LabelStudioSite,
    base_address,
    resolving_path,
)
from label_studio_backend.media.media_cache import MediaCache, cache_key
from label_studio_backend.media.tokens import Credentials
from label_studio_backend.media.urls import AllowedHosts, MediaError, Reach, WebAddress

__all__ = ["Access", "MediaError", "MediaSettings", "TaskMedia"]

UPLOAD_SECONDS = 24 * 3600.0
OTHER_SECONDS = 300.0

_CLOUD = ("s3", "gs", "azure-blob")
_MAX_CREDENTIALS = 256
_LOCAL_FILES = "/data/local-files"


def ca_bundle() -> Path | None:
    """The certificates, a file or a folder, that REQUESTS_CA_BUNDLE of the environment names."""
    name = os.environ.get("REQUESTS_CA_BUNDLE")
    return Path(name) if name else None


@dataclass(frozen=True)
class Access:
    """The Label Studio that asks, as its request says: nobody has verified it.

    Attributes:
        host: its address, `hostname` of `/setup`.
        token: `access_token` of `/setup`.
    """

    host: str | None = None
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class MediaSettings:
    """Where images may come from, and how much of them.

    Attributes:
        label_studio_url: the Label Studio, as this machine reaches it; with its path, if it is
            served below one. It may have a private or loopback address.
        api_key: a legacy or personal access token for it.
        allowed_hosts: see `AllowedHosts`. Hosts named exactly may have private addresses.
        local_files_root: the folder of Label Studio's local files, to read them from the disk
            instead of asking Label Studio. Nobody's rights are checked then.
        timeout: seconds for one image, with redirects and tokens (a slow DNS server apart).
        max_bytes: of one image file.
        cache_dir: where files are kept; None for nowhere.
        cache_bytes: how much of them; 0 for nothing.
        ca_bundle: certificates of authorities to trust instead of the usual ones, a file or a
            folder; what REQUESTS_CA_BUNDLE of the environment names by default.

    Raises:
        MediaError: an address or host that is not understood, a token without an address, or no
            such file of certificates.
    """

    label_studio_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    allowed_hosts: tuple[str, ...] = ()
    local_files_root: Path | None = None
    timeout: float = 30.0
    max_bytes: int = 256 << 20
    cache_dir: Path | None = None
    cache_bytes: int = 4 << 30
    ca_bundle: Path | None = field(default_factory=ca_bundle)

    def __post_init__(self) -> None:
        if self.ca_bundle is not None and not self.ca_bundle.exists():
            raise MediaError(f"REQUESTS_CA_BUNDLE names {self.ca_bundle}, which is not there")
        AllowedHosts(self.allowed_hosts)
        if self.label_studio_url:
            base_address(self.label_studio_url, "LABEL_STUDIO_URL")
        elif self.api_key:
            raise MediaError(
                "LABEL_STUDIO_API_KEY is set without LABEL_STUDIO_URL: set the address too, "
                "because the key is never sent to another one"
            )


class TaskMedia:
    """Fetches the images of tasks. Safe for many threads; see the top of the module.

    Args:
        settings: where from, and how much.
    """

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._allowed = AllowedHosts(settings.allowed_hosts)
        self._downloader = Downloader(settings.max_bytes, settings.ca_bundle)
        self._cache = None
        if settings.cache_dir and settings.cache_bytes:
            self._cache = MediaCache(settings.cache_dir, settings.cache_bytes)
        self._credentials: OrderedDict[tuple[str, str], Credentials] = OrderedDict()
        self._coming: dict[str, Future[bytes]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Close the connections that are kept for the next image."""
        self._downloader.close()

    def image(self, value: object, access: Access, task_id: object = None) -> bytes:
        """The content of an image file.

        Args:
            value: what task data holds for the image tag.
            access: of the request that the task came with.
            task_id: the task's id, which cloud addresses (`s3://...`) need.

        Raises:
            MediaError: it cannot or may not be had; a sentence that says why.
        """
        text = image_text(value)
        if text[:5].lower() == "data:":
            return read_data_uri(text, self._settings.max_bytes)
        site = self._site(access)
        address = self._address(text, site, task_id)
        if site is not None and site.owns(address):
            root, path = self._settings.local_files_root, site.path_of(address)
            if root is not None and path.rstrip("/") == _LOCAL_FILES:
                return read_local_file(root, address, self._settings.max_bytes)
        owned = site is not None and site.owns(address)
        self._hop(address, None, site, None, vouched=owned)  # before the cache is asked
        return self._shared(address, site)

    def _site(self, access: Access) -> LabelStudioSite | None:
        settings = self._settings
        claimed, complaint = None, None
        if access.host:
            try:
                claimed = base_address(access.host, "the host name that Label Studio sent")
            except MediaError as error:
                complaint = error
        if settings.label_studio_url:
            base = base_address(settings.label_studio_url, "LABEL_STUDIO_URL")
            reach = Reach.PRIVATE
            token = settings.api_key or (access.token if claimed == base else None)
        elif claimed:
            base, reach = claimed, self._allowed.reach(claimed) or Reach.PUBLIC
            token = access.token
        elif complaint:
            raise complaint
        else:
            return None
        rights = cache_key(base.url, token or "")
        # A stranger cannot rename an allowed host to Label Studio.
        other = claimed is not None and claimed != base and not self._allowed.reach(claimed)
        alias = claimed if other else None
        return LabelStudioSite(base, reach, self._known(base, reach, token), rights, alias)

    def _known(self, base: WebAddress, reach: Reach, token: str | None) -> Credentials | None:
        if not token:
            return None
        refreshing = replace(base, path=f"{base.path}/api/token/refresh/")

        def refresh(refresh_token: str, deadline: float) -> str:
            try:
                answer = self._downloader.post_json(
                    refreshing, reach, {"refresh": refresh_token}, deadline
                )
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
            credentials = self._credentials.get((base.url, token))
            if credentials is None:
                credentials = self._credentials[base.url, token] = Credentials(token, refresh)
            self._credentials.move_to_end((base.url, token))
            if len(self._credentials) > _MAX_CREDENTIALS:
                self._credentials.popitem(last=False)
            return credentials

    def _address(self, text: str, site: LabelStudioSite | None, task_id: object) -> WebAddress:
        scheme = text.partition("://")[0].lower() if "://" in text.split("?", 1)[0] else ""
        if scheme in ("http", "https"):
            address = WebAddress.parse(text)
            return site.adopted(address) if site else address
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
                "the image is in Label Studio, but where that is, is not known: "
                "set LABEL_STUDIO_URL (and LABEL_STUDIO_API_KEY) for this backend"
            )
        if scheme:
            return site.at(resolving_path(text, task_id))
        address = site.at(text)
        if not site.serves(address):
            raise MediaError(
                f"{address} is not where Label Studio has images (/data/upload/..., "
                "/data/local-files/?d=..., /tasks/.../resolve/); files on a disk are not read: "
                "upload them, or connect their folder to the project as local storage"
            )
        return address

    def _hop(
        self,
        address: WebAddress,
        previous: WebAddress | None,
        site: LabelStudioSite | None,
        deadline: float | None,
        *,
        vouched: bool,
    ) -> Hop:
        """Judge one request. Without a deadline no token is asked for.

        `vouched`: the download began in Label Studio. Others cannot redirect into it with a token:
        what came would be kept for everybody.
        """
        if site is not None and site.owns(address):
            path = site.path_of(address)
            if previous is not None and path.startswith("/user/login"):
                raise MediaError(
                    f"{site.base} wants a login: set LABEL_STUDIO_API_KEY to a valid token"
                )
            header = None
            if vouched and deadline is not None and site.credentials and site.serves(address):
                header = site.credentials.header(deadline)
            return Hop(site.reach, header, label_studio=True)
        allowed = self._allowed.reach(address)
        if allowed is not None:
            return Hop(allowed)
        if previous is None or not vouched:
            raise MediaError(
                f"images are not fetched from {address.origin}: it is neither the Label Studio "
                "of this backend (LABEL_STUDIO_URL) nor an allowed host (PAM_ALLOWED_HOSTS)"
            )
        if previous.scheme == "https" and address.scheme == "http":
            raise MediaError(
                f"{previous} redirects to {address.origin}, from https to http; if that is right, "
                "add the host to PAM_ALLOWED_HOSTS"
            )
        return Hop(Reach.PUBLIC)

    def _shared(self, address: WebAddress, site: LabelStudioSite | None) -> bytes:
        """Fetch, or wait for another thread that fetches the same with the same rights."""
        rights = site.rights if site and site.owns(address) else ""
        key = cache_key(rights, address.url)
        with self._lock:
            coming = self._coming.get(key)
            mine = coming is None
            if coming is None:
                coming = self._coming[key] = Future()
        if not mine:
            try:
                return coming.result()
            except MediaError as error:
                # Its own object: a traceback is not shared between threads.
                raise MediaError(str(error)) from error
        try:
            content = self._cached(key, address, site)
        except BaseException as error:
            coming.set_exception(error)
            raise
        else:
            coming.set_result(content)
            return content
        finally:
            with self._lock:
                del self._coming[key]

    def _cached(self, key: str, address: WebAddress, site: LabelStudioSite | None) -> bytes:
        kept = self._cache.get(key) if self._cache else None
        lasting = UPLOAD_SECONDS if site and site.uploaded(address) else OTHER_SECONDS
        if kept is not None and kept.age < lasting:
            return kept.content
        deadline = time.monotonic() + self._settings.timeout
        validators = kept.validators if kept else None
        try:
            content, validators = self._fetched(address, site, validators, deadline)
        except StatusError as error:
            if not _worth_a_retry(error, site, deadline):
                raise
            content, validators = self._fetched(address, site, validators, deadline)
        if self._cache and content is None:
            self._cache.confirm(key)
        elif self._cache and content is not None:
            self._cache.put(key, content, validators)
        if content is None:
            assert kept is not None
            return kept.content
        return content

    def _fetched(
        self,
        address: WebAddress,
        site: LabelStudioSite | None,
        validators: Validators | None,
        deadline: float,
    ) -> tuple[bytes | None, Validators]:
        vouched = site is not None and site.owns(address)

        def route(address: WebAddress, previous: WebAddress | None) -> Hop:
            return self._hop(address, previous, site, deadline, vouched=vouched)

        download = self._downloader.get(address, route, deadline, validators)
        return download.content, download.validators


def _worth_a_retry(error: StatusError, site: LabelStudioSite | None, deadline: float) -> bool:
    """Whether a token was refused that can be renewed."""
    if error.status != 401 or error.authorization is None:
        return False
    credentials = site.credentials if site else None
    return credentials is not None and credentials.renewed(error.authorization, deadline)
