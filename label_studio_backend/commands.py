"""Label Studio's commands of the `pam-labeling` command line.

The entry point "pam_labeling.commands" names `app`; its commands join `pam-labeling`'s own. Nothing
heavy is imported for --help.
"""

from __future__ import annotations

from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pam_labeling.command_line.cli import EXIT_CODES, exit_codes
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pam_model.tasks import Language

app = typer.Typer()


class _Origin(str, Enum):
    annotations = "annotations"
    drafts = "drafts"
    predictions = "predictions"


class _Which(str, Enum):
    best = "best"
    ground_truth = "ground-truth"
    all = "all"


_SEEN = "Other users of this machine can see it in the list of processes; rather set"


def _option(default_of: str, help_text: str, metavar: str = "TEXT") -> Any:
    return typer.Option(metavar=metavar, help=f"{help_text} ({default_of})")


_Model = Annotated[
    str | None,
    _option("PAM_MODEL, or nano", "nano, PAM-1.5B, PAM-3B, a folder or a hub id.", "NAME"),
]
_Device = Annotated[
    str | None, _option("PAM_DEVICE, or the fastest", "Where to compute.", "cpu|cuda|mps")
]
_AllowedHosts = Annotated[
    list[str] | None,
    _option("PAM_ALLOWED_HOSTS", "Another host that images may come from; repeatable.", "HOST"),
]


_ProjectKey = Annotated[
    str | None,
    _option(
        "LABEL_STUDIO_API_KEY",
        "Legacy or personal access token of someone who may change the project. "
        f"{_SEEN} the variable.",
        "TOKEN",
    ),
]
_View = Annotated[
    int | None,
    typer.Option(
        metavar="NUMBER",
        min=1,
        help="Only the tasks of this tab of the Data Manager: 'tab' in its address.",
    ),
]
_Tasks = Annotated[
    list[int] | None, typer.Option(metavar="NUMBER", min=1, help="Only this task; repeatable.")
]
_Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        metavar="FILTER",
        help="Only tasks whose column in the Data Manager matches: 'data.split=train', "
        "'id>100', 'data.image~park'; repeatable, all must match.",
    ),
]
_ModelVersion = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Name of these predictions, written as 'NAME (pam-labeling)'. Tasks that have a "
        "prediction of this name are skipped, so the same command resumes an interrupted run. "
        "(Model and version.)",
    ),
]
_Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite", help="Do tasks with such a prediction again, and replace the prediction."
    ),
]
_DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Only show what would be done and what the config lacks."),
]
_Options = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="An extra parameter, as in Label Studio's model connection: 'labels=open', "
        "'max_regions=20', 'tasks=[\"brief\"]'; repeatable.",
    ),
]
_Failures = Annotated[
    Path | None,
    typer.Option(metavar="FILE.jsonl", help="Write failed tasks to this file, one a line."),
]


@contextmanager
def _extra() -> Iterator[None]:
    """Say what to install if an import inside fails."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise CommandError(
            f"{error.name} is not installed: pip install 'pam-labeling[label-studio]'"
        ) from error
    except ImportError as error:  # a library of torch, for example, that finds no memory
        raise CommandError(
            f"a part of the program cannot be loaded ({error}): is there enough memory?",
            ExitCode.NO_MODEL,
        ) from error


@app.command()
def serve(
    host: Annotated[
        str | None,
        _option("PAM_HOST, or 127.0.0.1", "Address to listen on; 0.0.0.0 for all.", "ADDRESS"),
    ] = None,
    port: Annotated[int | None, _option("PORT, or 9090", "Port to listen on.", "NUMBER")] = None,
    model: _Model = None,
    device: _Device = None,
    label_studio_url: Annotated[
        str | None,
        _option("LABEL_STUDIO_URL", "The Label Studio that asks, as seen from here.", "URL"),
    ] = None,
    api_key: Annotated[
        str | None,
        _option(
            "LABEL_STUDIO_API_KEY", f"Token for fetching its images. {_SEEN} the variable.", "TOKEN"
        ),
    ] = None,
    basic_auth_user: Annotated[
        str | None, _option("BASIC_AUTH_USER", "Name that Label Studio must give.", "NAME")
    ] = None,
    basic_auth_pass: Annotated[
        str | None,
        _option(
            "BASIC_AUTH_PASS",
            f"Password that Label Studio must give. {_SEEN} the variable.",
            "PASSWORD",
        ),
    ] = None,
    allowed_host: _AllowedHosts = None,
    threads: Annotated[
        int | None, _option("THREADS, or 16", "How many predictions may run at once.", "NUMBER")
    ] = None,
    log_level: Annotated[
        str | None, _option("LOG_LEVEL, or INFO", "How much to log.", "DEBUG|INFO|WARNING|ERROR")
    ] = None,
) -> None:
    """Serve Label Studio as its machine-learning backend: clicks and pre-annotation.

    Every setting is an environment variable, and some are options too: docs/label-studio.md in the
    repository lists them in a table.
    """
    with exit_codes(), _extra():
        typer.echo(f"pam-labeling {VERSION} is starting", err=True)  # torch takes seconds to load
        from label_studio_backend.server import serving  # noqa: PLC0415 - loads flask and torch

        serving.serve(
            {"model": model, "device": device},
            {
                "host": host,
                "port": port,
                "label_studio_url": label_studio_url,
                "api_key": api_key,
                "basic_auth_user": basic_auth_user,
                "basic_auth_pass": basic_auth_pass,
                "allowed_hosts": tuple(allowed_host) if allowed_host else None,
                "predictions": threads,
                "log_level": log_level,
            },
        )


@app.command(epilog=EXIT_CODES)
def prelabel(
    project: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="The project's number.")],
    label_studio_url: Annotated[
        str | None, _option("LABEL_STUDIO_URL", "Label Studio's address.", "URL")
    ] = None,
    api_key: _ProjectKey = None,
    only_unlabeled: Annotated[
        bool, typer.Option("--only-unlabeled", help="Only tasks without an annotation.")
    ] = False,
    view: _View = None,
    task: _Tasks = None,
    where: _Filters = None,
    limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="At most this many tasks.")
    ] = None,
    model_version: _ModelVersion = None,
    overwrite: _Overwrite = False,
    dry_run: _DryRun = False,
    option: _Options = None,
    failures: _Failures = None,
    patience: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long to wait for an unreachable server."),
    ] = 900.0,
    model: _Model = None,
    device: _Device = None,
    allowed_host: _AllowedHosts = None,
) -> None:
    """Pre-annotate a whole project of Label Studio through its API.

    Predictions are written as they are made. After an interruption, run the same command to resume:
    no prediction is lost or written twice.
    """
    with exit_codes(), _extra():
        from label_studio_backend.prelabel import command  # noqa: PLC0415 - loads torch

        order = command.Order(
            project=project,
            view=view,
            tasks=tuple(task or ()),
            filters=tuple(where or ()),
            only_unlabeled=only_unlabeled,
            limit=limit,
            model_version=model_version,
            overwrite=overwrite,
            dry_run=dry_run,
            options=tuple(option or ()),
            failures=failures,
            patience=patience,
        )
        code = command.prelabel(
            order,
            {"model": model, "device": device},
            {
                "label_studio_url": label_studio_url,
                "api_key": api_key,
                "allowed_hosts": tuple(allowed_host) if allowed_host else None,
            },
        )
    raise typer.Exit(code)


@app.command("export", epilog=EXIT_CODES)
def export_project(
    project: Annotated[int, typer.Option(metavar="NUMBER", min=1, help="The project's number.")],
    to: Annotated[
        str | None,
        _option(
            "As the output's name ends",
            "json, coco, yolo-seg, yolo-box, voc, masks, label-studio, pam-data, parquet or csv.",
            "FORMAT",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH", help="The file, or the new folder, to write. (project-NUMBER.FORMAT)"
        ),
    ] = None,
    origin: Annotated[
        _Origin, typer.Option("--from", help="What to take of each task.")
    ] = _Origin.annotations,
    which: Annotated[
        _Which,
        typer.Option(
            help="If a task has several: best is the newest ground truth, else the newest."
        ),
    ] = _Which.best,
    model_version: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only predictions of this name.")
    ] = None,
    polygons: Annotated[
        bool,
        typer.Option("--polygons", help="coco, label-studio: outlines instead of masks."),
    ] = False,
    images: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Fetch the images, too, into this folder."),
    ] = None,
    label_studio_url: Annotated[
        str | None, _option("LABEL_STUDIO_URL", "Label Studio's address.", "URL")
    ] = None,
    api_key: _ProjectKey = None,
    view: _View = None,
    task: _Tasks = None,
    where: _Filters = None,
    limit: Annotated[
        int | None, typer.Option(metavar="NUMBER", min=1, help="At most this many tasks.")
    ] = None,
    patience: Annotated[
        float,
        typer.Option(metavar="SECONDS", min=0, help="How long to wait for an unreachable server."),
    ] = 900.0,
    allowed_host: _AllowedHosts = None,
) -> None:
    """Write a project's annotations, drafts or predictions as COCO, YOLO, VOC, masks or tables.

    docs/formats.md in the repository says what each format keeps. The output appears only when it
    is complete.
    """
    with exit_codes(), _extra():
        from label_studio_backend.export import command, entries  # noqa: PLC0415 - the extra

        order = command.Order(
            project=project,
            to=to,
            output=output,
            choice=entries.Choice(origin.value, which.value, model_version),
            view=view,
            tasks=tuple(task or ()),
            filters=tuple(where or ()),
            limit=limit,
            polygons=polygons,
            images=images,
            patience=patience,
        )
        code = command.export(
            order,
            {
                "label_studio_url": label_studio_url,
                "api_key": api_key,
                "allowed_hosts": tuple(allowed_host) if allowed_host else None,
            },
        )
    raise typer.Exit(code)


@app.command("label-config", epilog=EXIT_CODES)
def label_config(
    label: Annotated[
        list[str],
        typer.Option(metavar="NAME", help="A label for regions; repeatable."),
    ],
    geometry: Annotated[
        str, typer.Option(metavar="brush|polygon|rectangle|ellipse", help="The shape of regions.")
    ] = "brush",
    tasks: Annotated[
        str,
        typer.Option(
            metavar="LIST",
            help="Texts about each region, comma-separated: label, definition, brief, detailed; "
            "'' for none.",
        ),
    ] = "brief,definition",
    language: Annotated[str, typer.Option(metavar="en|zh", help="Language of the texts.")] = "en",
    data_key: Annotated[
        str, typer.Option(metavar="NAME", help="The key of the image in task data.")
    ] = "image",
    output: Annotated[
        Path | None,
        typer.Option(metavar="FILE.xml", help="Where to write it. (Standard output.)"),
    ] = None,
) -> None:
    """Write a labelling config for a list of labels, ready to be pasted into a project.

    Paste it in Settings > Labeling Interface > Code of the project.
    """
    with exit_codes(), _extra():
        from label_studio_backend.config import template  # noqa: PLC0415 - loads the SDK

        xml = template.build_config(
            label,
            language=cast("Language", language),  # both are checked there
            geometry=cast("template.Geometry", geometry),
            texts=template.read_tasks(tasks),
            data_key=data_key,
        )
        if output is None:
            typer.echo(xml, nl=False)
            return
        try:
            output.write_text(xml, encoding="utf-8")
        except OSError as error:
            raise CommandError(f"cannot write {output}: {error}", ExitCode.NOT_WRITTEN) from error
