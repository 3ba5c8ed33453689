"""The review panel: one region at a time, with its texts, for a person's verdict.

The panel's state holds everything that it shows, so drawing it does not read the database; the
events read the database and change the state.
"""

from __future__ import annotations

import functools
import json
import threading
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import fiftyone.operators as foo
from cachetools import LRUCache
from fiftyone.operators import types

from pam_labeling.errors import InputError

from ..errors import PluginError
from ..labels.marks import SHOWN_FIRST, Verdict
from ..targets.views import in_all_slices
from .ahead import Ahead
from .fields import class_fields_of, frame_fields_of, subjects_of
from .form import draw_form
from .queue import (
    ChangedError,
    Filters,
    Item,
    Place,
    ReviewQueue,
    ReviewTally,
    Subject,
    is_changed,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    Event = Callable[["ReviewPanel", Any], None]

NAME = "review_regions"
_PREFERRED = {
    "text": SHOWN_FIRST,
    "model_label": ("pam_label",),
    "score": ("pam_score", "caption_score", "confidence"),
}
_SHOWN = ("text", "name", "model_label", "disagrees", "score", "verdict")
_MOST_STEPS_BACK = 50
_LOCK = threading.Lock()
_AHEAD: LRUCache[Any, Ahead] = LRUCache(32)
"""What was fetched for the panels that are open; another process fetches its own."""


def _event(method: Event) -> Event:
    """Turn a method into an event of the panel that shows an error instead of failing."""

    @functools.wraps(method)
    def told(panel: ReviewPanel, ctx: Any) -> None:
        try:
            method(panel, ctx)
        except InputError as error:
            ctx.ops.notify(str(error), variant="error")

    return told


class ReviewPanel(foo.Panel):  # type: ignore[misc]  # FiftyOne is untyped
    """Review the texts on regions: accept, edit, reject."""

    @property
    def config(self) -> Any:
        return foo.PanelConfig(
            name=NAME,
            label="Review regions",
            icon="rate_review",
            surfaces="grid modal",
            help_markdown="Accept, edit or reject the texts on regions, one after the other.",
        )

    @_event
    def on_load(self, ctx: Any) -> None:
        """Choose what can be reviewed, and show the first region."""
        fields = subjects_of(ctx.view)
        if not fields:
            elsewhere = {"frames": frame_fields_of(ctx.view), "classes": class_fields_of(ctx.view)}
            ctx.panel.set_state({"fields": None, "item": None, "elsewhere": elsewhere})
            return
        ctx.panel.set_state({"fields": fields})
        known, preferred = ctx.panel.get_state("subject.field"), set(_PREFERRED["text"])
        captioned = (name for name, (texts, _) in fields.items() if preferred & set(texts))
        first = known if known in fields else next(captioned, next(iter(fields)))
        self._choose_field(ctx, first)
        self._start(ctx)

    @_event
    def on_change_view(self, ctx: Any) -> None:
        """Keep the region that is shown, and what was typed there, if the view still has it.

        The App also calls this when nothing changed: while it opens, and after it reloads.
        """
        if place := _place(ctx):
            # Refused if the view does not have the region, or a field or an attribute.
            with suppress(PluginError):
                queue = _queue(ctx)
                queue.at(place)
                ctx.panel.set_state("fields", subjects_of(ctx.view))
                _set_tally(ctx, queue.tally())
                return
        self.on_load(ctx)

    on_change_dataset = on_change_view

    @_event
    def on_change_current_sample(self, ctx: Any) -> None:
        """Follow the sample that is open."""
        item = ctx.panel.get_state("item")
        if ctx.current_sample and item and item["sample_id"] != ctx.current_sample:
            self._start(ctx)

    @_event
    def change_field(self, ctx: Any) -> None:
        """Switch to another field, with its own attributes."""
        self._choose_field(ctx, ctx.params["value"])
        self._start(ctx)

    @_event
    def change_filters(self, ctx: Any) -> None:
        """Start again with the new filters or attribute, which the state already holds."""
        self._start(ctx)

    @_event
    def accept(self, ctx: Any) -> None:
        """Accept the text and the label; if changed, they count as edited."""
        self._decide(ctx, "accepted")

    @_event
    def reject(self, ctx: Any) -> None:
        """Mark the text as wrong."""
        self._decide(ctx, "rejected")

    @_event
    def accept_all(self, ctx: Any) -> None:
        """Accept all regions that the filters show, as they are; only on the second request."""
        queue = _queue(ctx, ctx.current_sample)
        places = queue.shown()
        asked = ctx.panel.get_state("accepting")
        if not places:
            ctx.ops.notify("No region that the filters show is left to accept.")
        elif asked != len(places):  # also if there are more than there were
            ctx.panel.set_state("accepting", len(places))
            where = " of this sample" if ctx.current_sample else ""
            ctx.ops.notify(
                f"This accepts the texts of {_regions(len(places))}{where} as they are, also those "
                "that you have not looked at. Press the button again to accept them.",
                "warning",
            )
        else:
            is_new = queue.accept_all(places)
            (ctx.ops.reload_dataset if is_new else ctx.ops.reload_samples)()
            ctx.ops.notify(f"{_regions(len(places))} accepted.", "success")
            self._start(ctx)

    @_event
    def use_model_label(self, ctx: Any) -> None:
        """Copy the model's label into the label; accepting keeps it."""
        ctx.panel.set_state("name", ctx.panel.get_state("item.model_label"))

    @_event
    def skip(self, ctx: Any) -> None:
        """Go on without a verdict; drop typed changes only on the second request."""
        place, state = _place(ctx), ctx.panel.get_state
        shown = [(state(key) or "", state(f"item.{key}") or "") for key in ("text", "name")]
        changed = place is not None and any(is_changed(before, now) for now, before in shown)
        if changed and not state("dropping"):
            ctx.panel.set_state("dropping", True)
            ctx.ops.notify("Accept keeps your changes; press Next again to drop them.", "warning")
            return
        self._go_on(ctx, place)

    @_event
    def go_back(self, ctx: Any) -> None:
        """Show the region before this one again, whatever its verdict."""
        history = list(ctx.panel.get_state("history") or ())
        if not history:
            ctx.ops.notify("This is the first region that you looked at.")
            return
        place = Place(*history.pop())
        ctx.panel.set_state("history", history)
        ahead = _ahead(ctx)
        self._show(ctx, ahead, ahead.at(place))

    @_event
    def open_sample(self, ctx: Any) -> None:
        """Open the region's sample in the App, with the region selected."""
        place = _place(ctx)
        if place is not None:
            ctx.ops.open_sample(id=place.sample_id)
            label = {**asdict(place), "field": ctx.panel.get_state("subject.field")}
            ctx.ops.set_selected_labels([label])

    @_event
    def show_frames(self, ctx: Any) -> None:
        """Show the frames of the videos, whose texts this panel can review."""
        if "filepath" not in ctx.dataset.get_frame_field_schema():
            raise PluginError(
                "The frames have no images yet: make them in Python with "
                "dataset.to_frames(sample_frames=True), which needs ffmpeg."
            )
        ctx.ops.set_view(in_all_slices(ctx.view, frames=True).to_frames())

    def render(self, ctx: Any) -> Any:
        """Draw the panel from its state."""
        return types.Property(draw_form(self, ctx.panel), view=types.GridView(gap=1.5, px=2, py=1))

    def _choose_field(self, ctx: Any, field: str) -> None:
        texts, numbers = ctx.panel.get_state("fields")[field]
        # Former choices stay if this field has them.
        known = ctx.panel.get_state("subject") or {}
        kept = known if known.get("field") == field else {}
        subject: dict[str, str | None] = {"field": field}
        for part, names in (("text", texts), ("model_label", texts), ("score", numbers)):
            likely = (kept.get(part), *_PREFERRED[part])
            subject[part] = next((name for name in likely if name in names), None)
        subject["text"] = subject["text"] or texts[0]
        ctx.panel.set_state("subject", subject)

    def _start(self, ctx: Any) -> None:
        """Show the first region: that of the open sample, if it has any."""
        ctx.panel.set_state("history", [])
        queue = _queue(ctx)
        _set_tally(ctx, queue.tally())
        ahead = _ahead(ctx, queue)
        # In the modal the person looks at one sample.
        item = _queue(ctx, ctx.current_sample).after() if ctx.current_sample else None
        self._show(ctx, ahead, ahead.at(item.place) if item else ahead.after(None), moves=False)

    def _decide(self, ctx: Any, verdict: Verdict) -> None:
        place = _place(ctx)
        if place is None:
            return
        queue, ahead = _queue(ctx), _ahead(ctx)
        item, text, name = ahead.shown(place), *map(ctx.panel.get_state, ("text", "name"))
        try:
            is_new = queue.decide(item, verdict, text=text, name=name)
        except ChangedError as error:
            self._show(ctx, ahead, ahead.at(place))
            ctx.ops.notify(str(error), "warning")
            return
        edits = verdict != "rejected"
        renamed = edits and is_changed(item.name, name)
        if edits and is_changed(item.text, text):
            verdict = "edited"
        if is_new:  # the sidebar notices a new attribute only after the dataset is reloaded
            ctx.ops.reload_dataset()
        elif renamed or verdict == "edited":  # the App shows these on the images
            ctx.ops.reload_samples()
        if renamed and queue.filters.disagreeing:
            _set_tally(ctx, queue.tally())
        else:
            tally = ReviewTally(**ctx.panel.get_state("tally"))
            _set_tally(ctx, tally.after(item.verdict, verdict))
        self._go_on(ctx, place)

    def _go_on(self, ctx: Any, place: Place | None) -> None:
        if place is not None:
            history = [*(ctx.panel.get_state("history") or ()), [place.sample_id, place.label_id]]
            ctx.panel.set_state("history", history[-_MOST_STEPS_BACK:])
        ahead = _ahead(ctx)
        self._show(ctx, ahead, ahead.after(place))

    def _show(self, ctx: Any, ahead: Ahead, item: Item | None, *, moves: bool = True) -> None:
        # The label itself is not JSON: the state keeps the parts that the form shows.
        shown = item and {**asdict(item.place), **{name: getattr(item, name) for name in _SHOWN}}
        ctx.panel.set_state({"item": shown, "dropping": False, "accepting": None})
        if item is None:
            return
        image, problem = ahead.picture(item)
        texts = {"text": item.text or "", "name": item.name or ""}
        ctx.panel.set_state({**texts, "problem": problem})
        ctx.panel.set_data("image", image)
        if moves and ctx.current_sample and ctx.current_sample != item.place.sample_id:
            ctx.ops.open_sample(id=item.place.sample_id)


def _ahead(ctx: Any, queue: ReviewQueue | None = None) -> Ahead:
    """What was fetched for this panel; a queue begins anew."""
    state = ctx.panel.get_state
    chosen = [state("subject"), state("filters"), ctx.view._serialize()]
    key = ctx.panel.id, ctx.dataset.name, json.dumps(chosen, default=str)
    with _LOCK:
        if queue is not None or key not in _AHEAD:
            _AHEAD[key] = Ahead(queue or _queue(ctx))
        return _AHEAD[key]


def _queue(ctx: Any, sample_id: str | None = None) -> ReviewQueue:
    """The queue of regions that the state selects."""
    subject = ctx.panel.get_state("subject")
    if not subject:
        raise PluginError("There is nothing to review: caption some regions first.")
    chosen = ctx.panel.get_state("filters") or {}
    below = chosen.get("below")
    filters = Filters(
        show=chosen.get("show") or "unreviewed",
        below=None if below in (None, "") else float(below),
        disagreeing=bool(chosen.get("disagreeing")),
        sample_id=sample_id,
    )
    return ReviewQueue(ctx.view, Subject(**subject), filters)


def _place(ctx: Any) -> Place | None:
    item = ctx.panel.get_state("item")
    return Place(item["sample_id"], item["label_id"]) if item else None


def _set_tally(ctx: Any, tally: ReviewTally) -> None:
    verdicts = f"{tally.accepted:,} accepted, {tally.edited:,} edited, {tally.rejected:,} rejected"
    progress = {"text": str(tally), "verdicts": verdicts}
    ctx.panel.set_state({"tally": asdict(tally), "progress": progress})


def _regions(number: int) -> str:
    return f"{number:,} region{'' if number == 1 else 's'}"
