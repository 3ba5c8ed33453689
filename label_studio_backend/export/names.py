"""Names of files for images that tasks of Label Studio name by addresses."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

_UNSAFE = re.compile(r'[\x00-\x1f\x7f<>:"\\|?*]+')  # on some file system
_LONGEST = 200  # bytes of a part; most file systems allow 255


class FileNames:
    """Gives each address a name; no two addresses have one name.

    A name is the address's path, as `upload/7/cup.png`, which stays below the folder that it is put
    in. An address without a path, such as a `data:` URI, is called by its task.
    """

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._taken: set[str] = set()

    def name(self, address: object, task: str, ending: str = "") -> str:
        """The name for an address.

        Args:
            address: what task data holds for an image.
            task: the name for addresses without a path.
            ending: of names that have none, such as ".png".
        """
        path = _path_of(address) if isinstance(address, str) else ""
        # A `data:` URI has all of its image in it; its task is enough to know it.
        key = str(address) if path else task
        if key not in self._names:
            plain = PurePosixPath(path or task)
            if not plain.suffix:
                plain = plain.with_name(plain.name + ending)
            name, number = str(plain), 1
            while name.casefold() in self._taken:
                number += 1
                name = str(plain.with_name(f"{plain.stem}-{number}{plain.suffix}"))
            self._taken.add(name.casefold())
            self._names[key] = name
        return self._names[key]


def _path_of(address: str) -> str:
    """The path of an address as a relative path without "..", or ""."""
    if address[:5].lower() == "data:":
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    path = parts.path
    inner = parse_qs(parts.query).get("d")  # /data/local-files/?d=folder/cup.png
    if inner:
        path = inner[0]
    elif parts.scheme in ("s3", "gs", "azure-blob"):
        path = f"{parts.netloc}/{path}"
    named = [_safe(part) for part in unquote(path).removeprefix("/data/").split("/")]
    return "/".join(part for part in named if part)


def _safe(part: str) -> str:
    name = _UNSAFE.sub("_", part).strip(" .")  # "." and ".." become ""
    path = PurePosixPath(name or "x")
    stem = path.stem.encode()[: _LONGEST - len(path.suffix.encode())].decode("utf-8", "ignore")
    return f"{stem}{path.suffix}" if name else ""
