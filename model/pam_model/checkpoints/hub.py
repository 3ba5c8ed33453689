"""Find a checkpoint's files: inside the package, in a folder, or on the Hugging Face hub."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from filelock import FileLock
from huggingface_hub import (
    DryRunFileInfo,
    constants,
    get_hf_file_metadata,
    hf_hub_url,
    snapshot_download,
)
from huggingface_hub.errors import (
    DryRunError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
)
from huggingface_hub.utils.sha import sha_fileobj

from pam_model.checkpoints.files import find_folder, read_json
from pam_model.errors import CheckpointError

NANO = Path(__file__).parents[1] / "nano" / "checkpoint"
_SAM2_REPOSITORY = "facebook/sam2.1-hiera-large"
_SAM2_FILE = "sam2.1_hiera_large.pt"
# Names -> (hub id, folder inside).
PUBLISHED = {
    "PAM-1.5B": ("Perceive-Anything/PAM-1.5B", "PAM-1.5B"),
    "PAM-3B": ("Perceive-Anything/PAM-3B", "PAM-3B"),
}
# Every name of a checkpoint in lower case -> the name itself. FiftyOne's zoo says pam-nano.
_USUAL = {"nano": "nano", "pam-nano": "nano", **{name.lower(): name for name in PUBLISHED}}
_FILES = ("*.json", "*.safetensors", "*merges.txt")
_LARGE = (".safetensors", ".pt")
_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
# The message for each error of huggingface_hub; the first matching row counts.
_REASONS: tuple[tuple[tuple[type[Exception], ...], str], ...] = (
    (
        (GatedRepoError,),
        (
            "its owner asks for consent: accept the terms on its page at {address}, then log in "
            "with `hf auth login`"
        ),
    ),
    ((RevisionNotFoundError,), "its repository on {address} has no such revision"),
    (
        (RepositoryNotFoundError, HFValidationError),
        "{address} has no such repository, or it is private (`hf auth login`)",
    ),
    (
        (DryRunError, LocalEntryNotFoundError, OfflineModeIsEnabled),
        (
            "{address} cannot be reached, and not all of its files are in {cache}; connect and run "
            "`pam-labeling download {name}`"
        ),
    ),
    ((HfHubHTTPError,), "{address} refused the download ({error})"),
    (
        (HTTPError, OSError),
        "{cache}: the download broke off ({error}); run it again, and it continues from there",
    ),
)
_DISK_FULL = "{cache}: the disk is full; make room, or keep the files elsewhere (HF_HUB_CACHE)"


class Source(NamedTuple):
    """Where the parts of a checkpoint are.

    Attributes:
        folder: the folder with `config.json`.
        sam2: Meta's `.pt` file if SAM 2.1 is not in the folder, else None.
        name: the checkpoint's name.
    """

    folder: Path
    sam2: Path | None
    name: str


class _Hub(NamedTuple):
    """The hub, and the cache of its files on this machine; options of `snapshot_download`."""

    cache_dir: Path
    endpoint: str | None
    local_files_only: bool


def resolve(
    name: str | Path,
    *,
    revision: str | None = None,
    cache_dir: str | Path | None = None,
    endpoint: str | None = None,
) -> Source:
    """Find a checkpoint; download it if it is not in the package, in a folder or in the cache.

    Args:
        name: "nano", "PAM-1.5B", "PAM-3B", a folder, or a hub id such as "somebody/their-pam".
        revision: a branch, tag or commit on the hub.
        cache_dir: where the hub's files are kept; by default, huggingface_hub's cache.
        endpoint: the hub's address; by default, that of huggingface.co.

    Raises:
        CheckpointError: there is no such checkpoint, or it cannot be downloaded.
    """
    name = usual_name(name)
    local = _local(name)
    if local is not None:
        return local
    cache = Path(cache_dir or constants.HF_HUB_CACHE)
    try:
        return _fetch(str(name), revision, _Hub(cache, endpoint, local_files_only=True))
    except LocalEntryNotFoundError:
        hub = _Hub(cache, endpoint, local_files_only=False)
        with _explained(str(name), hub):
            return _fetch(str(name), revision, hub)


def download(
    name: str | Path,
    *,
    cache_dir: str | Path | None = None,
    progress: bool = True,
    revision: str | None = None,
    endpoint: str | None = None,
) -> Path:
    """Download or update a checkpoint with the SAM 2.1 that it needs, and return its folder.

    An interrupted download continues where it stopped, even in another process.

    Args:
        name: as for `resolve`.
        cache_dir: where the hub's files are kept; by default, huggingface_hub's cache.
        progress: whether to show a progress bar on stderr.
        revision: a branch, tag or commit on the hub.
        endpoint: the hub's address; by default, that of huggingface.co.

    Raises:
        CheckpointError: no such checkpoint, no connection, no disk space, or no permission.
    """
    name = usual_name(name)
    local = _local(name)
    if local is not None:
        return local.folder
    hub = _Hub(Path(cache_dir or constants.HF_HUB_CACHE), endpoint, local_files_only=False)
    with _explained(str(name), hub), _progress(shown=progress):
        return _fetch(str(name), revision, hub).folder


def check_name(name: str | Path) -> None:
    """Refuse a name that no checkpoint can have; load nothing, and do not ask the hub.

    Raises:
        CheckpointError: it is neither a known name, nor a folder with a checkpoint, nor a hub id.
    """
    _local(usual_name(name))


def usual_name(name: str | Path) -> str | Path:
    """A known checkpoint's own name for any spelling: "PAM-3B" for "pam-3b" and "PAM_3B".

    Folders and hub ids stay as they are; a folder with such a name is meant itself.
    """
    known = _USUAL.get(str(name).lower().replace("_", "-"))
    return name if known is None or Path(name).is_dir() else known


def _local(name: str | Path) -> Source | None:
    """The checkpoint on this machine; None if the name is a repository of the hub."""
    if name == "nano":
        if not (NANO / "config.json").is_file():
            raise CheckpointError(f"{NANO}: this installation lacks the embedded checkpoint")
        return Source(NANO, None, "nano")
    if name in PUBLISHED:
        return None
    if name != "" and Path(name).is_dir():
        folder = find_folder(Path(name))
        return Source(folder, None, folder.resolve().name)
    if isinstance(name, str) and _HUB_ID.fullmatch(name):
        return None
    known = ", ".join(["nano", *PUBLISHED])
    raise CheckpointError(
        f"{name}: no such folder; name a folder, a hub id (owner/name) or one of {known}"
    )


def _fetch(name: str, revision: str | None, hub: _Hub) -> Source:
    repository, inside = PUBLISHED.get(name, (name, ""))
    patterns = [f"{inside}/{pattern}" if inside else pattern for pattern in _FILES]
    root = _snapshot(repository, revision, patterns, hub)
    folder = find_folder(root / inside)
    sam2 = None
    if "sam2" not in read_json(folder / "config.json"):
        sam2 = _snapshot(_SAM2_REPOSITORY, None, [_SAM2_FILE], hub) / _SAM2_FILE
        if not sam2.is_file():
            raise LocalEntryNotFoundError(f"{_SAM2_FILE} is not in the cache")
    return Source(folder, sam2, inside or name.rpartition("/")[2])


def _snapshot(repository: str, revision: str | None, patterns: list[str], hub: _Hub) -> Path:
    """Download the files of a repository that match the patterns; return their folder."""
    options: dict[str, Any] = {
        "revision": revision,
        "allow_patterns": patterns,
        **hub._asdict(),
    }
    if not hub.local_files_only:
        try:
            with _progress(shown=False):
                listing = snapshot_download(repository, dry_run=True, **options)
        except DryRunError as error:
            # The hub's own refusal says more than "the dry run failed".
            if isinstance(error.__cause__, HfHubHTTPError):
                raise error.__cause__ from None
            raise
        missing = [file for file in listing if file.will_download]
        _check_room(missing, hub.cache_dir)
        for file in missing:
            if file.filename.endswith(_LARGE):
                _download_blob(repository, file, hub)
    with _progress(shown=False):
        return Path(snapshot_download(repository, **options))


def _download_blob(repository: str, file: DryRunFileInfo, hub: _Hub) -> None:
    """Download a large file into the hub's cache, or continue an earlier download of it.

    huggingface_hub resumes after a broken connection, but starts again in a new process.
    """
    url = hf_hub_url(repository, file.filename, revision=file.commit_hash, endpoint=hub.endpoint)
    metadata = get_hf_file_metadata(url, endpoint=hub.endpoint)
    if metadata.etag is None or metadata.size is None:
        return  # huggingface_hub will say what is wrong with the answer
    blobs = _blobs(file)
    blobs.mkdir(parents=True, exist_ok=True)
    part = blobs / f"{metadata.etag}.partial"
    with FileLock(f"{part}.lock"):
        if (blobs / metadata.etag).exists():
            return
        _complete(part, metadata.location, urlsplit(url).netloc, metadata.size, file.filename)
        with part.open("rb") as stream:
            # The etag of a large file is its SHA-256; other etags say nothing about the content.
            hashed = re.fullmatch(r"[0-9a-f]{64}", metadata.etag)
            damaged = hashed and sha_fileobj(stream).hex() != metadata.etag
        if damaged:
            part.unlink()
            raise CheckpointError(
                f"{repository}: {file.filename} arrived damaged and was removed; download it again"
            )
        part.replace(blobs / metadata.etag)


def _blobs(file: DryRunFileInfo) -> Path:
    """<repository>/snapshots/<commit>/<file name> -> <repository>/blobs, where etags are names."""
    return Path(file.local_path).parents[len(Path(file.filename).parts) + 1] / "blobs"


def _complete(part: Path, location: str, hub_host: str, size: int, shown: str) -> None:
    """Append to `part` the bytes that it lacks of the file at `location`, `size` bytes in all."""
    part.touch()
    headers = build_hf_headers()
    if urlsplit(location).netloc != hub_host:
        headers.pop("authorization", None)  # the token is for the hub, not for its file servers
    with part.open("r+b") as stream:
        start = stream.seek(0, 2)
        if start > size:  # it cannot be a part of this file
            start = stream.seek(0)
            stream.truncate()
        http_get(
            location,
            stream,
            resume_size=start,
            headers=headers,
            expected_size=size,
            displayed_filename=shown,
        )


def _check_room(missing: list[DryRunFileInfo], cache_dir: Path) -> None:
    begun = {path for file in missing for path in _blobs(file).glob("*.partial")}
    needed = sum(file.file_size or 0 for file in missing)
    needed -= sum(path.stat().st_size for path in begun)
    # The cache may not exist yet: its nearest parent is on the same disk.
    place = next(path for path in (cache_dir, *cache_dir.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        raise CheckpointError(
            f"{cache_dir}: {needed / 1e9:.1f} GB are needed and {free / 1e9:.1f} GB are free; make "
            "room, or keep the files elsewhere (HF_HUB_CACHE)"
        )


@contextmanager
def _progress(*, shown: bool) -> Iterator[None]:
    """Hide huggingface_hub's progress bars unless `shown`; bars that the user hid stay hidden."""
    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()


@contextmanager
def _explained(name: str, hub: _Hub) -> Iterator[None]:
    """Turn the errors of a download into a `CheckpointError` that says what to do."""
    try:
        yield
    except (DryRunError, HFValidationError, HTTPError, OSError) as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        fitting = (text for kinds, text in _REASONS if isinstance(error, kinds))
        reason = (_DISK_FULL if full else next(fitting)).format(
            name=name, address=hub.endpoint or constants.ENDPOINT, cache=hub.cache_dir, error=error
        )
        raise CheckpointError(f"{name}: {reason}") from error
