"""The operators on runs: list, compare, stop and undo them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import fiftyone.operators as foo
from fiftyone.operators import types

from ..errors import PluginError
from ..runs.compare import compare_runs, names_of
from ..runs.records import RunRecord, end, is_silent, list_runs, read_run
from ..runs.saved_views import delete_view
from ..runs.undo import undo_run
from .execution_store import want_stop
from .forms import Form
from .sentences import BESIDE, counted, moment_of, outcome_of, shown, title_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COLUMNS = {"run": "Run", "began": "Began", "outcome": "Outcome"}  # more do not fit the dialog
_REASON = 160  # characters of a reason in a table


class RunOperator(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """An operator on the runs of a dataset.

    Attributes:
        settings: for FiftyOne's `OperatorConfig`. The form has the label as its title, and the
            label's verb on its button.
    """

    settings: ClassVar[dict[str, Any]]

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(**self.settings, view_target=False)

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        """Fill the form.

        Raises:
            PluginError: the dataset has no run that the operator can use.
        """

    def resolve_input(self, ctx: Any) -> Any:
        """The form, or the reason why there is nothing to choose."""
        form = Form(ctx, {}, self.config.name)
        try:
            self.fill(ctx, form.inputs)
        except PluginError as error:
            form.refuse(str(error))
        title = self.config.label.removeprefix("PAM: ")
        return form.finish(title, None, title.split()[0])


class ListRuns(RunOperator):
    """Shows the runs on a dataset, with their model, settings and outcome."""

    settings: ClassVar = {
        "name": "list_runs",
        "label": "PAM: List runs",
        "description": "The runs on the dataset, with their model and outcome",
    }

    def __call__(self, collection: Any) -> list[dict[str, Any]]:
        """The records of a dataset's runs, oldest first.

        Args:
            collection: the dataset, or a view on it.
        """
        return [record.to_dict() for record in list_runs(collection)]

    def resolve_input(self, ctx: Any) -> Any:
        """No form."""
        return None

    def execute(self, ctx: Any) -> dict[str, Any]:
        """The runs, the newest first, as rows."""
        rows = [
            {
                "run": f"{title_of(record)} ({record.model})",
                "began": moment_of(record),
                "outcome": _outcome(record),
                "key": record.key,
                "parameters": record.parameters,
            }
            for record in reversed(list_runs(ctx.dataset))
        ]
        return {"runs": rows}

    def resolve_output(self, ctx: Any) -> Any:
        """A table."""
        outputs = types.Object()
        if ctx.results.get("runs"):
            outputs.list("runs", types.Object(), label="Runs", view=_table(_COLUMNS))
        else:
            outputs.view("none", types.Notice(label="Nothing was run on this dataset yet."))
        return types.Property(outputs, view=types.View(label="Runs"))


class CompareRuns(RunOperator):
    """Shows what two runs wrote on the same regions, such as two models' captions."""

    settings: ClassVar = {
        "name": "compare_runs",
        "label": "PAM: Compare two runs",
        "description": "Two models' captions of the same regions, side by side",
        "dynamic": True,
    }

    def __call__(
        self, collection: Any, first: str, second: str, *, limit: int = 1000
    ) -> dict[str, Any]:
        """Compare what two runs wrote on the regions that both worked on.

        Args:
            collection: the dataset, or a view on it; the runs are compared on all their regions.
            first: the key of the first run, as `list_runs` shows it.
            second: the key of the second run.
            limit: the most rows.

        Returns:
            `first` and `second` (the records), `rows` (`sample_id`, `label_id`, and each run's
            values by attribute), `regions` and `different` (their total numbers), and `view`, the
            regions.

        Raises:
            PluginError: a run does not exist, both keys name the same run, or the runs have no
                region in common.
        """
        found = compare_runs(collection, first, second, limit=limit)
        return {**found.to_dict(), "view": found.view}

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        """Two of the runs."""
        for name, label, index in (("first", "First run", 1), ("second", "Second run", 0)):
            _choose_run(
                ctx,
                inputs,
                name,
                label,
                lambda run: run.counts.regions > 0,
                "Two runs that wrote on regions are needed, and there are not so many here yet.",
                index,
            )
        inputs.bool("only_different", default=True, label="Only where they differ")

    def execute(self, ctx: Any) -> dict[str, Any]:
        """What both runs wrote, as rows; the view that the App shows stays."""
        found = compare_runs(
            ctx.dataset,
            _key(ctx, "first"),
            _key(ctx, "second"),
            limit=200,
            only_different=bool(ctx.params.get("only_different", True)),
        )
        summary = (
            f"{counted(found.regions, 'region')} in both runs; {found.different:,} "
            f"{'differs' if found.different == 1 else 'differ'}; {len(found.rows):,} shown."
        )
        names = names_of(found)
        rows = [
            {
                "region": names.get(row.label_id, row.label_id),
                "first": _words(row.first),
                "second": _words(row.second),
                "label_id": row.label_id,
                "sample_id": row.sample_id,
            }
            for row in found.rows
        ]
        return {
            "rows": rows,
            "summary": summary,
            "first": f"{title_of(found.first)} ({found.first.model})",
            "second": f"{title_of(found.second)} ({found.second.model})",
        }

    def resolve_output(self, ctx: Any) -> Any:
        """A table."""
        outputs = types.Object()
        outputs.view("note", types.Notice(label=ctx.results.get("summary", "")))
        columns = {name: str(ctx.results.get(name)) for name in ("first", "second")}
        view = _table({"region": "Region", **columns})
        outputs.list("rows", types.Object(), label="Texts", view=view)
        return types.Property(outputs, view=types.View(label="Two runs"))


class StopRun(RunOperator):
    """Asks a run to stop after its current image; what it wrote stays, and can be undone."""

    settings: ClassVar = {
        "name": "stop_run",
        "label": "PAM: Stop a run",
        "description": "Stop a run after its current image; what it wrote stays",
        "dynamic": True,
    }

    def __call__(self, collection: Any, key: str) -> None:
        """Ask a run to stop; a run that has written nothing for ten minutes is ended at once.

        Args:
            collection: the dataset, or a view on it.
            key: the run's key, as `list_runs` shows it.

        Raises:
            PluginError: there is no such run, or it is not running.
        """
        record = read_run(collection, key)
        if record.state != "running":
            raise PluginError(f"The run {key!r} is {record.state}: there is nothing to stop.")
        want_stop(collection._root_dataset, key)
        if is_silent(record):  # its process may hang, or its machine may be gone
            end(collection, record, "It had written nothing for ten minutes, and was stopped.")

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        """Offer the runs that have not ended."""
        _choose_run(
            ctx,
            inputs,
            "key",
            "Run",
            lambda run: run.state == "running",
            "No run is going on here: there is nothing to stop.",
        )

    def execute(self, ctx: Any) -> None:
        """Ask the run, and say so."""
        key = _key(ctx)
        title = title_of(read_run(ctx.dataset, key))
        self(ctx.dataset, key)
        ctx.ops.notify(f"{title}: it stops after its current image.", variant="info")


class UndoRun(RunOperator):
    """Restores what a run changed, exactly; what a person edited since then stays."""

    settings: ClassVar = {
        "name": "undo_run",
        "label": "PAM: Undo a run",
        "description": "Restore what a run changed; what somebody edited since then stays",
        "dynamic": True,
        "execute_as_generator": True,
        "allow_delegated_execution": True,
    }

    def __call__(self, collection: Any, key: str, *, skip_missing: bool = False) -> dict[str, Any]:
        """Undo a run. Of several runs that wrote to one field, undo the newest first.

        Args:
            collection: the dataset, or a view on it; the whole run is undone in either case.
            key: the run's key, as `list_runs` shows it.
            skip_missing: if a field that the run wrote was deleted, undo the rest.

        Returns:
            The run's record, with the numbers of restored, removed and kept values in `undone`.

        Raises:
            PluginError: there is no such run; it is still running, or already undone; a newer run
                wrote to the same field; or a field is not found.
        """
        record = undo_run(collection, key, skip_missing=skip_missing)
        dataset = collection._root_dataset
        dataset.reload()  # the schema lost fields, and another process may have done the run
        delete_view(dataset, record)
        return record.to_dict()

    def fill(self, ctx: Any, inputs: types.Object) -> None:
        """Offer the runs that can be undone."""
        _choose_run(
            ctx,
            inputs,
            "key",
            "Run",
            lambda run: run.state not in ("running", "undone"),
            "There is no run here that can be undone.",
        )
        inputs.bool("skip_missing", default=False, label="Undo the rest where a field was deleted")

    def execute(self, ctx: Any) -> Any:
        """Undo now with messages to the App, or in a worker, whose result is kept."""
        key, skip_missing = _key(ctx), bool(ctx.params.get("skip_missing"))
        if ctx.delegated:
            return self(ctx.dataset, key, skip_missing=skip_missing)
        return self._in_app(ctx, key, skip_missing)

    def _in_app(self, ctx: Any, key: str, skip_missing: bool) -> Iterator[Any]:
        title = title_of(read_run(ctx.dataset, key))
        yield ctx.ops.set_progress(label=f"Undoing {title}")
        undone = self(ctx.dataset, key, skip_missing=skip_missing)["undone"]
        yield ctx.ops.reload_dataset()
        kept = f"; {undone['kept']:,} edited since then stay" if undone["kept"] else ""
        sentence = (
            f"{title} is undone: {counted(undone['restored'], 'value')} restored, "
            f"{counted(undone['removed'], 'label')} removed{kept}."
        )
        yield ctx.ops.notify(sentence, variant="success")


def _choose_run(
    ctx: Any,
    inputs: types.Object,
    name: str,
    label: str,
    wanted: Callable[[RunRecord], bool],
    otherwise: str,
    first: int = 0,
) -> None:
    """Offer those of the dataset's runs that fit, the newest first; index `first` is selected.

    Raises:
        PluginError: there are not so many; the message is `otherwise`.
    """
    records = [record for record in reversed(list_runs(ctx.dataset)) if wanted(record)]
    # Two runs are needed to compare them.
    if len(records) <= first:
        raise PluginError(otherwise)
    choices = types.DropdownView()
    for record in records:
        line = f"by {record.model}: {outcome_of(record)}"
        choices.add_choice(
            record.key, label=f"{title_of(record)}, {moment_of(record)}", description=line
        )
    inputs.enum(
        name, choices.values(), default=records[first].key, required=True, label=label, view=choices
    )


def _key(ctx: Any, name: str = "key") -> str:
    """A run's key from an operator's parameters."""
    key = ctx.params.get(name)
    if not isinstance(key, str) or not key:
        raise PluginError(
            f"The parameter {name} is missing: give a run's key, as list_runs has it."
        )
    return key


def _table(columns: dict[str, str]) -> types.TableView:
    # The App's tables are wider than its dialogs.
    return types.TableView(
        columns=[types.Column(key, label=columns[key]) for key in columns],
        componentsProps={"table": {"sx": {"minWidth": 0}}},
    )


def _outcome(record: RunRecord) -> str:
    reason = record.reason or next((one.reason for one in record.failures), "")
    short = reason if len(reason) <= _REASON else f"{reason[:_REASON]}..."
    return f"{outcome_of(record)}{f': {short}' if short else ''}"


def _words(values: dict[str, Any]) -> str:
    """What a run wrote onto a region; the probability of an object only if it is all."""
    told = {name: value for name, value in values.items() if name not in BESIDE} or values
    single = len(told) == 1
    return "; ".join(
        shown(value) if single else f"{name}: {shown(value)}" for name, value in told.items()
    )
