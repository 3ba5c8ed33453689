"""The command `pam-labeling prelabel`: from its options to a run and its exit code."""

from __future__ import annotations

import json
import logging
import signal
import threading
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from label_studio_backend.api_client import AccessError, Api, ApiFailure, RefusedError, StoppedError
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.lint import check_config
from label_studio_backend.config.options import Options, OptionsError
from label_studio_backend.media.task_media import Access
from label_studio_backend.predictor import Predictor, open_predictor, read_settings
from label_studio_backend.prelabel.report import Report, left_out_sentences
from label_studio_backend.prelabel.run import run
from label_studio_backend.prelabel.selection import read_selection
from label_studio_backend.prelabel.sink import PredictionSink
from label_studio_backend.prelabel.source import TaskSource, read_project
from label_studio_backend.prelabel.stopping import access_of, signals, stoppable_api
from label_studio_backend.translation.model_versions import marked_version, usual_version
from pam_labeling.command_line.exit_codes import CommandError, ExitCode
from pam_labeling.command_line.terminal import messages_console, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from rich.console import Console

    from label_studio_backend.prelabel.run import PredictMany

_GO_ON = "What is written stays written; the same command goes on from there."
_TICK = 0.1  # seconds between checks whether to stop


@dataclass(frozen=True)
class Order:
    """The options of the command line.

    Attributes:
        project: its number.
        view: only what this tab of the Data Manager shows.
        tasks: only tasks of these ids; () for all.
        filters: only tasks that meet all of these, such as "data.split=train".
        only_unlabeled: only tasks without an annotation.
        limit: no more tasks than this.
        model_version: the name of the predictions, behind which "(pam-labeling)" is written; None:
            as the backend names its own.
        overwrite: do tasks again that have a prediction of this name, and replace it.
        dry_run: only say what would be done.
        options: as the model connection's extra parameters, "name=value" with JSON values.
        failures: where to write failed tasks, a line of JSON for each.
        patience: seconds to wait for a Label Studio that is away.
    """

    project: int
    view: int | None = None
    tasks: tuple[int, ...] = ()
    filters: tuple[str, ...] = ()
    only_unlabeled: bool = False
    limit: int | None = None
    model_version: str | None = None
    overwrite: bool = False
    dry_run: bool = False
    options: tuple[str, ...] = ()
    failures: Path | None = None
    patience: float = 900.0


def prelabel(order: Order, model: Mapping[str, Any], server: Mapping[str, Any]) -> ExitCode:
    """Pre-annotate a project.

    Args:
        order: what to do.
        model: settings of the model by name, None for what the environment says.
        server: settings of the server likewise.

    Raises:
        InputError: an option, a setting or the project's config cannot be used.
        CommandError: the project cannot be pre-annotated; it holds the exit code.
    """
    model_settings, settings = read_settings(model, server)
    access = access_of(settings, "prelabel")
    if settings.log_level == "DEBUG":
        settings.configure_logging()  # each request, and tracebacks of failed tasks and the model
    else:  # the command itself says why the model cannot be loaded
        logging.getLogger("label_studio_backend.model_loader").setLevel(logging.CRITICAL)
    console = messages_console()
    stop = threading.Event()
    try:
        with stoppable_api(access, order.patience, stop, console) as api:
            source, config, options = _prepare(api, order, model_settings.model, console)
            if order.dry_run:
                _dry_run(source, order.limit, console)
                return ExitCode.OK
            with closing(open_predictor(model_settings, settings)) as predictor:
                predict_many = partial(
                    predictor.predict_many, config=config, options=options, access=Access()
                )
                report = _run(api, source, predictor, predict_many, order, console, stop)
        if stop.is_set():
            raise StoppedError("stopped before all tasks were done")
    except (StoppedError, KeyboardInterrupt):
        console.print(f"[yellow]stopped. {_GO_ON}[/]")
        return ExitCode.INTERRUPTED
    except AccessError as error:
        raise CommandError(str(error)) from error
    except ApiFailure as error:
        raise CommandError(f"{error}. {_GO_ON}", ExitCode.NOT_WRITTEN) from error
    return ExitCode.IMAGES_FAILED if report.failures else ExitCode.OK


def read_options(texts: Sequence[str]) -> Options:
    """Read options as the command line spells them: `labels=open`, `max_regions=20`.

    Args:
        texts: name=value, where the value is JSON or else a text.

    Raises:
        OptionsError: a text without "=", or what `Options.read` does not take.
    """
    given: dict[str, object] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise OptionsError(f"{text!r} is no option: write NAME=VALUE, as in max_regions=20.")
        try:
            given[name.strip()] = json.loads(value)
        except ValueError:
            given[name.strip()] = value.strip()
    return Options.read(given)


def _prepare(
    api: Api, order: Order, model: str, console: Console
) -> tuple[TaskSource, LabelingConfig, Options]:
    """Read the project, and check what can be checked."""
    options = read_options(order.options)
    try:
        project = read_project(api, order.project)
        config = LabelingConfig.parse(project.config)
        selection = read_selection(
            api,
            order.project,
            view=order.view,
            tasks=order.tasks,
            filters=order.filters,
            only_unlabeled=order.only_unlabeled,
        )
    except RefusedError as error:
        raise CommandError(f"project {order.project} cannot be used: {error}") from error
    findings = check_config(config, options)
    for hint in findings.hints if order.dry_run else ():
        console.print(f"[yellow]{shown(hint)}[/]")
    if findings.errors:
        raise CommandError(" ".join(findings.errors))
    version = marked_version(order.model_version) if order.model_version else usual_version(model)
    return (
        TaskSource(api, project, selection, version, overwrite=order.overwrite),
        config,
        options,
    )


def _dry_run(source: TaskSource, limit: int | None, console: Console) -> None:
    """Say what a run would do."""
    project = source.project
    # The list of ids tells who is done; where it cannot, the tasks themselves do.
    todo = sum(1 for _ in (source if project.evaluates else source.ids()))
    doing = todo if limit is None else min(todo, limit)
    console.print(
        f"project {project.id}, {shown(repr(project.title))}: "
        f"{source.count()} of {project.tasks} tasks chosen"
    )
    for sentence in left_out_sentences(source.tally, source.model_version):
        console.print(sentence)
    if doing < todo:
        console.print(f"{todo - doing} left for later by --limit")
    console.print(f"{doing} would be pre-annotated as {shown(repr(source.model_version))}")


def _run(
    api: Api,
    source: TaskSource,
    predictor: Predictor,
    predict_many: PredictMany,
    order: Order,
    console: Console,
    stop: threading.Event,
) -> Report:
    try:
        opened = order.failures.open("w", encoding="utf-8") if order.failures else nullcontext()
    except OSError as error:
        raise CommandError(
            f"cannot write {order.failures}: {error}", ExitCode.NOT_WRITTEN
        ) from error
    with opened as failures:
        chosen = source.count()
        # In this thread, which a signal interrupts: another one inside torch would outlive it, and
        # abort the process.
        with signals(signal.default_int_handler):
            api.wait(0)
            predictor.loader.load()
        if predictor.loader.error is not None:
            raise CommandError(predictor.loader.error, ExitCode.NO_MODEL)
        report = Report(console, chosen, source.tally, limit=order.limit, failures_file=failures)
        sink = PredictionSink(api, source.model_version)
        try:
            with report.progress, _closed_at(stop, predictor):
                run(source, predict_many, sink, report, stop=stop, limit=order.limit)
        finally:
            report.summary(source.model_version)
    if report.written or source.tally.done_before:
        _show_scores(api, source, console)
    return report


def _show_scores(api: Api, source: TaskSource, console: Console) -> None:
    """Let the Data Manager sort by Prediction score: the project must show this model version."""
    project, version = source.project, source.model_version
    if project.shows in (None, version):
        return
    why = f"the project shows predictions of {shown(repr(project.shows))}"
    if project.shows == "":
        try:
            body = {"model_version": version}
            api.repeatable("PATCH", f"api/projects/{project.id}/", body)
        except (RefusedError, AccessError) as error:
            why = shown(str(error))
        else:
            return
    console.print(
        f"[yellow]Prediction score cannot be sorted: {why}. Choose {shown(repr(version))} in "
        "Settings > Annotation[/]"
    )


@contextmanager
def _closed_at(stop: threading.Event, predictor: Predictor) -> Iterator[None]:
    """Inside, `stop` closes the predictor: nobody waits for a long task to stop.

    A thread does it, because a signal's handler may interrupt code that holds the same locks.
    """
    over = threading.Event()

    def close() -> None:
        while not over.wait(_TICK):
            if stop.is_set():
                predictor.close()
                return

    closer = threading.Thread(target=close, name="pam-closer")
    closer.start()
    try:
        yield
    finally:
        over.set()
        closer.join()
