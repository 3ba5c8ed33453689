"""The review panel's form: its state as FiftyOne's types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

from fiftyone.operators import types

from .queue import Show

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING = (
    "There are no texts to review in this view. Run the operator caption_regions first: press ` "
    "and type its name."
)
_ON_FRAMES = (
    "The texts here are on the frames of videos ({}). Review them in the view of the frames, which "
    "Python calls dataset.to_frames()."
)
_ON_CLASSES = (
    "The texts in {} belong to a Segmentation's classes. Its tooltips show them, and compare_runs "
    "compares them; this panel reviews regions. To review them, let segment_regions make "
    "Detections of the classes in a new field, and caption those."
)
_DONE = "No region that matches the filters is left. Show all to look at them again."


def draw_form(events: Any, panel: Any) -> types.Object:
    """The panel's contents.

    Args:
        events: the panel with its methods.
        panel: `ctx.panel`, of which only the state is read.
    """
    form = types.Object()
    if not panel.get_state("fields"):
        _draw_elsewhere(form, events, panel.get_state("elsewhere") or {})
        return form
    item = panel.get_state("item")
    form.md(_facts(panel.get_state("progress"), item), name="facts")
    if item:
        _draw_item(form, events, item, panel.get_state("problem"))
    else:
        form.view("done", types.Notice(label=_DONE))
        _draw_buttons(form, [("back", "Back", "arrow_back", events.go_back)])
    _draw_filters(form, events, panel)
    if item:
        label = "Accept all shown"
        form.btn("accept_all", label, icon="done_all", on_click=events.accept_all)
    return form


def _draw_elsewhere(form: types.Object, events: Any, elsewhere: dict[str, list[str]]) -> None:
    """Say why there is nothing to review here, and what to do instead."""
    frames, classes = elsewhere.get("frames"), elsewhere.get("classes")
    if frames:
        form.view("frames", types.Notice(label=_ON_FRAMES.format(", ".join(frames))))
        form.btn("show_frames", "Show the frames", icon="movie", on_click=events.show_frames)
    if classes:
        form.view("classes", types.Notice(label=_ON_CLASSES.format(", ".join(classes))))
    if not frames and not classes:
        form.view("nothing", types.Notice(label=_NOTHING))


def _draw_item(form: types.Object, events: Any, item: dict[str, Any], problem: str | None) -> None:
    if problem:
        form.view("problem_notice", types.Warning(label=problem))
    else:
        view = types.ImageView(alt="The region", componentsProps=_IMAGE)
        form.define_property("image", types.String(), view=view)
    form.str("name", label="Label", view=types.TextFieldView())
    if item["disagrees"]:
        label = f"The model calls it {item['model_label']}: use that"
        form.btn("model_label", label, icon="auto_fix_high", on_click=events.use_model_label)
    text = types.TextFieldView(multiline=True, rows=2)
    form.str("text", label="Text (changed here, it is saved as edited)", view=text)
    _draw_keys(form, events)
    buttons = [
        ("accept", "Accept", "check", events.accept),
        ("reject", "Reject", "close", events.reject),
        ("skip", "Next", "arrow_forward", events.skip),
        ("back", "Back", "arrow_back", events.go_back),
        ("open", "Open sample", "open_in_full", events.open_sample),
    ]
    _draw_buttons(form, buttons)


def _facts(progress: dict[str, str], item: dict[str, Any] | None) -> str:
    """One line about the review's progress and this region's verdict and score."""
    facts = [f"**{progress['text']}**", progress["verdicts"]]
    if item and item["verdict"]:
        facts.append(f"this one: **{item['verdict']}**")
    if item and item["score"] is not None:
        facts.append(f"score {item['score']:.2f}")
    return " · ".join(facts)


_IMAGE = {"image": {"style": {"maxWidth": "100%", "maxHeight": "36vh", "objectFit": "contain"}}}


_KEYS = {"a": "accept", "r": "reject", "n": "skip", "b": "go_back"}


def _draw_keys(form: types.Object, events: Any) -> None:
    """Let keys do what buttons do: a Python panel cannot, so a component of the App's page does."""
    methods = {key: events.method_to_uri(method) for key, method in _KEYS.items()}
    form.view("keys", types.View(component="PamReviewKeys", methods=methods))


def _draw_buttons(form: types.Object, buttons: list[tuple[str, str, str, Any]]) -> None:
    row = form.h_stack("buttons", gap=1)
    for name, label, icon, event in buttons:
        variant = "contained" if name == "accept" else "outlined"
        row.btn(name, label, icon=icon, variant=variant, on_click=event)


def _draw_filters(form: types.Object, events: Any, panel: Any) -> None:
    subject, fields = panel.get_state("subject"), panel.get_state("fields")
    texts, numbers = fields[subject["field"]]
    filters = form.h_stack("filters", gap=2, align_y="center")
    _draw_choice(
        filters, "show", "Show", get_args(Show), events.change_filters, default="unreviewed"
    )
    if subject["score"]:
        filters.float("below", label="Score below", min=0, max=1, on_change=events.change_filters)
    if subject["model_label"]:
        view = types.CheckboxView(on_change=events.change_filters)
        filters.bool("disagreeing", label="Labels disagree", view=view)
    parts = form.h_stack("subject", gap=2)
    _draw_choice(parts, "field", "Field", list(fields), events.change_field)
    _draw_choice(parts, "text", "Text", texts, events.change_filters)
    # The text itself is no second opinion.
    others = [text for text in texts if text != subject["text"]]
    if others:
        _draw_choice(parts, "model_label", "Model's label", others, events.change_filters)
    if numbers:
        _draw_choice(parts, "score", "Score", numbers, events.change_filters)


def _draw_choice(
    row: types.Object,
    name: str,
    label: str,
    values: Sequence[str],
    event: Any,
    default: str | None = None,
) -> None:
    # The names of fields and attributes stay as they are.
    choices = [types.Choice(one, label=one.capitalize() if default else one) for one in values]
    view = types.Dropdown(label=label, on_change=event, choices=choices)
    row.enum(name, list(values), default=default, view=view)
