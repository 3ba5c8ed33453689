"""The panel of runs: how far they are, buttons to stop them, and how the last ones ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import fiftyone.operators as foo
from fiftyone.operators import types

from ..errors import PluginError
from ..runs.records import list_runs
from .background import begun_on
from .execution_store import is_stop_wanted, progress_told, want_stop
from .sentences import ended, moment_of, title_of

if TYPE_CHECKING:
    from ..runs.records import RunRecord

_INTERVAL = 2000  # milliseconds between two looks at the database
_SHOWN = 5
_ADVICE = (
    "A run goes on when this page is closed or reloaded, and ends with the App's server. A "
    "scheduled run ends with its worker. What a stopped run wrote stays, and a later run can "
    "continue it."
)


class RunsPanel(foo.Panel):  # type: ignore[misc]  # FiftyOne is untyped
    """Shows the runs on a dataset, also those of workers and scripts."""

    name: ClassVar[str] = "pam_runs"

    @property
    def config(self) -> Any:
        """How FiftyOne offers the panel."""
        return foo.PanelConfig(
            name=self.name,
            label="PAM runs",
            icon="hourglass_top",
            surfaces="grid",
            help_markdown="The runs of PAM on this dataset: how far they are, and how they ended.",
        )

    def on_load(self, ctx: Any) -> None:
        """Look at the runs."""
        self.look(ctx)

    on_change_dataset = on_load
    on_change_view = on_load  # the App calls it after it loaded the dataset anew

    def look(self, ctx: Any) -> None:
        """Show how the runs are now; once one has ended, the App shows what it wrote."""
        if ctx.dataset is None:
            return
        before = {one["key"] for one in ctx.panel.get_state("going") or ()}
        try:
            records = list_runs(ctx.dataset)
        except PluginError as error:  # a record that cannot be read
            ctx.panel.set_state({"going": [], "failed": [str(error)], "over": []})
            return
        loading = [
            {"id": run.id, "key": "", "title": run.title, "text": run.progress.text}
            | {"stopping": run.is_stopping}
            for run in begun_on(ctx.dataset)
            if run.is_going and not run.progress.key
        ]
        going = [_going(ctx, record) for record in records if record.state == "running"]
        failed = [
            f"{run.title}: {run.error}"
            for run in begun_on(ctx.dataset)
            if run.error is not None and not run.progress.key
        ]
        over = [record for record in records if record.state != "running"][: -_SHOWN - 1 : -1]
        ctx.panel.set_state(
            {
                "going": [*loading, *going],
                "failed": failed,
                "over": [f"{moment_of(record)} · {ended(record)}" for record in over],
            }
        )
        if before & {record.key for record in over}:
            ctx.ops.reload_dataset()

    def stop(self, ctx: Any) -> None:
        """Ask a run to stop, also one whose model is loading or was when the button was drawn."""
        key = ctx.params.get("key")
        for run in begun_on(ctx.dataset):
            if run.id == ctx.params.get("id"):
                run.stop()
                key = run.progress.key
        if key:
            want_stop(ctx.dataset, key)
        self.look(ctx)

    def render(self, ctx: Any) -> Any:
        """Draw the panel from its state."""
        form = types.Object()
        # The App calls `look` again and again, as long as the panel is open.
        form.view("timer", types.TimerView(interval=_INTERVAL, on_interval=self.look))
        going = ctx.panel.get_state("going") or []
        for number, one in enumerate(going):
            self._draw(form, number, one)
        if going:
            form.view("advice", types.Notice(label=_ADVICE))
        for number, sentence in enumerate(ctx.panel.get_state("failed") or ()):
            form.view(f"failed_{number}", types.Error(label=sentence))
        over = ctx.panel.get_state("over") or []
        if over:
            # Not "over": the App shows a part's value in the state, if it has one of this name.
            form.md("\n".join(f"- {line}" for line in over), name="last_runs")
        elif not going:
            form.view("none", types.Notice(label="Nothing was run on this dataset yet."))
        return types.Property(form, view=types.GridView(gap=1.5, px=2, py=1))

    def _draw(self, form: types.Object, number: int, one: dict[str, Any]) -> None:
        """A run that goes on: what it does, its bar, and the button that stops it."""
        form.md(f"**{one['title']}**", name=f"title_{number}")
        bar = types.ProgressView(label=one["text"])
        form.float(f"bar_{number}", default=one.get("share"), view=bar)
        if one["stopping"]:
            form.md("It stops after its current image.", name=f"stopping_{number}")
        else:
            form.btn(
                f"stop_{number}",
                "Stop",
                icon="stop",
                on_click=self.stop,
                params={"id": one["id"], "key": one["key"]},
            )


def _going(ctx: Any, record: RunRecord) -> dict[str, Any]:
    told = progress_told(ctx.dataset, record.key)
    done, total = told.get("done", 0), told.get("total", 0)
    return {
        "id": "",
        "key": record.key,
        "title": title_of(record),
        "text": told.get("text") or "started",
        "share": done / total if total else None,
        "stopping": is_stop_wanted(ctx.dataset, record.key),
    }
