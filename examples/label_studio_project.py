"""Make a Label Studio project, pre-annotate it, and export what was predicted.

    export LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=...
    python examples/label_studio_project.py [FOLDER]

Needs `pip install '.[label-studio]'` and a running Label Studio. The images are drawn into FOLDER
(`out/examples/scenes` if none is given).
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from label_studio_backend.config.template import build_config
from pam_labeling.command_line.demo import write_scenes
from pam_model.nano.words import SHAPES


def make_project(client: httpx.Client, files: list[Path]) -> int:
    """Make a project with a task for each file; return the project's number."""
    config = build_config([shape.en for shape in SHAPES])
    project = {"title": "Drawn scenes", "label_config": config}
    number = int(client.post("/api/projects", json=project).raise_for_status().json()["id"])
    for path in files:
        upload = {"file": (path.name, path.read_bytes(), "image/png")}
        client.post(f"/api/projects/{number}/import", files=upload).raise_for_status()
    return number


def prelabel(number: int) -> None:
    """Pre-annotate the project; after an interruption, the same command continues the run."""
    command = [sys.executable, "-m", "pam_labeling.command_line.cli", "prelabel"]
    command += ["--project", str(number), "--model", "nano"]
    command += ["--option", "points_per_side=8"]  # a coarse grid, for a quick example
    subprocess.run(command, check=True)


def export(client: httpx.Client, number: int) -> list[dict[str, Any]]:
    """Export all tasks with their predictions."""
    # Label Studio's plain export has only the ids of predictions; a snapshot can hold all of them.
    whole = {"serialization_options": {"predictions": {"only_id": False}}}
    exports = f"/api/projects/{number}/exports"
    snapshot = client.post(exports, json=whole).raise_for_status().json()
    file = client.get(f"{exports}/{snapshot['id']}/download", params={"exportType": "JSON"})
    tasks: list[dict[str, Any]] = file.raise_for_status().json()
    return tasks


def run(folder: Path) -> list[dict[str, Any]]:
    """Make, pre-annotate and export a project; return the exported tasks."""
    # This takes a legacy token. For a personal access token, see Label Studio's API pages.
    headers = {"Authorization": f"Token {os.environ['LABEL_STUDIO_API_KEY']}"}
    url = os.environ["LABEL_STUDIO_URL"]
    with httpx.Client(base_url=url, headers=headers, timeout=120) as client:
        number = make_project(client, [path for path, _ in write_scenes(folder)])
        print(f"{url}/projects/{number}")
        prelabel(number)
        tasks = export(client, number)
    for task in tasks:
        for prediction in task["predictions"]:
            regions = {result["id"] for result in prediction["result"]}
            print(f"task {task['id']}: {len(regions)} regions by {prediction['model_version']}")
    return tasks


if __name__ == "__main__":
    run(Path(sys.argv[1] if len(sys.argv) > 1 else "out/examples/scenes"))
