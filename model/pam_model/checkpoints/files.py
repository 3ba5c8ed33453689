"""Find a checkpoint's folder and read its untrusted JSON files, without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pam_model.errors import CheckpointError


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        CheckpointError: there is no such file, or it does not hold a JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    # RecursionError: the file is nested deeper than the parser can go.
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path}: holds {type(content).__name__}, not a JSON object")
    return content


def find_folder(folder: Path) -> Path:
    """The folder with `config.json`: `folder` itself or the only such one inside, as on the hub.

    Raises:
        CheckpointError: no folder has a `config.json`, or several have.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: no such folder")
    if (folder / "config.json").is_file():
        return folder
    inside = sorted(
        path.parent
        for path in folder.glob("*/config.json")
        if not path.parent.name.startswith("sam2")
    )
    if len(inside) != 1:
        found = ", ".join(path.name for path in inside) or "none"
        raise CheckpointError(
            f"{folder}: config.json must be in it or in one folder inside (found: {found})"
        )
    return inside[0]
