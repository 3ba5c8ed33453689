"""The base of the operators that run the model: form, App, workers, and calls from Python."""

from __future__ import annotations

import logging
import time
from abc import abstractmethod
from contextlib import ExitStack, closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

import fiftyone as fo
import fiftyone.operators as foo
from cachetools import TTLCache

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..runs.records import RunRecord, read_run
from ..targets.target import Target, TargetCounts, resolve, resolve_context
from .execution_store import is_stop_wanted, recall, remember
from .forms import Form, default_target, params_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ..runs.engine import Progress
    from ..targets.missing import OverwritePolicy
    from .options import RunOptions
    from .plans import Plan, Resolve

logger = logging.getLogger(__name__)  # FiftyOne shows those of plugins

_SECONDS_BETWEEN = 0.5  # between two messages of progress: each is a request, or a write
# A form is resolved anew with every key that is pressed.
_COUNTED: TTLCache[tuple[Any, ...], TargetCounts] = TTLCache(maxsize=64, ttl=5)


class ModelOperator(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """An operator that runs the model over a target."""

    title: ClassVar[str]
    description: ClassVar[str]
    icon: ClassVar[str] = "/assets/icon.svg"
    name_in_plugin: ClassVar[str]  # without the plugin's name
    options_type: ClassVar[type[RunOptions]]
    plan: ClassVar[Any]  # of plans.py: (options, Resolve) -> Plan
    takes_labels: ClassVar[bool] = True
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
        """Fill the form, but for target and model."""

    def after(self, plan: Plan, record: RunRecord) -> None:
        """What is left to do when a run has ended."""

    def resolve_input(self, ctx: Any) -> Any:
        """The form, with the number of regions, or with the reason why it cannot be done."""
        if ctx.dataset is None:
            return None
        form = Form(ctx, recall(ctx.dataset, self.name_in_plugin))
        form.target(labels=self.takes_labels)
        try:
            self.define(form)
            form.model()
            options = self.options_of(ctx, form)
            plan = self.plan(options, context_target(ctx, options))
            form.notice("amount", amount_of(plan))
        except InputError as error:
            form.refuse(str(error))
        return form.finish(self.title, self.description, "Run")

    def options_of(self, ctx: Any, form: Form | None = None) -> Any:
        """The options of a context: what a form or a caller gave, and what is remembered."""
        params = params_of(ctx.params)
        if form is not None:
            params = {**params_of(form.values()), **params}
        params.setdefault("target", default_target(ctx, labels=self.takes_labels))
        return self.options_type.from_params(params)

    def execute(self, ctx: Any) -> Any:
        """Run now with messages to the App; or to the end in a worker, whose result is kept."""
        options = self.options_of(ctx)
        plan = self.plan(options, context_target(ctx, options))
        remember(ctx.dataset, self.name_in_plugin, options.to_params())
        return self.begin(ctx, plan)

    def begin(self, ctx: Any, plan: Plan, note: str = "") -> Any:
        """Run a plan in a context; the App is told of a note at the end."""
        refuse_empty(plan, _count(plan.job.target))
        if ctx.delegated:
            return self._in_worker(ctx, plan)
        return self._in_app(ctx, plan, note)

    def _in_worker(self, ctx: Any, plan: Plan) -> dict[str, Any]:
        steps = Steps(plan)
        for progress in thinned(steps):
            ctx.set_progress(progress=share(progress), label=progress.text)
        self.after(plan, steps.record)
        return steps.record.to_dict()

    def _in_app(self, ctx: Any, plan: Plan, note: str) -> Iterator[Any]:
        steps = Steps(plan)
        with closing(thinned(steps)) as shown:
            for progress in shown:
                yield ctx.ops.set_progress(progress=share(progress), label=progress.text)
        self.after(plan, steps.record)
        yield ctx.ops.reload_dataset()
        failed = steps.record.counts.failed
        sentence = " ".join(part for part in (describe_run(steps.record), note) if part)
        yield ctx.ops.notify(sentence, variant="warning" if failed else "success")

    def run_from_python(
        self, collection: Any, options: RunOptions, *, delegate: bool, progress: bool | None
    ) -> dict[str, Any]:
        """Plan and run, or queue, what a call from Python asks for.

        Returns:
            The run's record; of a delegated run `{"id": ...}` of the operation.

        Raises:
            PluginError: it cannot be done; the sentence says why.
        """
        plan = self.plan(options, collection_target(collection, options))
        counts = plan.job.target.count()
        refuse_empty(plan, counts)
        # Checked here already: who queues a run does not see the worker's refusal.
        if delegate:
            view = collection.view() if isinstance(collection, fo.Dataset) else collection
            ctx = {"view": view, "params": delegated_params(options)}
            result = foo.execute_operator(self.uri, ctx, request_delegation=True)
            return {"id": str(result.result["id"])}
        remember(plan.job.target.dataset, self.name_in_plugin, options.to_params())
        steps = Steps(plan)
        counted = "images" if plan.job.everything else "regions"
        with closing(iter(steps)) as reports, ExitStack() as stack:
            bar = None
            for report in reports:
                if bar is None and report.key:  # the first report says only that the model loads
                    bar = fo.ProgressBar(report.total, progress, iters_str=counted)
                    stack.enter_context(bar)
                elif bar is not None:
                    bar.set_iteration(report.done)
        self.after(plan, steps.record)
        _tell(steps.record, counts)
        return steps.record.to_dict()


def delegated_params(options: RunOptions) -> dict[str, Any]:
    """The parameters of a delegated call: the view that travels with it is the target."""
    defaults = type(options).model_construct().to_params()
    chosen = {
        name: "" if value is None else value  # None itself would be taken for "not said"
        for name, value in options.to_params().items()
        if value != defaults.get(name)
    }
    return {**chosen, "target": "view"}


class Steps:
    """A plan's progress; when it is through, its record.

    Leaving the loop early, or asking for the run to stop, closes it: it is then recorded as
    interrupted.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._record: RunRecord | None = None

    @property
    def record(self) -> RunRecord:
        """The record of the run, which is through."""
        assert self._record is not None
        return self._record

    def __iter__(self) -> Generator[Progress, None, None]:
        dataset = self._plan.job.target.dataset
        asked = time.monotonic()
        with closing(self._plan.run()) as run:
            # Not a for loop, which would drop the record that the generator returns.
            while True:
                try:
                    progress = next(run)
                except StopIteration as end:
                    self._record = end.value
                    return
                yield progress
                if progress.key and time.monotonic() - asked >= _SECONDS_BETWEEN:
                    asked = time.monotonic()
                    if is_stop_wanted(dataset, progress.key):
                        run.close()
                        self._record = read_run(dataset, progress.key)
                        return


def thinned(steps: Steps) -> Generator[Progress, None, None]:
    """The first progress, and then at most two a second."""
    last = -_SECONDS_BETWEEN
    with closing(iter(steps)) as reports:
        for progress in reports:
            now = time.monotonic()
            if now - last >= _SECONDS_BETWEEN:
                last = now
                yield progress


def share(progress: Progress) -> float:
    """How much is done, from 0 to 1."""
    return progress.done / progress.total if progress.total else 0.0


def describe_run(record: RunRecord) -> str:
    """What became of a run, in a sentence."""
    counts = record.counts
    if record.operator == "find_regions" or counts.added:
        text = f"{counts.added:,} regions found"
    else:
        text = f"{counts.regions:,} regions written"
    if record.state == "interrupted":
        text += ", then stopped"
    failed = f"; {counts.failed:,} samples with a reason in pam_error" if counts.failed else ""
    return f"{record.operator}: {text}{failed}. Undo it as {record.key}."


def refuse_empty(plan: Plan, counts: TargetCounts) -> None:
    """Refuse a run that has nothing to work on; one that has nothing left to do is welcome.

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


def _tell(record: RunRecord, counts: TargetCounts) -> None:
    """Log what a caller from Python would else find out only in the record."""
    failed = record.counts.failed
    if failed:
        images = "image" if counts.samples == 1 else "images"
        logger.warning(
            "%s of %s %s failed: see the field pam_error or list_runs",
            f"{failed:,}",
            f"{counts.samples:,}",
            images,
        )
    elif not counts.samples:
        logger.info("Nothing is left to do.")


def context_target(ctx: Any, options: RunOptions) -> Resolve:
    """Resolves a field in what the App shows and has selected."""

    def find(field: str | None, policy: OverwritePolicy) -> Target:
        slices: Any = "all" if options.all_slices else None
        where: Any = options.target
        shown = ctx
        if where == "current_sample":
            if not ctx.current_sample:
                raise PluginError("No sample is open: open one, or choose the view.")
            where = "selected_samples"
            shown = SimpleNamespace(
                dataset=ctx.dataset,
                view=ctx.view,
                selected=[ctx.current_sample],
                selected_labels=ctx.selected_labels,
                group_slice=ctx.group_slice,
            )
        return resolve_context(shown, field=field, where=where, slices=slices, policy=policy)

    return find


def collection_target(collection: Any, options: RunOptions) -> Resolve:
    """Resolves a field in a dataset or view."""

    def find(field: str | None, policy: OverwritePolicy) -> Target:
        slices: Any = "all" if options.all_slices else None
        return resolve(collection, field=field, slices=slices, policy=policy)

    return find


def amount_of(plan: Plan) -> str:
    """How much a run would do, in a sentence."""
    counts = _count(plan.job.target)
    images = "1 image" if counts.samples == 1 else f"{counts.samples:,} images"
    if plan.job.everything is not None and counts.samples:
        return f"Everything in {images} will be looked for."
    if not counts.regions:
        left = "region" if plan.job.everything is None else "image"
        return f"There is nothing to do: no {left} is left in this choice."
    regions = "1 region" if counts.regions == 1 else f"{counts.regions:,} regions"
    return f"{regions} in {images}."


def _count(target: Target) -> TargetCounts:
    """A target's count, which may be some seconds old."""
    collection = repr(target.collection.view()._serialize())
    state = (target.dataset._doc.id, collection, target.field, target.policy)
    if state not in _COUNTED:
        _COUNTED[state] = target.count()
    return _COUNTED[state]
