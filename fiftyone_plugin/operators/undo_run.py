"""Takes back what a run changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone.operators as foo
from fiftyone.operators import types

from ..errors import PluginError
from ..runs.saved_views import delete_view
from ..runs.undo import undo_run
from .run_forms import needed_key, refusal, run_choice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..runs.records import RunRecord


class UndoRun(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """Restores what a run changed, exactly; what a person edited since then stays."""

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name="undo_run",
            label="PAM: Undo a run",
            description="Restore what a run changed; what somebody edited since then stays",
            dynamic=True,
            execute_as_generator=True,
            allow_delegated_execution=True,
            view_target=False,
        )

    def __call__(self, collection: Any, key: str, *, skip_missing: bool = False) -> dict[str, Any]:
        """Undo a run. Of the runs that wrote to one field the newest is undone first.

        Args:
            collection: the dataset, or a view on it: everything that the run did is undone anyway.
            key: the run, as `list_runs` has it.
            skip_missing: undo the rest where a field that the run wrote was deleted.

        Returns:
            The run's record, with what was done in `undone`.

        Raises:
            PluginError: there is no such run; it is still running, or undone already; a newer run
                wrote to the same field; or a field is not found.
        """
        return self._undo(collection, key, skip_missing).to_dict()

    def resolve_input(self, ctx: Any) -> Any:
        """The runs that can be undone."""
        inputs = types.Object()
        try:
            run_choice(
                inputs, ctx, "key", "Run", lambda run: run.state not in ("running", "undone")
            )
        except PluginError as error:
            refusal(inputs, error)
        inputs.bool("skip_missing", default=False, label="Undo the rest where a field was deleted")
        view = types.PromptView(label="Undo a run", submit_button_label="Undo")
        return types.Property(inputs, view=view)

    def execute(self, ctx: Any) -> Any:
        """Undo now with messages to the App, or in a worker, whose result is kept."""
        key, skip_missing = needed_key(ctx.params, "key"), bool(ctx.params.get("skip_missing"))
        if ctx.delegated:
            return self(ctx.dataset, key, skip_missing=skip_missing)
        return self._in_app(ctx, key, skip_missing)

    def _in_app(self, ctx: Any, key: str, skip_missing: bool) -> Iterator[Any]:
        yield ctx.ops.set_progress(label=f"Undoing {key}")
        undone = self._undo(ctx.dataset, key, skip_missing).undone
        assert undone is not None
        yield ctx.ops.reload_dataset()
        kept = f"; {undone.kept:,} edited since then stay" if undone.kept else ""
        sentence = (
            f"{key} is undone: {undone.restored:,} values restored, "
            f"{undone.removed:,} labels removed{kept}."
        )
        yield ctx.ops.notify(sentence, variant="success")

    def _undo(self, collection: Any, key: str, skip_missing: bool) -> RunRecord:
        record = undo_run(collection, key, skip_missing=skip_missing)
        dataset = collection._root_dataset
        dataset.reload()  # fields are gone from the schema, and the run may be another process's
        delete_view(dataset, record)
        return record
