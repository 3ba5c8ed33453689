"""The settings of the Label Studio backend; the model's own are in `pam_labeling.settings`.

If Label Studio and its ML backends have a name for a variable, it is used here.
`docs/label-studio.md` lists all variables; `scripts/settings_table.py` makes its table from here.

`WORKERS` and `MODEL_DIR` of other backends have no counterpart: one process owns the model, and
`PAM_MODEL` and the Hugging Face cache (`HF_HOME`) say where checkpoints are.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, model_validator

from label_studio_backend.config.options import split_names
from pam_labeling.environment import EnvironmentSettings, setting
from pam_labeling.errors import SettingsError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ServerSettings", "SettingsError"]

_MIB = 1 << 20
# A scheme and a host: a name, an IPv4 address, or an IPv6 address in brackets.
_WEB_ADDRESS = (
    r"(?i)^https?://([^/?#\s\[\]]*@)?(\[[0-9a-f:.]+\]|[^/?#:@\s\[\]]+)(:\d*)?([/?#]\S*)?$"
)
_DAY = 86400  # seconds
_MOST_PREDICTIONS = 200
_MOST_CORES = 1024
# Threads that neither predictions nor waiting checks can take: for health, webhook and metrics.
_SPARE_THREADS = 10


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "pam-labeling" / "media"


def _cores() -> int:
    """All but one: a second OpenMP team beside the server's own threads only spins."""
    return max(1, (os.cpu_count() or 1) - 1)


_Folder = Annotated[Path, AfterValidator(Path.expanduser)]
_Names = Annotated[tuple[str, ...], BeforeValidator(split_names)]
_Level = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR"],
    BeforeValidator(lambda level: str(level).upper()),
]


def _bytes(default: int, meaning: str, *, least: int = 0, former: str = "") -> Any:
    return setting(default, meaning, former=former, ge=least, unit="bytes")


def _seconds(default: float, meaning: str, *, least: float = 0) -> Any:
    return setting(default, meaning, ge=least, le=_DAY, unit="seconds")


class _Lines(logging.Formatter):
    """One line a record: text from outside could forge others, or colour a terminal.

    Only tracebacks have more lines, which are indented.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return _printable(super().formatMessage(record))

    def formatException(self, ei: Any) -> str:  # noqa: N802 - logging's name
        lines = super().formatException(ei).split("\n")
        return "\n".join(f"  {_printable(line)}" for line in lines)


def _printable(text: str) -> str:
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


class ServerSettings(EnvironmentSettings):
    """Where the backend listens, where images come from, and how long and how much it keeps.

    Secrets are left out of the representation.

    Raises:
        SettingsError: a value cannot be used; the message names its environment variable.
    """

    label_studio_url: str | None = setting(
        None,
        "Label Studio's address, as this machine reaches it. It may have a path, as in "
        "`https://example.org/labels`.",
        "LABEL_STUDIO_URL",
        "LABEL_STUDIO_HOST",
        pattern=_WEB_ADDRESS,
        examples=["https://labels.example.org", "http://10.0.0.7:8080"],
    )
    api_key: str | None = setting(
        None,
        "A personal access token or a legacy token to fetch Label Studio's images with.",
        "LABEL_STUDIO_API_KEY",
        repr=False,
    )
    local_files_root: _Folder | None = setting(
        None,
        "The folder of Label Studio's local files, if this machine sees it too.",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT",
    )
    basic_auth_user: str | None = setting(
        None,
        "User name that Label Studio must send, with a password. Set both or none.",
        "BASIC_AUTH_USER",
    )
    basic_auth_pass: str | None = setting(
        None, "The password.", "BASIC_AUTH_PASS", verbatim=True, repr=False
    )
    log_level: _Level = setting("INFO", "`DEBUG`, `INFO`, `WARNING` or `ERROR`.", "LOG_LEVEL")
    host: str = setting("127.0.0.1", "The address to listen on; `0.0.0.0` for all of them.")
    port: int = setting(9090, "The port to listen on.", "PORT", ge=0, le=65535)
    predictions: int = setting(
        16,
        "How many batches may run at once, and a third of the clicks; at most "
        f"{_MOST_PREDICTIONS}.",
        "THREADS",
        ge=1,
        le=_MOST_PREDICTIONS,
    )
    model_threads: int = setting(
        _cores,
        "CPU cores that the model uses.",
        "PAM_THREADS",
        usual="all cores but one",
        ge=1,
        le=_MOST_CORES,
    )
    allowed_hosts: _Names = setting((), "Further hosts that images may come from, comma-separated.")
    media_timeout: float = _seconds(30.0, "After so many seconds a download ends.", least=0.001)
    media_max_bytes: int = _bytes(256 * _MIB, "The largest image file that is fetched.", least=1)
    media_cache_dir: _Folder = setting(
        _cache_folder,
        "Where fetched images are kept, and the projects' options.",
        usual="`~/.cache/pam-labeling/media`",
    )
    media_cache_bytes: int = _bytes(4096 * _MIB, "How much of fetched images is kept on the disk.")
    image_cache_bytes: int = _bytes(
        512 * _MIB,
        "How much of decoded images is kept in memory.",
        former="PAM_PICTURE_CACHE_BYTES",
    )
    result_cache_bytes: int = _bytes(
        256 * _MIB, "How much of finished pre-annotations is kept in memory."
    )
    click_seconds: float = _seconds(60.0, "After so many seconds a click is given up.", least=0.001)
    batch_seconds: float = _seconds(
        90.0,
        "After so many seconds a batch answers with what is finished. Label Studio hangs up "
        "after 100.",
        least=0.001,
    )
    background_seconds: float = _seconds(
        3600.0, "How long the rest of such a batch continues in the background."
    )
    loading_seconds: float = _seconds(30.0, "How long a prediction waits for the model to load.")
    busy_seconds: float = _seconds(
        5.0, 'How long a request waits for its turn before the answer is "busy".'
    )
    max_body_bytes: int = _bytes(128 * _MIB, "The largest request body.", least=1)

    @model_validator(mode="after")
    def _check_basic_auth(self) -> Self:
        if bool(self.basic_auth_user) != bool(self.basic_auth_pass):
            raise ValueError("BASIC_AUTH_USER and BASIC_AUTH_PASS go together: set both or none.")
        return self

    @property
    def server_threads(self) -> int:
        """Threads of the HTTP server: for clicks, batches and checks of configs, and spare ones."""
        return 6 * self.predictions + _SPARE_THREADS

    def configure_logging(self) -> None:
        """Write the log to stderr, from `log_level` on."""
        handler = logging.StreamHandler()
        handler.setFormatter(_Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        logging.basicConfig(level=self.log_level, handlers=[handler])
