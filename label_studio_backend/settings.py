"""The backend's settings, from the environment; the model's own are in `pam_labeling.settings`.

The names are those that Label Studio and its ML backends use, where they have one:

    LABEL_STUDIO_URL            the Label Studio that asks, as this machine reaches it
    LABEL_STUDIO_HOST           the same, where LABEL_STUDIO_URL is not set
    LABEL_STUDIO_API_KEY        a legacy token or a personal access token, to fetch its pictures
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
    PAM_ALLOWED_HOSTS           further hosts that pictures may come from, comma-separated
    PAM_MEDIA_TIMEOUT           seconds in which a picture must have come; 30
    PAM_MEDIA_MAX_BYTES         the largest picture file that is fetched; 256 MiB
    PAM_MEDIA_CACHE_DIR         where fetched pictures and the projects' options are kept; the
                                user's cache folder
    PAM_MEDIA_CACHE_BYTES       how much of them is kept on the disk; 4 GiB
    PAM_PICTURE_CACHE_BYTES     how much of decoded pictures is kept in memory; 512 MiB
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
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pam_labeling.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from label_studio_backend.task_media import MediaSettings

__all__ = ["ServerSettings", "SettingsError"]

_MIB = 1 << 20
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
# Their threads must be fewer than the connections that the server takes.
_MOST_PREDICTIONS = 200
_MOST_CORES = 1024
# Threads that predictions can never take: for health, setup, webhook and metrics.
_SPARE_THREADS = 8


def _named(default: Any, *variables: str, secret: bool = False) -> Any:
    """A setting whose environment variables, the first that is set wins, are `variables`.

    A default that is a function is called for each object.
    """
    metadata = {"variables": variables}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, repr=not secret, metadata=metadata)


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pam-labeling" / "media"


def _cores() -> int:
    """All but one: a second OpenMP team beside the server's own threads only spins."""
    return max(1, (os.cpu_count() or 1) - 1)


@dataclass(frozen=True)
class ServerSettings:
    """See the list at the top of the module. Every value is checked when an object is made.

    Secrets are left out of the representation.

    Raises:
        SettingsError: a value that cannot be used; the message names its environment variable.
    """

    label_studio_url: str | None = _named(None, "LABEL_STUDIO_URL", "LABEL_STUDIO_HOST")
    api_key: str | None = _named(None, "LABEL_STUDIO_API_KEY", secret=True)
    local_files_root: Path | None = _named(None, "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")  # noqa: RUF009 - makes a field
    basic_auth_user: str | None = _named(None, "BASIC_AUTH_USER")
    basic_auth_pass: str | None = _named(None, "BASIC_AUTH_PASS", secret=True)
    log_level: str = _named("INFO", "LOG_LEVEL")
    host: str = _named("127.0.0.1", "PAM_HOST")
    port: int = _named(9090, "PORT")
    predictions: int = _named(16, "THREADS")
    model_threads: int = _named(_cores, "PAM_THREADS")
    allowed_hosts: tuple[str, ...] = _named((), "PAM_ALLOWED_HOSTS")
    media_timeout: float = _named(30.0, "PAM_MEDIA_TIMEOUT")
    media_max_bytes: int = _named(256 * _MIB, "PAM_MEDIA_MAX_BYTES")
    media_cache_dir: Path = _named(_cache_folder, "PAM_MEDIA_CACHE_DIR")  # noqa: RUF009 - makes a field
    media_cache_bytes: int = _named(4096 * _MIB, "PAM_MEDIA_CACHE_BYTES")
    picture_cache_bytes: int = _named(512 * _MIB, "PAM_PICTURE_CACHE_BYTES")
    result_cache_bytes: int = _named(256 * _MIB, "PAM_RESULT_CACHE_BYTES")
    click_seconds: float = _named(60.0, "PAM_CLICK_SECONDS")
    batch_seconds: float = _named(90.0, "PAM_BATCH_SECONDS")
    background_seconds: float = _named(3600.0, "PAM_BACKGROUND_SECONDS")
    loading_seconds: float = _named(30.0, "PAM_LOADING_SECONDS")
    busy_seconds: float = _named(5.0, "PAM_BUSY_SECONDS")
    max_body_bytes: int = _named(256 * _MIB, "PAM_MAX_BODY_BYTES")

    def __post_init__(self) -> None:
        _check_url(self.label_studio_url)
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise SettingsError("BASIC_AUTH_USER and BASIC_AUTH_PASS go together: set both or none")
        if self.log_level not in _LOG_LEVELS:
            raise SettingsError(
                f"LOG_LEVEL is one of {', '.join(_LOG_LEVELS)}, not {self.log_level!r}"
            )
        _in_range("port", self.port, 0, 65535)
        _in_range("predictions", self.predictions, 1, _MOST_PREDICTIONS)
        _in_range("model_threads", self.model_threads, 1, _MOST_CORES)
        for name in ("media_max_bytes", "max_body_bytes"):
            _in_range(name, getattr(self, name), 1)
        for name in ("media_cache_bytes", "picture_cache_bytes", "result_cache_bytes"):
            _in_range(name, getattr(self, name), 0)
        for name in ("media_timeout", "click_seconds", "batch_seconds"):
            _in_range(name, getattr(self, name), 0.001, 86_400)
        for name in ("background_seconds", "loading_seconds", "busy_seconds"):
            _in_range(name, getattr(self, name), 0, 86_400)

    @classmethod
    def from_environment(
        cls, environment: Mapping[str, str] | None = None, **overrides: Any
    ) -> ServerSettings:
        """Read the environment; `overrides` that are not None win over it.

        An empty variable counts as one that is not set.

        Args:
            environment: `os.environ` by default.
            overrides: settings by name, for example from a command line.

        Raises:
            SettingsError: a value that is not of its kind, or out of its range.
        """
        environment = os.environ if environment is None else environment
        values: dict[str, Any] = {}
        for setting in fields(cls):
            for name in setting.metadata["variables"]:
                text = environment.get(name, "")
                if setting.name != "basic_auth_pass":  # blanks may be a part of it
                    text = text.strip()
                if text:
                    values[setting.name] = _parse(setting, name, text)
                    break
        values.update({name: value for name, value in overrides.items() if value is not None})
        return cls(**values)

    @property
    def server_threads(self) -> int:
        """Threads of the HTTP server: for clicks, batches, as many that wait, and spare ones."""
        return 4 * self.predictions + _SPARE_THREADS

    @property
    def media(self) -> MediaSettings:
        """The part that fetching pictures needs."""
        from label_studio_backend.task_media import MediaSettings  # noqa: PLC0415 - loads requests

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


def _parse(setting: Field[Any], variable: str, text: str) -> Any:
    if setting.type == "int":
        return _number(variable, text, int, "a whole number")
    if setting.type == "float":
        return _number(variable, text, float, "a number of seconds")
    if setting.type.startswith("Path"):
        return Path(text).expanduser()
    if setting.type.startswith("tuple"):
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text.upper() if setting.name == "log_level" else text


def _number(variable: str, text: str, kind: type[int] | type[float], what: str) -> int | float:
    try:
        return kind(text.replace("_", ""))
    except ValueError as error:
        raise SettingsError(f"{variable} is {what}, not {text!r}") from error


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


def _in_range(name: str, value: float, low: float, high: float | None = None) -> None:
    if low <= value and (high is None or value <= high):  # a NaN is not in any range
        return
    limits = f"at least {low:g}" if high is None else f"from {low:g} to {high:g}"
    raise SettingsError(f"{_variable(name)} is {limits}, not {value:g}")


def _variable(name: str) -> str:
    [setting] = (setting for setting in fields(ServerSettings) if setting.name == name)
    variable: str = setting.metadata["variables"][0]
    return variable
