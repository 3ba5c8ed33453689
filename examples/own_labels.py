"""Choose each region's label from a list of your own, with other names for the model.

    python examples/own_labels.py [FOLDER]

It draws images into FOLDER (`out/examples/scenes` if none is given) and prompts with a box for each
object.
"""

from __future__ import annotations

import sys
from pathlib import Path

from pam_labeling import Annotator, Prompt, Request, Vocabulary
from pam_labeling.command_line.demo import write_scenes
from pam_model import PAM

# The model scores the phrases; the region gets the project's label. The likeliest label wins
# unless its share among the list is below the threshold.
VOCABULARY = Vocabulary(
    labels=("cls_round", "cls_angular", "cls_other"),
    phrases={
        "cls_round": ("circle", "ring", "crescent"),
        "cls_angular": ("square", "triangle", "hexagon", "cross", "star"),
        "cls_other": ("heart", "arrow"),
    },
    threshold=0.3,
)


def label_objects(folder: Path) -> dict[str, list[str | None]]:
    """The labels of all objects, by the image's name."""
    labels: dict[str, list[str | None]] = {}
    with Annotator(PAM.from_pretrained("nano")) as annotator:
        for path, scene in write_scenes(folder):
            boxes = tuple(Prompt.from_box(item.box) for item in scene.objects)
            # Without questions, regions have only a mask and a label of the list.
            request = Request(path, prompts=boxes, questions=(), vocabulary=VOCABULARY)
            regions = annotator.annotate(request, timeout=60).regions
            labels[path.name] = [region.label for region in regions]
            for region in regions:
                print(f"{path.name} {region.box}: {region.label} ({region.scores.label:.2f})")
    return labels


if __name__ == "__main__":
    label_objects(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples/scenes"))
