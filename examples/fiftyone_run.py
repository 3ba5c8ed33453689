"""Caption the boxes of a FiftyOne dataset, print some captions, and undo the run.

    python examples/fiftyone_run.py [FOLDER]

Needs `pip install '.[fiftyone]'` and the plugin in FiftyOne's plugins folder (see README.md). The
images are drawn into FOLDER (`out/examples/scenes` if none is given).
"""

from __future__ import annotations

import sys
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo

from pam_labeling.command_line.demo import write_scenes


def make_dataset(folder: Path) -> fo.Dataset:
    """A dataset of drawn images with a box around each object, labelled `thing`."""
    dataset = fo.Dataset("pam-example", overwrite=True)
    for path, scene in write_scenes(folder):
        boxes = [fo.Detection.from_mask(item.mask, label="thing") for item in scene.objects]
        for box in boxes:
            box.mask = None
        dataset.add_sample(fo.Sample(filepath=path, boxes=fo.Detections(detections=boxes)))
    return dataset


def run(folder: Path) -> list[str]:
    """Caption, print some captions, undo; returns all captions."""
    dataset = make_dataset(folder)
    caption = foo.get_operator("@pam-labeling/pam/caption_regions")
    undo = foo.get_operator("@pam-labeling/pam/undo_run")

    done = caption(dataset, field="boxes", brief="caption", model="nano")
    print(f"{done['counts']['regions']} regions captioned")
    captions: list[str] = dataset.values("boxes.detections.caption", unwind=True)
    for text in captions[:3]:
        print(f"  {text}")

    undo(dataset, done["key"])
    # The attribute was new, so the undo removes it.
    assert dataset.get_field("boxes.detections.caption") is None
    print("undone: the boxes are as they were")
    dataset.delete()
    return captions


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples/scenes"))
