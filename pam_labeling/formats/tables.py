"""Write tables of regions: CSV for spreadsheets, Parquet for programs."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from pam_labeling.documents import ImageEntry, RegionEntry, score_of
from pam_labeling.errors import FormatError
from pam_labeling.formats.dataset import Dataset, Image, Tally

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBERS = ("score", "iou", "object", "label_fit", "x1", "y1", "x2", "y2", "area")
_PLACES = ("mask", "value", "labels", "line")  # columns of other writers
_OWN = frozenset(("image", "width", "height", *_PLACES, "label", *_NUMBERS, "open_label", "error"))
_ROW_GROUP = 500  # images; their masks are in memory together


def words_of(region: RegionEntry) -> dict[str, Any]:
    """All that is said about a region besides its label: scores, open label, texts, attributes."""
    scores = region["scores"]
    named = {
        "score": score_of(region),
        "iou": scores.get("iou"),
        "object": scores.get("object"),
        "label_fit": scores.get("label"),
        "open_label": region["open_label"],
    }
    said = region["texts"] | region.get("attributes", {})
    words = named | {_column(name): word for name, word in said.items()}
    return {name: word for name, word in words.items() if word is not None}


def _column(name: str) -> str:
    """The name of a text or attribute, which a person may have called like a column of ours."""
    return f"{name} (text)" if name in _OWN else name


class RegionTable:
    """A CSV file with a row for each region; a context manager.

    Spreadsheets take a text that begins with "=", "+", "-" or "@" for a formula, and would compute
    it: such texts begin with "'".

    Args:
        path: the file.
        data: says which texts and attributes there are.
        places: the names of columns that say where a region is in other files.
    """

    def __init__(self, path: Path, data: Dataset, places: Sequence[str] = ()) -> None:
        # Excel reads UTF-8 only with the mark.
        self._stream = path.open("x", encoding="utf-8-sig", newline="")
        said = dict.fromkeys(map(_column, (*data.text_keys, *data.attribute_keys)))
        words = ("label", *_NUMBERS, "open_label", *said)
        self._columns = ("image", "width", "height", *places, *words, "error")
        self._writer = csv.DictWriter(self._stream, self._columns)
        self._writer.writerow(dict(zip(self._columns, map(_cell, self._columns), strict=True)))

    def __enter__(self) -> RegionTable:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def add(self, image: Image, region: RegionEntry, **places: str | int) -> None:
        """Add the row of a region."""
        x1, y1, x2, y2 = region["box"]
        row = words_of(region) | {"label": region["label"], "area": region["area"]}
        row |= {"x1": x1, "y1": y1, "x2": x2, "y2": y2} | places
        self.add_row(image.name, image.size, row)

    def add_row(self, image: str, size: tuple[int | None, int | None], row: dict[str, Any]) -> None:
        """Add a row; an image without regions has one, too."""
        row = row | {"image": image, "width": size[0], "height": size[1]}
        self._writer.writerow({name: _cell(value) for name, value in row.items()})


def write_csv(data: Dataset, path: Path, tally: Tally) -> None:
    """Write a row for each region, and one for each image that failed or has no region."""
    with RegionTable(path, data) as table:
        for entry in data.entries:
            size = (entry["width"], entry["height"])
            tally.images += entry["error"] is None
            if not entry["regions"]:
                table.add_row(entry["file"], size, {"error": entry["error"]})
            for region in entry["regions"]:
                tally.regions += 1
                image = Image(entry["file"], "", "", None, (size[0] or 0, size[1] or 0), [])
                table.add(image, region)


def _cell(value: object) -> object:
    if isinstance(value, list | dict):
        value = json.dumps(value, ensure_ascii=False)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def import_pyarrow() -> ModuleType:
    """pyarrow with `pyarrow.parquet`.

    Raises:
        FormatError: it is not installed.
    """
    try:
        arrow = import_module("pyarrow")
        import_module("pyarrow.parquet")
    except ImportError as error:
        raise FormatError(
            "Parquet needs the package pyarrow: pip install 'pam-labeling[parquet]'"
        ) from error
    return arrow


def write_parquet(data: Dataset, path: Path, tally: Tally) -> None:
    """Write a row for each image, with its regions as a list of structs."""
    arrow = import_pyarrow()
    schema = _schema(arrow, data)
    with arrow.parquet.ParquetWriter(path, schema) as writer:
        for entries in _chunks(data.entries):
            for entry in entries:
                tally.images += entry["error"] is None
                tally.regions += len(entry["regions"])
            rows = [_row(entry) for entry in entries]
            writer.write_table(arrow.Table.from_pylist(rows, schema))


def _chunks(entries: Iterable[ImageEntry]) -> Iterator[list[ImageEntry]]:
    chunk: list[ImageEntry] = []
    for entry in entries:
        chunk.append(entry)
        if len(chunk) == _ROW_GROUP:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _schema(arrow: ModuleType, data: Dataset) -> Any:
    text, number = arrow.string(), arrow.float64()
    points = arrow.list_(arrow.list_(number))
    region = {
        "label": text,
        "open_label": text,
        "score": number,
        "scores": arrow.struct(dict.fromkeys(("iou", "object", "label", "score"), number)),
        "box": arrow.list_(number, 4),
        "area": number,
        "mask": arrow.struct({"size": arrow.list_(arrow.int64(), 2), "counts": text}),
        "polygons": arrow.list_(points),
        "prompt": text,
        "attributes": text,
    }
    if data.text_keys:  # a struct without fields cannot be written
        region["texts"] = arrow.struct(dict.fromkeys(data.text_keys, text))
    return arrow.schema(
        {
            "image": text,
            "width": arrow.int64(),
            "height": arrow.int64(),
            "regions": arrow.list_(arrow.struct(region)),
            "refusals": text,
            "note": text,
            "error": text,
        }
    )


def _row(entry: ImageEntry) -> dict[str, Any]:
    return {
        "image": entry["file"],
        "width": entry["width"],
        "height": entry["height"],
        "regions": [
            region
            | {
                "score": score_of(region),
                "prompt": _json(region["prompt"]),
                "attributes": _json(region.get("attributes")),
            }
            for region in entry["regions"]
        ],
        "refusals": _json(entry["refusals"] or None),
        "note": entry["note"],
        "error": entry["error"],
    }


def _json(value: object) -> str | None:
    return None if value is None else json.dumps(value, ensure_ascii=False)
