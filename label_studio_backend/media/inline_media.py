"""Images of tasks that need no network: `data:` URIs and local files."""

from __future__ import annotations

import base64
import binascii
import stat
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, unquote_to_bytes

from label_studio_backend.media.files import MediaFile
from label_studio_backend.media.urls import MediaError, Url
from pam_labeling.media import content_digest

if TYPE_CHECKING:
    from pathlib import Path

_ALPHABET = bytes.maketrans(b"-_", b"+/")
_NO_LETTERS = b" \t\n\r\f\v="

_EXAMPLES = "such as /data/upload/1/image.jpg, s3://bucket/image.jpg or https://..."


def image_text(value: object) -> str:
    """The value of an image as text, without spaces around it.

    Raises:
        MediaError: the value is not a text, or empty.
    """
    if isinstance(value, str) and value.strip():
        return value.strip()
    names = {"NoneType": "nothing", "str": "an empty text", "list": "a list", "dict": "an object"}
    found = names.get(type(value).__name__, "a number or truth value")
    raise MediaError(
        f"the task has {found} where the address of one image belongs, {_EXAMPLES}; "
        'check the value="$..." of the image tag against the task\'s data'
    )


def read_data_uri(text: str, max_bytes: int) -> MediaFile:
    """The content of a `data:` URI, base64 or percent-encoded.

    Raises:
        MediaError: the URI is damaged, empty, or larger than `max_bytes`.
    """
    head, comma, body = text.partition(",")
    if not comma:
        raise MediaError("the image is a data: URI without a comma, and so without content")
    is_base64 = head.rstrip().lower().endswith(";base64")
    # Check before decoding: 4 base64 letters are 3 bytes; a percent-encoded byte is 3 letters.
    if len(body) > 3 * max_bytes + 1024 or (is_base64 and len(body) // 4 > max_bytes):
        raise _too_large("the image in a data: URI", max_bytes)
    try:
        content = unquote_to_bytes(body)
        if is_base64:  # either alphabet, with or without blanks and padding
            letters = content.translate(_ALPHABET, delete=_NO_LETTERS)
            content = base64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True)
    except (binascii.Error, UnicodeError) as error:
        raise MediaError(f"the image is a damaged data: URI ({error})") from error
    if len(content) > max_bytes:
        raise _too_large("the image in a data: URI", max_bytes)
    if not content:
        raise MediaError("the image is a data: URI without content")
    return MediaFile(content_digest(content).hexdigest(), content, len(content))


def find_local_file(root: Path, url: Url, max_bytes: int) -> MediaFile:
    """Find the file of a URL `/data/local-files/?d=...` in the folder that Label Studio serves too.

    Args:
        root: where this machine sees Label Studio's LOCAL_FILES_DOCUMENT_ROOT.
        url: the URL in Label Studio that the task names.
        max_bytes: the largest file that is accepted.

    Raises:
        MediaError: the URL has no `d`, or the file does not exist, is outside `root` (after links
            are followed), is not a regular file, or is too large.
    """
    name = parse_qs(url.query).get("d", [""])[0].lstrip("/")
    if not name or "\0" in name:
        raise MediaError("a local file needs a URL like /data/local-files/?d=folder/image.jpg")
    # Messages show only the name from the task, so they tell a stranger nothing new.
    shown = f"the local file {name[:200]!r}"
    try:
        # Check the folder first: nobody may learn which files exist outside it.
        path = (root / name).resolve()
        if not path.is_relative_to(root.resolve()):
            raise MediaError(f"{shown} is outside LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT")
        status = path.lstat()
    except FileNotFoundError as error:
        raise MediaError(
            f"{shown} is not in this backend's LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT; set it to "
            "Label Studio's folder, or unset it to fetch local files from Label Studio"
        ) from error
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
        reason = error.strerror if isinstance(error, OSError) else "a circle of links"
        raise MediaError(f"{shown} cannot be read ({reason})") from error
    if not stat.S_ISREG(status.st_mode):
        raise MediaError(f"{shown} is not a regular file")
    if status.st_size > max_bytes:
        raise _too_large(shown, max_bytes)
    # The key comes from the file's status, so that a known file need not be read.
    version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return MediaFile(content_digest(repr(version).encode()).hexdigest(), path, status.st_size)


def _too_large(what: str, max_bytes: int) -> MediaError:
    return MediaError(f"{what} is larger than {max_bytes:,} bytes (PAM_MEDIA_MAX_BYTES)")
