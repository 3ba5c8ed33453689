"""How well images outside nano's drawn world are told: `python -m benchmarks.nano_world FILES`.

The files are photographs, or videos of which every tenth frame is taken; 200 drawn scenes and 100
flat images, with which nano was neither trained nor measured, stand against them.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.table import Table

from pam_model import PAM
from pam_model.nano.flat import draw_flat_image
from pam_model.nano.outside import FAR, distance
from pam_model.nano.world import HELD_OUT_SEED, render_scene

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

SEEDS = range(HELD_OUT_SEED + 40_000_000, HELD_OUT_SEED + 40_000_200)


def frames(file: str) -> Iterator[npt.NDArray[np.uint8]]:
    """An image, or every tenth frame of a video, as RGB pixels."""
    capture = cv2.VideoCapture(file)
    number = 0
    while (read := capture.read())[0]:
        if number % 10 == 0:
            yield np.asarray(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB), dtype=np.uint8)
        number += 1


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*")
    parser.add_argument("--device")
    chosen = parser.parse_args()
    pam = PAM.from_pretrained("nano", device=chosen.device)
    sources: dict[str, Iterable[npt.NDArray[np.uint8]]] = {
        "drawn scenes": (render_scene(seed).image for seed in SEEDS),
        "flat images": (draw_flat_image(seed).image for seed in SEEDS[:100]),
        **{file: frames(file) for file in chosen.files},
    }
    table = Table("images", "number", "told as outside", "distance, from", "to")
    for name, images in sources.items():
        far = np.array([distance(pam.encode(image)) for image in images])
        ends = (f"{far.min():.2f}", f"{far.max():.2f}") if len(far) else ("", "")
        table.add_row(name, str(len(far)), str(int((far > FAR).sum())), *ends)
    Console().print(table)


if __name__ == "__main__":
    main()
