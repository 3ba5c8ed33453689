"""The command `demo`, which draws images of nano's world and annotates them with `annotate`."""

from __future__ import annotations

import shlex
from pathlib import Path

import typer
from PIL import Image

from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.terminal import results_console, shown
from pam_model.nano.words import SHAPES
from pam_model.nano.world import HELD_OUT_SEED, DrawnScene, render_scene

_SEEDS = tuple(HELD_OUT_SEED + number for number in (0, 1, 14, 5))


def write_scenes(folder: Path) -> list[tuple[Path, DrawnScene]]:
    """Draw four held-out scenes to PNG files in `folder`.

    Raises:
        CommandError: the folder cannot be written to.
    """
    drawn = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, seed in enumerate(_SEEDS, start=1):
            scene = render_scene(seed)
            path = folder / f"scene-{number}.png"
            Image.fromarray(scene.image).save(path)
            drawn.append((path, scene))
    except OSError as error:
        raise CommandError(f"cannot write the images: {error}", ExitCode.NOT_WRITTEN) from error
    return drawn


def commands(drawn: list[tuple[Path, DrawnScene]], overlays: Path) -> list[list[str]]:
    """The commands of the tour: boxes, points, a label list in Chinese, everything."""
    (first, boxes), (second, points), (third, listed), (fourth, _) = drawn
    shapes = ",".join(shape.zh for shape in SHAPES)
    tour = [
        [str(first), *_boxes(boxes), "--tasks", "label,brief"],
        [str(second), *_points(points), "--tasks", "definition,detailed"],
        [
            str(third),
            *_boxes(listed),
            "--labels",
            shapes,
            "--language",
            "zh",
        ],
        [str(fourth), "--everything", "--tasks", "label,brief"],
    ]
    return [["annotate", *options, "--overlay", str(overlays)] for options in tour]


def run_demo(folder: Path, model: str, app: typer.Typer) -> ExitCode:
    """Draw images, run the commands of the tour on them, and say where the overlays are.

    Raises:
        CommandError: the folder cannot be written to.
    """
    console = results_console()
    overlays = folder / "overlays"
    worst = ExitCode.OK
    for arguments in commands(write_scenes(folder), overlays):
        console.print(f"\n[bold]$ pam-labeling {shown(shlex.join(arguments))}[/]", soft_wrap=True)
        code = app([*arguments, "--model", model], standalone_mode=False)
        worst = max(worst, ExitCode(code or 0))
    console.print(f"\nImages with masks and words: {shown(str(overlays))}", soft_wrap=True)
    return worst


def _boxes(scene: DrawnScene) -> list[str]:
    boxes = (",".join(f"{side:.0f}" for side in item.box) for item in scene.objects)
    return [part for box in boxes for part in ("--box", box)]


def _points(scene: DrawnScene) -> list[str]:
    """A point on each object; each makes a region of its own."""
    options: list[str] = []
    for item in scene.objects:
        rows, columns = item.mask.nonzero()
        middle = len(rows) // 2  # a pixel of the object, whatever its shape is
        options += ["--point", "next"] if options else []
        options += ["--point", f"{columns[middle]},{rows[middle]}"]
    return options
