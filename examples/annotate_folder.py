"""Find everything in the images of a folder, and write one JSON file for all of them.

    python examples/annotate_folder.py FOLDER annotations.json

Without arguments it draws four images into `out/examples/scenes` and annotates those.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from pam_labeling import Annotator, Request
from pam_labeling.command_line.demo import write_scenes
from pam_labeling.documents import document, failed_entry, image_entry, write_json
from pam_model import PAM, Question, Task

TASKS = (Task.LABEL, Task.BRIEF)


def annotate(folder: Path, output: Path) -> None:
    """Annotate each image of the folder; one that cannot be read does not stop the others."""
    files = sorted(path for path in folder.iterdir() if path.suffix in {".png", ".jpg"})
    questions = tuple(Question(task) for task in TASKS)
    entries = []
    # All threads of a program can share one annotator, which owns the model.
    with Annotator(PAM.from_pretrained("nano")) as annotator:
        # A request without prompts finds everything with a grid of clicks. 16 x 16 clicks are a
        # quarter of the default 32 x 32, but miss small objects.
        grid = replace(Request(folder).everything, points_per_side=16)
        requests = (
            Request(path, questions=questions, everything=grid, key=path.name) for path in files
        )
        for outcome in annotator.annotate_many(requests):
            if outcome.annotation is None:
                assert outcome.error is not None
                print(f"{outcome.key}: {outcome.error}")
                entries.append(failed_entry(outcome.key, outcome.error))
                continue
            print(f"{outcome.key}: {len(outcome.annotation.regions)} regions")
            entries.append(image_entry(outcome.key, outcome.annotation))
    tasks = [task.value for task in TASKS]
    write_json(output, document(entries, model="nano", language="en", tasks=tasks, labels=None))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        annotate(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        drawn = Path("out/examples/scenes")
        write_scenes(drawn)
        annotate(drawn, drawn.parent / "annotations.json")
