"""Measure the speed of Label Studio's run lengths, both ways, against label_studio_sdk.

`python benchmarks/label_studio_rle.py [--largest 4096x3072]`. Both sides get the same masks in
turns in one process, and must agree in every number of the run lengths and every pixel of the
masks. The SDK takes about a minute for one ragged mask of 4096 x 3072, and minutes for white noise.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import cv2
import numpy as np
from label_studio_sdk.converter import brush
from rich.console import Console
from rich.table import Table

from pam_labeling.formats import brush_rle as rle

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    Mask = npt.NDArray[np.bool_]

SMALL = (1024, 1024)
SEED = 3


class Row(NamedTuple):
    """The median seconds for one mask, ours and the SDK's."""

    mask: str
    size: str
    runs: int
    encode: tuple[float, float]
    decode: tuple[float, float]


def ellipse(width: int, height: int) -> Mask:
    """A smooth mask, half as wide and high as the image, bool `(height, width)`."""
    y, x = np.ogrid[:height, :width]
    return (x / width - 0.5) ** 2 + (y / height - 0.5) ** 2 < 0.25**2


def ragged(width: int, height: int) -> Mask:
    """Noise, blurred over 5 x 5 pixels and cut at its mean: blobs with ragged edges."""
    noise = np.random.default_rng(SEED).random((height, width), dtype=np.float32)
    return cv2.blur(noise, (5, 5)) > 0.5


def white_noise(width: int, height: int) -> Mask:
    """Every pixel is random, so half of the pixels end a run: the most ragged mask."""
    return np.random.default_rng(SEED).random((height, width), dtype=np.float32) > 0.5


MASKS = {"ellipse": ellipse, "ragged": ragged, "white noise": white_noise}


def sdk_encode(mask: Mask) -> list[int]:
    """Encode a mask as label_studio_sdk does."""
    write: Callable[[npt.NDArray[np.uint8]], list[int]] = brush.mask2rle
    return write(mask.astype(np.uint8) * 255)


def sdk_decode(numbers: list[int], width: int, height: int) -> Mask:
    """Decode a mask as label_studio_sdk does: the pixels with an alpha above 0."""
    values: npt.NDArray[np.uint8] = brush.decode_rle(numbers)
    return values.reshape(height, width, 4)[:, :, 3] > 0


def in_turns(repeats: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> Any:
    """The results and the median seconds of two calls, `((result, result), (ours, theirs))`."""
    seconds: tuple[list[float], list[float]] = ([], [])
    results: list[Any] = [None, None]
    for _ in range(repeats):
        for side, call in enumerate((ours, theirs)):
            start = time.perf_counter()
            results[side] = call()
            seconds[side].append(time.perf_counter() - start)
    return tuple(results), (statistics.median(seconds[0]), statistics.median(seconds[1]))


def measure(name: str, width: int, height: int, repeats: int) -> Row:
    """Measure both directions for one mask.

    Raises:
        SystemExit: the two sides do not agree.
    """
    mask = MASKS[name](width, height)
    rle.decode(rle.encode(mask[:64]), size=(width, 64))  # warm
    (numbers, expected), encode = in_turns(
        repeats, lambda: rle.encode(mask), lambda: sdk_encode(mask)
    )
    if numbers != expected:
        raise SystemExit(f"{name}: the run lengths differ from those of label_studio_sdk")
    (ours, theirs), decode = in_turns(
        repeats,
        lambda: rle.decode(numbers, size=(width, height)),
        lambda: sdk_decode(numbers, width, height),
    )
    if not (np.array_equal(ours, theirs) and np.array_equal(ours, mask)):
        raise SystemExit(f"{name}: the mask differs from that of label_studio_sdk")
    flat = mask.ravel()
    runs = 1 + int(np.count_nonzero(flat[1:] != flat[:-1]))
    return Row(name, f"{width} x {height}", runs, encode, decode)


def machine() -> str:
    """The processor, the number of cores that this process may use, the load and versions."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{_processor()}, {cores} cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, numpy {np.__version__}"
    )


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def size(text: str) -> tuple[int, int]:
    """`4096x3072` as width and height."""
    width, _, height = text.partition("x")
    return int(width), int(height)


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--largest", type=size, default=(4096, 3072), metavar="WIDTHxHEIGHT")
    parser.add_argument("--masks", nargs="+", choices=list(MASKS), default=["ellipse", "ragged"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, default=None, help="write the numbers here")
    options = parser.parse_args()
    console = Console(width=110)
    place = machine()
    rows = []
    for width, height in dict.fromkeys([SMALL, options.largest]):
        for name in options.masks:
            with console.status(f"{name}, {width} x {height}"):
                rows.append(measure(name, width, height, options.repeats))
    columns = (
        "mask",
        "size",
        "runs",
        "encode ms",
        "SDK ms",
        "times",
        "decode ms",
        "SDK ms",
        "times",
    )
    table = Table(title=f"Label Studio's run lengths, compared with label_studio_sdk\n{place}")
    for column in columns:
        table.add_column(column, justify="left" if column in {"mask", "size"} else "right")
    for row in rows:
        cells = [row.mask, row.size, f"{row.runs:,}"]
        for ours, theirs in (row.encode, row.decode):
            cells += [f"{1000 * ours:.1f}", f"{1000 * theirs:.1f}", f"{theirs / ours:.0f}"]
        table.add_row(*cells)
    console.print(table)
    if options.json:
        numbers = {"machine": place, "rows": [row._asdict() for row in rows]}
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
