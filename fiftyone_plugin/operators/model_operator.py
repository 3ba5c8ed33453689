"""The base of the operators that run the model: form, App, workers, and calls from Python."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import fiftyone as fo
import fiftyone.operators as foo
from cachetools import TTLCache, cached

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..runs.authorship import PersonsWork, persons_work
from ..runs.records import RunRecord, read_run
from ..targets.target import Target, TargetCounts, resolve, resolve_context
from ..targets.views import label_fields
from .background import BackgroundRun
from .execution_store import is_stop_wanted, recall, remember, tell_progress
from .forms import Form, is_of_form, params_of, targets_in
from .runs_panel import RunsPanel
from .sentences import counted, ended, failures_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from ..runs.engine import Progress, RegionJob
    from ..targets.views import Slices
    from .options import RunOptions
    from .plans import Plan, Resolve

logger = logging.getLogger(__name__)  # FiftyOne shows those of plugins

_SECONDS_BETWEEN = 0.5  # between two reports of progress: each is a request, or a write


class ModelOperator(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """An operator that runs the model over a target."""

    title: ClassVar[str]
    description: ClassVar[str]
    icon: ClassVar[str] = "/assets/icon.svg"
    name_in_plugin: ClassVar[str]  # without the plugin's name
    options_type: ClassVar[type[RunOptions]]
    plan: ClassVar[Any]  # of plans.py: (options, Resolve) -> Plan
    needs_labels: ClassVar[bool] = True
    unlisted: ClassVar[bool] = False

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name=self.name_in_plugin,
            label=f"PAM: {self.title}",
            description=self.description,
            dynamic=True,
            execute_as_generator=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            unlisted=self.unlisted,
            view_target=False,
        )

    @abstractmethod
    def define(self, form: Form) -> None:
        """Add this operator's fields to the form; target and model are already in it."""

    def finish(self, plan: Plan, key: str) -> RunRecord:
        """Finish a run that has ended, and return its record."""
        return read_run(plan.job.target.dataset, key)

    def resolve_input(self, ctx: Any) -> Any:
        """The form, with the number of regions, or with the reason why it cannot run."""
        if ctx.dataset is None:
            return None
        form = Form(ctx, recall(ctx, self.name_in_plugin), self.name_in_plugin)
        if self.needs_labels and not label_fields(ctx.view):
            form.lead_to_finding()
            return form.finish(self.title, self.description, "Run")
        form.target(labels=self.needs_labels)
        try:
            self.define(form)
            form.model()
            options = self.options_of(ctx, form)
            plan = self.plan(options, context_target(ctx, options))
            kept = _recent_persons_work(plan.job)
            form.say(f"{amount_of(plan)} {kept}" if kept else amount_of(plan))
        except InputError as error:
            form.refuse(str(error))
        return form.finish(self.title, self.description, "Run")

    def options_of(self, ctx: Any, form: Form | None = None) -> Any:
        """The options of a context: given by a form or a caller, or remembered."""
        params = params_of(ctx.params)
        if form is not None:
            params = {**params_of(form.values()), **params}
        *_, narrowest = targets_in(ctx, labels=self.needs_labels)
        return self.options_type.from_params({"target": narrowest, **params})

    def execute(self, ctx: Any) -> Any:
        """Run with messages to the App; or in a worker, and return the record."""
        options = self.options_of(ctx)
        plan = self.plan(options, context_target(ctx, options))
        if is_of_form(ctx.params):  # what a script chose is no person's choice
            remember(ctx, self.name_in_plugin, options.to_params())
        return self.begin(ctx, plan)

    def begin(self, ctx: Any, plan: Plan, note: Callable[[], str] = str) -> Any:
        """Run a plan in a context; the App shows what `note` gives at the end."""
        refuse_empty(plan, _count(plan.job.target))
        if ctx.delegated:
            for progress in progress_of(plan):
                ctx.set_progress(progress=share(progress), label=progress.text)
            return self.finish(plan, progress.key).to_dict()
        title = f"{self.title}: {plan.job.new_field or plan.job.target.field}"
        try:
            run = BackgroundRun(ctx.dataset, title, progress_of(plan), partial(self.finish, plan))
        except InputError as error:
            if not is_of_form(ctx.params):
                raise
            return warn(ctx, str(error))
        return self._in_app(ctx, run, note)

    def _in_app(self, ctx: Any, run: BackgroundRun, note: Callable[[], str]) -> Iterator[Any]:
        """Leave a form's run to the panel of runs; wait for the end of any other.

        FiftyOne keeps a form open while its operator gives messages. A dialog with the progress
        would cover the App until the end.
        """
        if is_of_form(ctx.params):
            yield ctx.ops.open_panel(RunsPanel.name, layout="horizontal")
            # An open sample covers the panel.
            yield ctx.ops.notify(f"{run.title}: started, see the panel PAM runs.", variant="info")
            return
        yield ctx.ops.notify(f"{run.title}: started.", variant="info")
        record = run.wait()
        yield ctx.ops.reload_dataset()
        yield ctx.ops.reload_samples()
        sentence = f"{ended(record)} {note()}".rstrip()
        yield ctx.ops.notify(sentence, variant="warning" if record.counts.failed else "success")

    def run_from_python(
        self, collection: Any, options: RunOptions, *, delegate: bool, progress: bool | None
    ) -> dict[str, Any]:
        """Plan and run, or queue, a call from Python.

        Returns:
            The run's record; for a delegated run, `{"id": ...}` of the operation.

        Raises:
            PluginError: the run cannot be done; the message says why.
        """
        plan = self.plan(options, collection_target(collection, options))
        counts = plan.job.target.count()
        refuse_empty(plan, counts)
        if kept := _persons_work(plan.job):
            logger.warning("%s To replace them too: replace_human_work=True.", kept)
        # Check before queueing, because the caller does not see the worker's errors.
        if delegate:
            view = collection.view() if isinstance(collection, fo.Dataset) else collection
            ctx = {"view": view, "params": delegated_params(options)}
            result = foo.execute_operator(self.uri, ctx, request_delegation=True)
            return {"id": str(result.result["id"])}
        if plan.settings.note is not None:
            logger.warning("%s", plan.settings.note)
        noun = "images" if plan.job.everything else "regions"
        with closing(progress_of(plan)) as reports:
            # A bar needs the number of regions, which comes with the second report.
            next(reports)  # the first says only that the model loads
            begun = next(reports)
            with fo.ProgressBar(begun.total, progress, iters_str=noun) as bar:
                for report in reports:
                    bar.set_iteration(report.done)
        record = self.finish(plan, begun.key)
        # Log it, because a caller from Python may not look at the record.
        if record.counts.failed:
            logger.warning(
                "%s (of %s in %s): see the field pam_error or list_runs",
                failures_of(record.counts),
                counted(counts.regions, "region"),
                counted(counts.samples, "image"),
            )
        elif not counts.samples:
            logger.info("Nothing is left to do.")
        return record.to_dict()


def delegated_params(options: RunOptions) -> dict[str, Any]:
    """The parameters of a delegated call: the view that travels with it is the target."""
    defaults = type(options).model_construct().to_params()
    chosen = {
        name: "" if value is None else value  # None would count as not given
        for name, value in options.to_params().items()
        if value != defaults.get(name)
    }
    return {**chosen, "target": "view"}


def progress_of(plan: Plan) -> Generator[Progress, None, None]:
    """Run a plan until it is done or somebody asks it to stop, and yield its progress.

    It is reported while the model loads, at the start, then at most twice a second, and at the end.
    A run that is stopped, or whose generator is closed early, is recorded as interrupted.
    """
    last, key, dataset = -_SECONDS_BETWEEN, "", plan.job.target.dataset
    with closing(plan.run()) as run:
        for progress in run:
            late = time.monotonic() - last >= _SECONDS_BETWEEN
            if late or progress.key != key or progress.done == progress.total:
                last, key = time.monotonic(), progress.key
                # The database keeps both, so this is not done after each region.
                if key:
                    tell_progress(dataset, key, progress.done, progress.total, progress.text)
                yield progress
                if key and is_stop_wanted(dataset, key):
                    return


def share(progress: Progress) -> float:
    """How much is done, from 0 to 1."""
    return progress.done / progress.total if progress.total else 0.0


def refuse_empty(plan: Plan, counts: TargetCounts) -> None:
    """Refuse a run that has nothing to work on; a run with nothing left to do is accepted.

    Raises:
        PluginError: the choice holds no region (or no image).
    """
    job = plan.job
    if counts.samples or job.parameters.get("only") in ("missing", "empty"):
        return
    if job.everything is not None:
        raise PluginError("There is nothing to do: the dataset or view has no image.")
    raise PluginError(
        f"There is nothing to do: the dataset or view has no region in {job.target.field!r}."
    )


def warn(ctx: Any, sentence: str) -> Iterator[Any]:
    """Messages to the App: one warning."""
    yield ctx.ops.notify(sentence, variant="warning")


def context_target(ctx: Any, options: RunOptions) -> Resolve:
    """Returns a function that finds a field's target in what the App shows and has selected."""
    slices: Slices = "all" if options.all_slices else None
    return partial(resolve_context, ctx, where=options.target, slices=slices)


def collection_target(collection: Any, options: RunOptions) -> Resolve:
    """Returns a function that finds a field's target in a dataset or view."""
    return partial(resolve, collection, slices="all" if options.all_slices else None)


def amount_of(plan: Plan) -> str:
    """How much a run would do, in a sentence."""
    counts = _count(plan.job.target)
    images = counted(counts.samples, "image")
    if plan.job.everything is not None and counts.samples:
        return f"Everything in {images} will be looked for."
    if not counts.regions:
        left = "region" if plan.job.everything is None else "image"
        return f"There is nothing to do: no {left} is left in this choice."
    return f"{counted(counts.regions, 'region')} in {images}."


def _state_of(target: Target) -> tuple[Any, ...]:
    shown = repr(target.collection.view()._serialize())
    return target.dataset._doc.id, shown, target.field, target.policy


@cached(TTLCache(maxsize=64, ttl=5), key=_state_of)
def _count(target: Target) -> TargetCounts:
    """A target's count, up to some seconds old: every key press resolves the form again."""
    return target.count()


def _persons_work(job: RegionJob) -> PersonsWork:
    """What a run leaves because it is a person's."""
    return persons_work(job.target, job.answers) if job.keeps_human_work else PersonsWork()


def _job_state(job: RegionJob) -> tuple[Any, ...]:
    return *_state_of(job.target), job.answers.groups, job.answers.summary, job.keeps_human_work


_recent_persons_work = cached(TTLCache(maxsize=64, ttl=5), key=_job_state)(_persons_work)
"""The same, up to some seconds old, for the form."""
