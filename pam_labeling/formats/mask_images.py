"""Write masks as indexed PNGs, with a table of what each value is.

`masks/NAME.png` has the size of the image. 0 is the background; the other values are the numbers of
the regions, from 1. Regions that overlap others are in further folders, `masks-2/NAME.png` and so
on, so that no pixel is lost. `regions.csv` says file, value, label, words and scores of each
region.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from pam_labeling.formats.dataset import Dataset, Image, Tally
from pam_labeling.formats.shapes import mask_of
from pam_labeling.formats.tables import RegionTable

_Layer = npt.NDArray[np.uint16]


def write_masks(data: Dataset, path: Path, tally: Tally) -> None:
    """Write the PNGs of each image and `regions.csv`."""
    palette = _palette()
    with RegionTable(path / "regions.csv", data, ("mask", "value")) as table:
        for image in data.images():
            tally.images += 1
            for number, layer in enumerate(_layers(image, table, tally), start=1):
                target = path / _file(image, number)
                target.parent.mkdir(parents=True, exist_ok=True)
                if layer.max() > 255:
                    PillowImage.fromarray(layer).save(target)  # grey of 16 bits
                    continue
                picture = PillowImage.fromarray(layer.astype(np.uint8))
                picture.putpalette(palette)
                picture.save(target)


def _file(image: Image, layer: int) -> str:
    folder = "masks" if layer == 1 else f"masks-{layer}"
    return f"{folder}/{image.stem}.png"


def _layers(image: Image, table: RegionTable, tally: Tally) -> list[_Layer]:
    """Arrays of region numbers, uint16 `(height, width)`; no two regions overlap in one."""
    width, height = image.size
    layers: list[_Layer] = [np.zeros((height, width), np.uint16)]
    for number, region in enumerate(image.regions, start=1):
        mask = mask_of(region, image.size)
        if mask is None or not mask.any():
            tally.left_out += 1
            table.add(image, region)
            continue
        tally.regions += 1
        free = (index for index, layer in enumerate(layers) if not layer[mask].any())
        index = next(free, len(layers))
        if index == len(layers):
            layers.append(np.zeros((height, width), np.uint16))
        layers[index][mask] = number
        table.add(image, region, mask=_file(image, index + 1), value=number)
    return layers


def _palette() -> list[int]:
    """Black for the background, and colours whose neighbours differ."""
    colours = [0, 0, 0]
    for index in range(255):
        parts = colorsys.hsv_to_rgb((index * 0.618034) % 1.0, 0.75, 0.95)
        colours += [round(part * 255) for part in parts]
    return colours
