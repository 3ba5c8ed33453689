"""Stops a run that is going on, here or in a worker."""

from __future__ import annotations

from typing import Any

import fiftyone.operators as foo
from fiftyone.operators import types

from ..errors import PluginError
from ..runs.records import end, is_silent, read_run
from .execution_store import want_stop
from .run_forms import needed_key, refusal, run_choice


class StopRun(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """Asks a run to stop after the image it is at; what it wrote stays, and can be undone."""

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name="stop_run",
            label="PAM: Stop a run",
            description="Stop a run after the image it is at; what it wrote stays",
            dynamic=True,
            view_target=False,
        )

    def __call__(self, collection: Any, key: str) -> None:
        """Ask a run to stop; one that has written nothing for ten minutes is ended here.

        Args:
            collection: the dataset, or a view on it.
            key: the run, as `list_runs` has it.

        Raises:
            PluginError: there is no such run, or it is not running.
        """
        record = read_run(collection, key)
        if record.state != "running":
            raise PluginError(f"The run {key!r} is {record.state}: there is nothing to stop.")
        want_stop(collection._root_dataset, key)
        if is_silent(record):  # nobody may be left to hear it
            end(collection, record, "It had written nothing for ten minutes, and was stopped.")

    def resolve_input(self, ctx: Any) -> Any:
        """The runs that are going on."""
        inputs = types.Object()
        try:
            run_choice(inputs, ctx, "key", "Run", lambda record: record.state == "running")
        except PluginError as error:
            refusal(inputs, error)
        view = types.PromptView(label="Stop a run", submit_button_label="Stop")
        return types.Property(inputs, view=view)

    def execute(self, ctx: Any) -> None:
        """Ask the run, and say so."""
        key = needed_key(ctx.params, "key")
        self(ctx.dataset, key)
        ctx.ops.notify(f"{key} stops after the image it is at.", variant="info")
