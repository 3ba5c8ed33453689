"""The backend's settings, from the environment; the model's own are in `pam_labeling.settings`.

The names are those that Label Studio and its ML backends use, where they have one:

    LABEL_STUDIO_URL            the Label Studio that asks, as this machine reaches it
    LABEL_STUDIO_HOST           the same, where LABEL_STUDIO_URL is not set
    LABEL_STUDIO_API_KEY        a legacy token or a personal access token, to fetch its images
    LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT
                                the folder of its local files, where this machine sees it too
    BASIC_AUTH_USER             a name and a password that Label Studio must give (both or none)
    BASIC_AUTH_PASS
    LOG_LEVEL                   DEBUG, INFO (default), WARNING or ERROR
    PORT                        where to listen; 9090
    THREADS                     how many clicks may be under way at once, and how many batches; 16,
                                at most 200
    PAM_HOST                    the address to listen on; 127.0.0.1, and 0.0.0.0 for all of them
    PAM_THREADS                 cores that the model computes with on the CPU; all but one
    PAM_ALLOWED_HOSTS           further hosts that images may come from, comma-separated
    PAM_MEDIA_TIMEOUT           seconds in which an image must have come; 30
    PAM_MEDIA_MAX_BYTES         the largest image file that is fetched; 256 MiB
    PAM_MEDIA_CACHE_DIR         where fetched images and the projects' options are kept; the
                                user's cache folder
    PAM_MEDIA_CACHE_BYTES       how much of them is kept on the disk; 4 GiB
    PAM_IMAGE_CACHE_BYTES     how much of decoded images is kept in memory; 512 MiB
    PAM_RESULT_CACHE_BYTES      how much of finished pre-annotations is kept in memory; 256 MiB
    PAM_CLICK_SECONDS           after which a click is given up; 60
    PAM_BATCH_SECONDS           after which a batch answers with what is finished; 90, because
                                Label Studio hangs up after 100
    PAM_BACKGROUND_SECONDS      how long the rest of such a batch goes on afterwards; 3600
    PAM_LOADING_SECONDS         how long a prediction waits for the model to load; 30
    PAM_BUSY_SECONDS            how long a prediction waits for its turn before "busy"; 5
    PAM_MAX_BODY_BYTES          the largest request body; 256 MiB

`WORKERS` and `MODEL_DIR` of other backends have no counterpart: one process owns the model, and
checkpoints are where `PAM_MODEL` and the Hugging Face cache (`HF_HOME`) say.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pam_labeling.environment import EnvironmentSettings, from_variables
from pam_labeling.errors import SettingsError

if TYPE_CHECKING:
    from label_studio_backend.media.task_media import MediaSettings

__all__ = ["ServerSettings", "SettingsError"]

_MIB = 1 << 20
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# Their threads must be fewer than the connections that the server takes.
_MOST_PREDICTIONS = 200
_MOST_CORES = 1024
# Threads that predictions can never take: for health, setup, webhook and metrics.
_SPARE_THREADS = 8


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pam-labeling" / "media"


def _cores() -> int:
    """All but one: a second OpenMP team beside the server's own threads only spins."""
    return max(1, (os.cpu_count() or 1) - 1)


@dataclass(frozen=True)
class ServerSettings(EnvironmentSettings):
    """See the list at the top of the module. Every value is checked when an object is made.

    Secrets are left out of the representation.

    Raises:
        SettingsError: a value that cannot be used; the message names its environment variable.
    """

    label_studio_url: str | None = field(
        default=None, metadata=from_variables("LABEL_STUDIO_URL", "LABEL_STUDIO_HOST")
    )
    api_key: str | None = field(
        default=None, repr=False, metadata=from_variables("LABEL_STUDIO_API_KEY")
    )
    local_files_root: Path | None = field(
        default=None, metadata=from_variables("LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")
    )
    basic_auth_user: str | None = field(default=None, metadata=from_variables("BASIC_AUTH_USER"))
    basic_auth_pass: str | None = field(
        default=None, repr=False, metadata=from_variables("BASIC_AUTH_PASS", verbatim=True)
    )
    log_level: str = field(default="INFO", metadata=from_variables("LOG_LEVEL"))
    host: str = "127.0.0.1"
    port: int = field(default=9090, metadata=from_variables("PORT"))
    predictions: int = field(default=16, metadata=from_variables("THREADS"))
    model_threads: int = field(default_factory=_cores, metadata=from_variables("PAM_THREADS"))
    allowed_hosts: tuple[str, ...] = ()
    media_timeout: float = 30.0
    media_max_bytes: int = 256 * _MIB
    media_cache_dir: Path = field(default_factory=_cache_folder)
    media_cache_bytes: int = 4096 * _MIB
    image_cache_bytes: int = 512 * _MIB
    result_cache_bytes: int = 256 * _MIB
    click_seconds: float = 60.0
    batch_seconds: float = 90.0
    background_seconds: float = 3600.0
    loading_seconds: float = 30.0
    busy_seconds: float = 5.0
    max_body_bytes: int = 256 * _MIB

    def __post_init__(self) -> None:
        _check_url(self.label_studio_url)
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise SettingsError("BASIC_AUTH_USER and BASIC_AUTH_PASS go together: set both or none")
        object.__setattr__(self, "log_level", self.log_level.upper())
        self._require_one_of(_LOG_LEVELS, "log_level")
        self._require_range(0, 65535, "port")
        self._require_range(1, _MOST_PREDICTIONS, "predictions")
        self._require_range(1, _MOST_CORES, "model_threads")
        self._require_range(1, None, "media_max_bytes", "max_body_bytes")
        self._require_range(0, None, "media_cache_bytes", "image_cache_bytes", "result_cache_bytes")
        self._require_range(0.001, 86400, "media_timeout", "click_seconds", "batch_seconds")
        self._require_range(0, 86400, "background_seconds", "loading_seconds", "busy_seconds")

    @property
    def server_threads(self) -> int:
        """Threads of the HTTP server: for clicks, batches, as many that wait, and spare ones."""
        return 4 * self.predictions + _SPARE_THREADS

    @property
    def media(self) -> MediaSettings:
        """The part that fetching images needs."""
        from label_studio_backend.media.task_media import MediaSettings  # noqa: PLC0415 - loads requests

        return MediaSettings(
            label_studio_url=self.label_studio_url,
            api_key=self.api_key,
            allowed_hosts=self.allowed_hosts,
            local_files_root=self.local_files_root,
            timeout=self.media_timeout,
            max_bytes=self.media_max_bytes,
            cache_dir=self.media_cache_dir,
            cache_bytes=self.media_cache_bytes,
        )

    def configure_logging(self) -> None:
        """Write the log to the standard error, from `log_level` on."""
        logging.basicConfig(
            level=self.log_level, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
        )


def _check_url(url: str | None) -> None:
    if url is None:
        return
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        good = False
    if not good:
        raise SettingsError(
            "LABEL_STUDIO_URL is an address like https://labels.example.org, "
            f"with http:// or https:// in front, not {url!r}"
        )
