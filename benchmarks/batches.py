"""Images per second through the annotator: `python -m benchmarks.batches [--random PAM-3B]`.

Each JPEG file has some boxes; each box gets a mask and one answer. The files are annotated one by
one, and as one batch, whose equal steps are joined. With random weights, every answer has its full
length and every box has an object. Absolute numbers on an idle GPU are therefore those of a model
that gives an answer of `--tokens` tokens about each region.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.model import random_pam
from pam_labeling import Annotator, Prompt, Request
from pam_model import PAM, GenerationOptions, Question, Task
from pam_model.nano.world import HELD_OUT_SEED, render_scene

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pam_model import ImageFeatures, Segments

_QUESTION = (Question(Task.BRIEF),)


class EverythingIsThere(PAM):
    """A PAM in which each prompt finds an ellipse, because random weights find no object."""

    def segment(self, features: ImageFeatures, prompts: Sequence[Prompt]) -> Segments:
        """Like PAM's, but with other masks and object scores."""
        found = super().segment(features, prompts)
        side = found.mask_logits.shape[-1]
        steps = torch.linspace(-1, 1, side, device=found.mask_logits.device)
        ellipse = 0.2 - steps[:, None] ** 2 - 2 * steps[None, :] ** 2  # [4 h, 4 w]
        return replace(
            found,
            object_scores=np.full(len(prompts), 4.0, np.float32),
            mask_logits=ellipse.expand_as(found.mask_logits),
        )


def write_images(folder: Path, count: int, size: tuple[int, int]) -> list[Path]:
    """Write JPEGs of `size` (width, height), each different from the others."""
    drawn = [cv2.resize(render_scene(HELD_OUT_SEED + n).image, size) for n in range(8)]

    def write(number: int) -> Path:
        pixels = drawn[number % len(drawn)]
        noise = np.random.default_rng(number).integers(0, 30, pixels.shape, dtype=np.uint8)
        noisy = np.maximum(pixels, noise)
        path = folder / f"{number:05}.jpg"
        cv2.imwrite(str(path), noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])
        return path

    with ThreadPoolExecutor() as threads:
        return list(threads.map(write, range(count)))


def request(path: Path, regions: int, tokens: int, size: tuple[int, int]) -> Request:
    """A request with boxes side by side."""
    width = size[0] / (regions + 1)
    boxes = [
        Prompt.from_box((width * n, size[1] * 0.2, width * (n + 1), size[1] * 0.8))
        for n in range(regions)
    ]
    return Request(path, tuple(boxes), _QUESTION, generation=GenerationOptions(tokens))


def measure(pam: PAM, requests: Sequence[Request], few: int) -> dict[str, float]:
    """Measure images per second: `few` requests one by one, then all requests as a batch."""
    numbers: dict[str, float] = {}
    with Annotator(pam, cache_bytes=0) as annotator:
        for warm in annotator.annotate_many(requests[:24]):  # to record the graphs
            if warm.error is not None:
                raise warm.error
        annotator.annotate(requests[0])
        begin = time.perf_counter()
        for one in requests[:few]:
            annotator.annotate(one)
        numbers["one by one"] = few / (time.perf_counter() - begin)
        begin = time.perf_counter()
        told = [time.perf_counter() for outcome in annotator.annotate_many(requests)]
        numbers["as a batch"] = len(requests) / (told[-1] - begin)
    pauses = np.diff([begin, *told])
    numbers["longest pause between two images, s"] = float(pauses.max())
    numbers["median pause, s"] = statistics.median(pauses.tolist())
    return numbers


def main() -> None:
    """Measure, print a table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano", help="a checkpoint, as for PAM.from_pretrained")
    parser.add_argument("--random", default=None, help="PAM-1.5B or PAM-3B, with random weights")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--few", type=int, default=24, help="how many of them one by one")
    parser.add_argument("--regions", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--size", type=int, nargs=2, default=(1920, 1080))
    parser.add_argument("--json", type=Path, default=None, help="write the numbers here")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if options.random:
        random: Any = random_pam(options.random, device, torch.bfloat16)
        pam: PAM = EverythingIsThere(random.network, random.name)
    else:
        pam = PAM.from_pretrained(options.model, device=device)
    size = tuple(options.size)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_images(Path(folder), options.images, size)
        requests = [request(path, options.regions, options.tokens, size) for path in paths]
        numbers = measure(pam, requests, options.few)
    place = torch.cuda.get_device_name() if device.type == "cuda" else f"{device}"
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else 0.0
    title = f"{pam.name}, {pam.dtype}, {place}: {options.images} images of {size}, "
    title += f"{options.regions} regions, {options.tokens} tokens; peak {memory:.1f} GiB"
    table = Table("images per second", "", title=title)
    for name, value in numbers.items():
        table.add_row(name, f"{value:.2f}")
    table.add_row(
        "batch against one by one", f"{numbers['as a batch'] / numbers['one by one']:.2f}"
    )
    Console(width=110).print(table)
    if options.json:
        options.json.write_text(json.dumps({"place": place, **numbers}, indent=2) + "\n")


if __name__ == "__main__":
    main()
