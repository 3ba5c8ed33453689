"""The command `pam-labeling export`: from its options to a file or folder and its exit code."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import AccessError, Api, ApiFailure, RefusedError, StoppedError
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.tag_attributes import language_of, task_of
from label_studio_backend.export.entries import Choice, Tally, TaskEntries
from label_studio_backend.media.task_media import TaskMedia
from label_studio_backend.prelabel.selection import read_selection
from label_studio_backend.prelabel.source import TaskSource, read_project
from label_studio_backend.prelabel.stopping import access_of, stoppable_api
from label_studio_backend.settings import ServerSettings
from pam_labeling import formats
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.terminal import messages_console, progress_bar, shown
from pam_labeling.documents import Header, document_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import Console

    from label_studio_backend.prelabel.source import Project
    from pam_labeling.documents import ImageEntry

HOLD_ALL = ("json", "csv", "parquet", "pam-data")
"""The formats that hold keypoints and answers about whole images."""

_NO_VERSION = "\n"  # no prediction has this name, so that none counts as an earlier one of ours
_SHOWN = 10  # sentences about shapes


@dataclass(frozen=True)
class Order:
    """The options of the command line.

    Attributes:
        project: its number.
        to: the name of the format; None: as the output's name says.
        output: the file or folder; None: a name made of project and format.
        choice: what is taken of a task.
        view: only what this tab of the Data Manager shows.
        tasks: only tasks of these ids; () for all.
        filters: only tasks that meet all of these, such as "data.split=train".
        limit: no more tasks than this.
        polygons: write masks as outlines, where the format has both.
        images: the folder to fetch the images into; None: they are not fetched.
        patience: seconds to wait for a Label Studio that is away.
    """

    project: int
    to: str | None = None
    output: Path | None = None
    choice: Choice = field(default_factory=Choice)
    view: int | None = None
    tasks: tuple[int, ...] = ()
    filters: tuple[str, ...] = ()
    limit: int | None = None
    polygons: bool = False
    images: Path | None = None
    patience: float = 900.0


def export(order: Order, server: Mapping[str, Any]) -> ExitCode:
    """Write what a project holds.

    Args:
        order: what to write.
        server: settings of the server by name, None for what the environment says.

    Raises:
        InputError: an option, a setting or the project's config cannot be used.
        CommandError: the project cannot be exported; it holds the exit code.
    """
    settings = ServerSettings.from_environment(**server)
    access = access_of(settings, "export")
    name, output = _destination(order)
    console = messages_console()
    stop = threading.Event()
    try:
        with stoppable_api(access, order.patience, stop, console) as api:
            return _export(api, order, name, output, settings, console, stop)
    except (StoppedError, KeyboardInterrupt):
        console.print("[yellow]stopped. Nothing is written.[/]")
        return ExitCode.INTERRUPTED
    except AccessError as error:
        raise CommandError(str(error)) from error
    except ApiFailure as error:
        raise CommandError(f"{error}. Nothing is written.", ExitCode.NOT_WRITTEN) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise CommandError(
            f"cannot write {error.filename or output}: {reason}", ExitCode.NOT_WRITTEN
        ) from error


def _destination(order: Order) -> tuple[str, Path]:
    """The format's name, and where to write."""
    if order.to is None and order.output is None:
        raise formats.FormatError(f"name a format: --to {'|'.join(formats.FORMATS)}")
    name = order.to or formats.format_of(order.output or Path())
    if order.output is None and name in formats.FORMATS:
        output = Path(f"project-{order.project}{formats.FORMATS[name].ending}")
    else:
        output = order.output or Path()
    formats.check_destination(name, output)
    return name, output


def _export(
    api: Api,
    order: Order,
    name: str,
    output: Path,
    settings: ServerSettings,
    console: Console,
    stop: threading.Event,
) -> ExitCode:
    try:
        project = read_project(api, order.project)
        config = LabelingConfig.parse(project.config)
        selection = read_selection(
            api, order.project, view=order.view, tasks=order.tasks, filters=order.filters
        )
    except RefusedError as error:
        raise CommandError(f"project {order.project} cannot be used: {error}") from error
    source = TaskSource(api, project, selection, _NO_VERSION, overwrite=True)
    chosen = source.count()
    doing = chosen if order.limit is None else min(chosen, order.limit)
    console.print(
        f"project {project.id}, {shown(repr(project.title))}: {doing} of {project.tasks} tasks"
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    media = None
    if order.images is not None:
        order.images.mkdir(parents=True, exist_ok=True)
        media = TaskMedia(settings)
    entries = TaskEntries(
        (todo.task for todo in islice(source, order.limit)),
        config,
        order.choice,
        holds_all=name in HOLD_ALL,
        media=media,
        folder=order.images or Path(),
    )
    try:
        report = formats.write(
            name,
            output,
            _watched(entries, doing, console, stop),
            _header(config, order, project),
            polygons=order.polygons,
            root=order.images,
            # YOLO's programs look for the images in the same folder.
            copy_images=order.images is not None,
        )
    finally:
        if media is not None:
            media.close()
    console.print(
        f"{report.images} images with {report.regions} regions written to {shown(str(output))}"
    )
    for sentence in (*report.notes, *_left_out(entries.tally, order)):
        console.print(f"[yellow]{shown(sentence)}[/]")
    return ExitCode.IMAGES_FAILED if report.failed else ExitCode.OK


def _watched(
    entries: TaskEntries, tasks: int, console: Console, stop: threading.Event
) -> Iterator[ImageEntry]:
    """The entries, with a progress bar, until somebody stops the program."""
    with progress_bar(console, tasks) as progress:
        bar = progress.add_task("exporting", total=tasks)
        for entry in entries:
            if stop.is_set():
                raise StoppedError("stopped before all tasks were read")
            progress.update(bar, completed=entries.tally.tasks)
            if entry["error"] is not None:
                console.print(f"[red]failed:[/] {shown(entry['file'])}: {shown(entry['error'])}")
            yield entry


def _header(config: LabelingConfig, order: Order, project: Project) -> Header:
    """What the document says about all images: the labels of all tags, the language of texts."""
    texts = [one for one in config.controls if one.type == "textarea" and task_of(one) is not None]
    labels = [label.value for one in config.controls if one.has_labels for label in one.labels]
    tasks = dict.fromkeys(task.value for one in texts if (task := task_of(one)) is not None)
    model = f"Label Studio's {order.choice.origin} of project {project.id}"
    return document_header(
        model=order.choice.model_version or model,
        language=language_of(texts[0], Options()) if texts else "en",
        tasks=list(tasks),
        labels=list(dict.fromkeys(labels)),
    )


def _left_out(tally: Tally, order: Order) -> Iterator[str]:
    """Sentences about what is not written, and why."""
    origin = order.choice.origin
    if tally.without:
        yield f"{tally.without} tasks left out: they have no {origin} to take"
    if tally.cancelled:
        yield f"{tally.cancelled} annotations left out: they skip their task"
    if tally.several:
        taken = "the newest ground truth, else the newest" if origin == "annotations" else "newest"
        yield f"{tally.several} tasks have several {origin}: {taken} is taken (--which all)"
    if tally.unsized:
        yield (
            f"{tally.unsized} images left out: they have no region, and only the image tells its "
            "size: fetch the images with --images FOLDER"
        )
    unwritten = tally.unwritten
    hold = ", ".join(HOLD_ALL)
    if unwritten.points:
        yield f"{unwritten.points} keypoints left out: {hold} hold them"
    if unwritten.whole:
        yield f"{unwritten.whole} answers about whole images left out: {hold} hold them"
    if unwritten.others:
        yield (
            f"{unwritten.others} results left out: their tags are not on the config's images, or "
            "are of a kind that no format here holds"
        )
    yield from unwritten.unreadable[:_SHOWN]
    if len(unwritten.unreadable) > _SHOWN:
        yield f"and {len(unwritten.unreadable) - _SHOWN} more such shapes"
