"""Write our own JSON: the whole record, an image a line."""

from __future__ import annotations

import json
from pathlib import Path

from pam_labeling.documents import entry_line
from pam_labeling.formats.dataset import Dataset, Tally


def write_document(data: Dataset, path: Path, tally: Tally) -> None:
    """Write the document of `schemas/annotations-2.json`, with the images that failed."""
    header = json.dumps(data.header, ensure_ascii=False, allow_nan=False)
    with path.open("x", encoding="utf-8") as stream:
        stream.write(f'{header[:-1]}, "images": [')
        separator = "\n"
        for entry in data.entries:
            tally.images += entry["error"] is None
            tally.regions += len(entry["regions"])
            stream.write(separator + entry_line(entry)[:-1])
            separator = ",\n"
        stream.write("\n]}\n")
