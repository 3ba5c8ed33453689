"""What task data holds in the place of an image, where it needs no network: data URIs, files."""

from __future__ import annotations

import base64
import binascii
import os
import stat
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote_to_bytes

from label_studio_backend.media.urls import MediaError, WebAddress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BLOCK = 1 << 17  # letters of a data: URI that are decoded at a time
_ALPHABET = bytes.maketrans(b"-_", b"+/")
_NO_LETTERS = b" \t\n\r\f\v="

_EXAMPLES = "such as /data/upload/1/image.jpg, s3://bucket/image.jpg or https://..."


def image_text(value: object) -> str:
    """The one text that an image's value is, without spaces around it.

    Raises:
        MediaError: it is something else, or empty.
    """
    if isinstance(value, str) and value.strip():
        return value.strip()
    if value is None or value == "":
        found = "nothing"
    elif isinstance(value, str):
        found = "only spaces"
    elif isinstance(value, list):
        found = f"a list of {len(value)}"
    else:
        found = {"dict": "an object", "bool": "true or false"}.get(type(value).__name__, "a number")
    raise MediaError(
        f"the task has {found} where the address of one image belongs, {_EXAMPLES}; "
        'check the value="$..." of the image tag against the task\'s data'
    )


def read_data_uri(text: str, max_bytes: int) -> bytes:
    """The content of a `data:` URI, base64 or percent-encoded.

    Raises:
        MediaError: damaged, empty, or larger than `max_bytes`.
    """
    begin = text.find(",") + 1  # nothing so long is copied as a whole
    if not begin:
        raise MediaError("the image is a data: URI without a comma, and so without content")
    is_base64 = text[: begin - 1].rstrip().lower().endswith(";base64")
    length = len(text) - begin
    # Before anything is copied: 4 letters are 3 bytes, or 1 if everything is percent-encoded.
    if length > 3 * max_bytes + 1024 or (is_base64 and length // 4 * 3 > 3 * max_bytes):
        raise _too_large("the image in a data: URI", max_bytes)
    try:
        blocks = _unquoted(text, begin)
        content = b"".join(_from_base64(blocks) if is_base64 else blocks)
    except (binascii.Error, UnicodeError) as error:
        raise MediaError(f"the image is a damaged data: URI ({error})") from error
    if len(content) > max_bytes:
        raise _too_large("the image in a data: URI", max_bytes)
    if not content:
        raise MediaError("the image is a data: URI without content")
    return content


def _unquoted(text: str, start: int) -> Iterator[bytes]:
    """A percent-encoded text from `start` on, in blocks between which other threads run."""
    while start < len(text):
        end = start + _BLOCK
        escape = text.rfind("%", max(start, end - 2), end)
        if escape >= 0:  # it would be cut
            end = escape + 3
        yield unquote_to_bytes(text[start:end])
        start = end


def _from_base64(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """What blocks of base64 stand for; of either alphabet, with blanks, and padded or not."""
    left = b""
    for block in blocks:
        letters = left + block.translate(_ALPHABET, delete=_NO_LETTERS)
        whole = len(letters) // 4 * 4
        left = letters[whole:]
        yield base64.b64decode(letters[:whole], validate=True)
    yield base64.b64decode(left + b"=" * (-len(left) % 4), validate=True)


def read_local_file(root: Path, address: WebAddress, max_bytes: int) -> bytes:
    """The file of `/data/local-files/?d=...`, from the folder that Label Studio serves too.

    Args:
        root: Label Studio's LOCAL_FILES_DOCUMENT_ROOT, as this machine sees it.
        address: what the task names, in Label Studio.
        max_bytes: the largest file that is read.

    Raises:
        MediaError: no `d`, not there, outside of `root` (links count as where they lead to), not
            a regular file, or too large.
    """
    name = parse_qs(address.query).get("d", [""])[0].lstrip("/")
    if not name or "\0" in name:
        raise MediaError("a local file is named as /data/local-files/?d=folder/image.jpg")
    # Of the name only this much is shown: it tells a stranger nothing that the task does not.
    shown = f"the local file {name[:200]!r}"
    try:
        # Whether something is there is only told of what is below the folder.
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise MediaError(f"{shown} is outside of LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")
        content = _read_regular_file(path, max_bytes + 1)
    except FileNotFoundError as error:
        raise MediaError(
            f"{shown} is not in LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT of this backend; set it to "
            "the folder of Label Studio, or unset it to fetch local files from Label Studio"
        ) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        reason = error.strerror if isinstance(error, OSError) else "a circle of links"
        raise MediaError(f"{shown} cannot be read ({reason})") from error
    if content is None:
        raise MediaError(f"{shown} is not a regular file")
    if len(content) > max_bytes:
        raise _too_large(shown, max_bytes)
    return content


def _read_regular_file(path: Path, max_bytes: int) -> bytes | None:
    # Neither follows a link that was put there just now, nor waits for a pipe.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(max_bytes)
    finally:
        os.close(descriptor)


def _too_large(what: str, max_bytes: int) -> MediaError:
    return MediaError(f"{what} is larger than {max_bytes:,} bytes (PAM_MEDIA_MAX_BYTES)")
