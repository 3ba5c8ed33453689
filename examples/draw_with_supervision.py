"""Read the JSON of pam-labeling with supervision, and draw masks, boxes and labels with it.

    pam-labeling annotate FOLDER --everything --output annotations.json
    python examples/draw_with_supervision.py annotations.json FOLDER DRAWINGS

Needs `pip install supervision`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import supervision as sv
from PIL import Image

from pam_labeling import read_image
from pam_labeling.masks import decode_rle


def detections(entry: dict[str, Any]) -> sv.Detections:
    """The regions of one image of the JSON; supervision needs a number for each class."""
    regions = entry["regions"]
    if not regions:
        return sv.Detections.empty()
    names = [region["label"] or "unlabelled" for region in regions]
    classes = sorted(set(names))
    return sv.Detections(
        xyxy=np.array([region["box"] for region in regions], dtype=np.float64),
        mask=np.stack([decode_rle(region["mask"]) for region in regions]),
        confidence=np.array([region["scores"]["iou"] for region in regions]),
        class_id=np.array([classes.index(name) for name in names]),
        data={"class_name": np.array(names)},
    )


def draw(document: Path, images: Path, drawings: Path) -> list[Path]:
    """Draw each image's regions; returns the files written."""
    drawings.mkdir(parents=True, exist_ok=True)
    written = []
    for entry in json.loads(document.read_text(encoding="utf-8"))["images"]:
        if entry["error"] is not None:
            print(f"{entry['file']}: {entry['error']}")
            continue
        name = Path(entry["file"]).name
        # Read the image as pam-labeling does: upright, in RGB.
        scene = Image.fromarray(read_image(images / name).pixels)
        found = detections(entry)
        for annotator in (sv.MaskAnnotator(), sv.BoxAnnotator(), sv.LabelAnnotator()):
            scene = annotator.annotate(scene=scene, detections=found)
        written.append((drawings / name).with_suffix(".png"))
        scene.save(written[-1])
        print(f"{written[-1]}: {len(found)} regions")
    return written


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    draw(*map(Path, sys.argv[1:]))
