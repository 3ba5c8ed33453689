"""The names, arguments and options of the commands; `commands` does the work."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image

from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.terminal import messages_console, shown
from pam_labeling.errors import InputError
from pam_labeling.version import VERSION

EXIT_CODES = (
    "Exit codes: 0 all done; 1 some images failed (the others are saved); 2 wrong usage; "
    "3 the model cannot be loaded; 4 an output cannot be written; "
    "130 interrupted, 143 terminated (what was done is saved)."
)

PLATFORMS = "pam_labeling.commands"

app = typer.Typer(
    name="pam-labeling",
    help="Perceive Anything where people label: masks, labels, definitions and captions.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE",
        # A file without permission is the failure of that image, not wrong usage.
        readable=False,
        help="Image files, or folders of them.",
    ),
]
_Recursive = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into folders in the folders, too.")
]
_Box = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X1,Y1,X2,Y2", help="A box around an object, in pixels. Each is a region."
    ),
]
_Point = Annotated[
    list[str] | None,
    typer.Option(
        metavar="X,Y[,-]",
        help="A point on the object; with ',-', a point beside it. All points make one region; "
        "'--point next' between them begins another.",
    ),
]
_Mask = Annotated[
    list[str] | None,
    typer.Option(
        metavar="FILE",
        help="An image of the same size, black or transparent outside the object. Each is a "
        "region.",
    ),
]
_Everything = Annotated[
    bool,
    typer.Option(
        "--everything", help="Find everything. (The default without --box, --point and --mask.)"
    ),
]
_MaxRegions = Annotated[
    int | None,
    typer.Option(
        min=1, metavar="NUMBER", help="Of everything, keep this many of the best regions."
    ),
]
_Labels = Annotated[
    str | None,
    typer.Option(
        metavar="A,B,C",
        help="Your own labels to choose from, instead of open labels; one with a comma in "
        "double quotes. Or @FILE, with a label in each line.",
    ),
]
_LabelFit = Annotated[
    float | None,
    typer.Option(
        min=0,
        max=1,
        metavar="NUMBER",
        help="Leave your label out where it fits less well than that; 0 always gives one. (0.05)",
    ),
]
_Threshold = Annotated[str | None, typer.Option(hidden=True)]
_Tasks = Annotated[
    str | None,
    typer.Option(
        metavar="LIST",
        help="What to say about each region, of: label, definition, brief, detailed; '' for "
        "masks only. (label,brief; with --labels, brief.)",
    ),
]
_Language = Annotated[str, typer.Option(metavar="en|zh", help="Language of the words.")]
_MaxNewTokens = Annotated[
    int, typer.Option(min=1, metavar="NUMBER", help="The longest answer, in tokens.")
]
_Model = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="nano, PAM-1.5B, PAM-3B, a folder or a hub id. (PAM_MODEL, or nano.)",
    ),
]
_Sam2 = Annotated[
    str | None, typer.Option(metavar="PATH", help="SAM 2.1's checkpoint, if it is elsewhere.")
]
_Device = Annotated[
    str | None,
    typer.Option(metavar="cpu|cuda|mps", help="Where to compute. (The fastest there is.)"),
]
_Dtype = Annotated[
    str | None,
    typer.Option(metavar="TYPE", help="float32, bfloat16 or float16. (What suits the device.)"),
]
_GreyRange = Annotated[
    str | None,
    typer.Option(
        "--range",
        metavar="LOW,HIGH",
        help="The values of black and white in grey of more than 8 bits; or auto, full (16 bits) "
        "or data (each image's own). (PAM_RANGE, or auto.)",
    ),
]
_Output = Annotated[
    str | None,
    typer.Option(
        metavar="PATH",
        help="Write FILE.json, FILE.coco.json, FILE.csv or another format of docs/formats.md. "
        "'-' prints JSON instead of the table.",
    ),
]
_Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="NAME",
        help="The output's format, if its name does not say it: json, coco, label-studio, "
        "parquet, csv, yolo-seg, yolo-box, voc, masks or pam-data.",
    ),
]
_Polygons = Annotated[
    bool,
    typer.Option("--polygons", help="Outlines instead of run lengths, in coco and label-studio."),
]
_Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with PATH.partial.jsonl, which an interrupted run has left, and do only what "
        "is new, changed or failed. The file is kept, to add images later.",
    ),
]
_Overlay = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER", readable=False, help="Where to draw regions and words on copies."
    ),
]


def main() -> None:
    """Run the command line; the entry point of `pam-labeling`."""
    # Pillow's warning about a huge image becomes the refusal of that image.
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without Chinese letters shows question marks instead of an error.
            stream.reconfigure(errors="replace")
    add_platforms()
    app()


def add_platforms() -> None:
    """Add the commands of the installed platforms, the entry points of `PLATFORMS`."""
    for entry_point in entry_points(group=PLATFORMS):
        app.add_typer(entry_point.load())


@contextmanager
def exit_codes() -> Iterator[None]:
    """End a command that raises `CommandError` or `InputError` with its message and exit code."""
    try:
        yield
    except (CommandError, InputError) as error:
        messages_console().print(f"[red]error:[/] {shown(str(error))}")
        code = error.code if isinstance(error, CommandError) else ExitCode.USAGE
        raise typer.Exit(code) from error
    except KeyboardInterrupt as interrupt:  # before the work began
        messages_console().print("[red]interrupted[/]")
        raise typer.Exit(ExitCode.INTERRUPTED) from interrupt


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pam-labeling {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    pass


@app.command(epilog=EXIT_CODES)
def annotate(
    images: _Images,
    recursive: _Recursive = False,
    box: _Box = None,
    point: _Point = None,
    mask: _Mask = None,
    everything: _Everything = False,
    max_regions: _MaxRegions = None,
    labels: _Labels = None,
    label_fit: _LabelFit = None,
    threshold: _Threshold = None,
    tasks: _Tasks = None,
    language: _Language = "en",
    max_new_tokens: _MaxNewTokens = 128,
    model: _Model = None,
    sam2: _Sam2 = None,
    device: _Device = None,
    dtype: _Dtype = None,
    grey_range: _GreyRange = None,
    output: _Output = None,
    output_format: _Format = None,
    polygons: _Polygons = False,
    resume: _Resume = False,
    overlay: _Overlay = None,
) -> None:
    """Segment, label and describe objects in images.

    Boxes, points and masks apply to every image, in pixels of the upright image.
    """
    with exit_codes():
        # These load NumPy, Pillow and OpenCV, which --help does not need.
        from pam_labeling.command_line import commands  # noqa: PLC0415
        from pam_labeling.command_line import request_options as options  # noqa: PLC0415
        from pam_labeling.command_line.outputs import OutputOptions  # noqa: PLC0415
        from pam_labeling.command_line.run import ImageOptions  # noqa: PLC0415
        from pam_labeling.settings import Settings  # noqa: PLC0415
        from pam_labeling.vocabulary import replaced  # noqa: PLC0415

        if threshold is not None:
            raise CommandError(replaced("--threshold", "--label-fit"))
        request = options.build_request(
            options.PromptOptions(box or (), point or (), mask or (), everything, max_regions),
            options.QuestionOptions(tasks, labels, language, label_fit, max_new_tokens),
        )
        settings = Settings.from_environment(
            option="--{}", model=model, sam2=sam2, device=device, dtype=dtype, range=grey_range
        )
        code = commands.annotate(
            ImageOptions(images, recursive, overlay),
            request,
            settings=settings,
            language=language,
            output=OutputOptions(output, output_format, polygons, resume),
        )
    raise typer.Exit(code)


@app.command("label-fit", epilog=EXIT_CODES)
def label_fit(
    images: _Images,
    labels: Annotated[str, typer.Option(metavar="A,B,C", help="Your own labels, or @FILE.")],
    recursive: _Recursive = False,
    box: _Box = None,
    point: _Point = None,
    mask: _Mask = None,
    max_regions: _MaxRegions = None,
    model: _Model = None,
    sam2: _Sam2 = None,
    device: _Device = None,
    dtype: _Dtype = None,
    grey_range: _GreyRange = None,
    overlay: _Overlay = None,
) -> None:
    """Show how well your labels fit some regions, to choose --label-fit by looking.

    Each row has the model's own label, the best of yours and its fit; a mark where that --label-fit
    would keep it. The best fits come first: choose the number above which the labels are right.
    """
    with exit_codes():
        # These load NumPy, Pillow and OpenCV, which --help does not need.
        from pam_labeling.command_line import commands  # noqa: PLC0415
        from pam_labeling.command_line import request_options as options  # noqa: PLC0415
        from pam_labeling.command_line.run import ImageOptions  # noqa: PLC0415
        from pam_labeling.settings import Settings  # noqa: PLC0415

        request = options.build_request(
            options.PromptOptions(box or (), point or (), mask or (), max_regions=max_regions),
            options.QuestionOptions(labels=labels),
        )
        settings = Settings.from_environment(
            option="--{}", model=model, sam2=sam2, device=device, dtype=dtype, range=grey_range
        )
        code = commands.label_fit(
            ImageOptions(images, recursive, overlay), request, settings=settings
        )
    raise typer.Exit(code)


@app.command()
def download(
    name: Annotated[str, typer.Argument(help="PAM-1.5B, PAM-3B or a hub id.")],
    cache_dir: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where to keep it. (The hub's cache.)")
    ] = None,
) -> None:
    """Fetch a checkpoint and its SAM 2.1; an interrupted download continues."""
    with exit_codes():
        from pam_labeling.command_line import commands  # noqa: PLC0415 - loads NumPy, which --help does not need

        code = commands.download(name, cache_dir=cache_dir)
    raise typer.Exit(code)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where images and overlays go.")] = Path("demo"),
    model: _Model = None,
) -> None:
    """Draw a few images and annotate them; show the commands."""
    with exit_codes():
        from pam_labeling.command_line.demo import run_demo  # noqa: PLC0415 - loads torch

        code = run_demo(folder, model or "nano", app)
    raise typer.Exit(code)


if __name__ == "__main__":
    main()
