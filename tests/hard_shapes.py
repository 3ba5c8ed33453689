"""Images whose regions, names and words are hard for formats, as entries of a document."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from pam_labeling.documents import document_header, failed_entry
from pam_labeling.masks import decode_rle, encode_rle

SIZE = (40, 30)  # width, height
HEADER = document_header(
    model="fake", language="en", tasks=["brief", "definition"], labels=["unused", "猫"]
)


def blank():
    return np.zeros(SIZE[::-1], dtype=np.bool_)


def ring():
    """A disc with two holes, one of them touching the other at a corner, and a dot in a hole."""
    rows, columns = np.indices(SIZE[::-1])
    mask = (rows - 14) ** 2 + (columns - 17) ** 2 < 140
    mask[8:16, 10:18] = False
    mask[16:20, 18:23] = False
    mask[11, 13] = True  # another part, inside the hole
    return mask


def parts():
    mask = blank()
    mask[2:6, 3:9] = True
    mask[20:28, 30:36] = True
    mask[15, 5] = True
    return mask


def pixel():
    mask = blank()
    mask[7, 31] = True
    return mask


def frame():
    """All along the border of the image."""
    mask = ~blank()
    mask[1:-1, 1:-1] = False
    return mask


def noise():
    return np.random.default_rng(3).random(SIZE[::-1]) < 0.7


def region(mask, label=None, *, prompt=None, texts=None, score=0.5):
    rows, columns = np.nonzero(mask)
    return {
        "prompt": prompt,
        "box": [
            int(columns.min()),
            int(rows.min()),
            int(columns.max()) + 1,
            int(rows.max()) + 1,
        ],
        "area": int(mask.sum()),
        "mask": encode_rle(mask),
        "label": label,
        "open_label": None,
        "scores": {"iou": score, "object": 0.9, "label": None},
        "texts": texts or {},
    }


def drawn_box(box, label=None):
    """A region of a person that is only a box."""
    x1, y1, x2, y2 = box
    return {
        "prompt": None,
        "box": list(box),
        "area": (x2 - x1) * (y2 - y1),
        "mask": None,
        "label": label,
        "open_label": None,
        "scores": {},
        "texts": {},
    }


def drawn_outline(points, label=None):
    """A region of a person that is an outline."""
    xs, ys = zip(*points, strict=True)
    box = (min(xs), min(ys), max(xs), max(ys))
    return drawn_box(box, label) | {"polygons": [[list(point) for point in points]]}


def entry(file, regions, size=SIZE):
    return {
        "file": str(file),
        "width": size[0],
        "height": size[1],
        "regions": regions,
        "refusals": [],
        "note": None,
        "error": None,
    }


def hard_entries(folder):
    """Entries of images, which are written into the folder; some in folders of it."""
    caption = {"brief": '=1+1, "so to say"\nin two lines', "definition": "一个盘子"}
    entries = [
        entry(folder / "a.png", [region(ring(), 'cup, "big"', texts=caption), region(parts())]),
        entry(folder / "b c" / "a.png", [region(pixel(), "猫"), region(frame(), "猫", score=0.25)]),
        entry(folder / "名字" / "a.png", [region(noise(), "-dash"), region(ring(), "猫")]),
        entry(folder / "名字" / "empty.png", []),
        failed_entry(str(folder / "broken.png"), ValueError("damaged")),
    ]
    for one in entries:
        if one["error"] is None:
            draw(one["file"])
    return entries


def draw(file):
    Path(file).parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE, (90, 120, 150)).save(file)


def masks_of(one):
    return [decode_rle(region["mask"]) for region in one["regions"]]
