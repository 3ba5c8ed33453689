"""The parts that the operators' forms are made of.

Some choices are two fields in a form and one option: whether a caption is wanted (`ask_brief`), and
the attribute for it (`brief`). `params_of` turns a form's fields into options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo
from fiftyone.operators import types

from pam_labeling.errors import InputError
from pam_labeling.vocabulary import LABEL_FIT

from ..labels.regions import OBJECT_SCORE, OPEN_LABEL
from ..models import MODELS, settings_of
from ..targets.views import label_fields
from .new_fields import begun_in, next_free, stopped_field
from .options import OWN_CLASSES, text_of
from .sentences import counted, moment_of

if TYPE_CHECKING:
    from collections.abc import Container, Mapping

PLUGIN = "@pam-labeling/pam"

TASKS = {
    "brief": "Brief caption",
    "detailed": "Detailed caption",
    "label": "Open label",
    "definition": "Definition",
}
"""The form's name for each task."""

_ONLY = {
    "all": ("All", "Overwrite existing answers"),
    "missing": ("Only missing", "Keep existing answers and write the others: continues a run"),
    "empty": (
        "Missing or blank",
        "Like Only missing, and also replace empty answers and spaces",
    ),
}
_NO_LABELS = (
    "There are no labels here yet. Find regions looks for everything in the images, and makes a "
    "label of each."
)
_ASKED = (*TASKS, "score", "saved_view", "open_label", "object_score")
_OF_THE_FORM = {f"ask_{name}" for name in _ASKED} | {
    "classes_from",
    "class_names",
    "keep_masks",
    "write_to",
    "more",
    "continues",
}
_OF_THE_APP = {"path", "panel_id", "panel_state", "view_target", "custom_view_target"}


def params_of(form: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a form's fields into the options' parameters; other parameters stay as they are."""
    params = {name: value for name, value in form.items() if value is not None}
    for name in _ASKED:
        wanted = form.get(f"ask_{name}")
        unwanted = name in form and form[name] is None  # in a call: a form leaves it out
        if wanted is False or (wanted is None and unwanted):
            params[name] = ""
    source = params.get("classes_from")
    if source is not None:
        params["classes"] = {"list": params.get("class_names") or " ", "dataset": OWN_CLASSES}.get(
            source
        )
    if "keep_masks" in params:
        params["mask"] = None if params["keep_masks"] == "none" else params["keep_masks"]
    # The name may still be there from before the switch was turned.
    if params.get("write_to") == "same":
        params["new_field"] = None
    elif params.get("continues"):
        params["only"] = "missing"
    return {name: value for name, value in params.items() if name not in _OF_THE_FORM | _OF_THE_APP}


def is_of_form(params: Mapping[str, Any]) -> bool:
    """Whether a person filled a form: the App then sends all its fields, also untouched ones."""
    return not _OF_THE_FORM.isdisjoint(params)


class Form:
    """A form under construction, for one state of the context.

    Args:
        ctx: FiftyOne's execution context.
        defaults: the form's first values, by the options' names.
        operator: the name of the form's operator in the plugin.
    """

    def __init__(self, ctx: Any, defaults: Mapping[str, Any], operator: str) -> None:
        self.ctx = ctx
        self.inputs = types.Object()
        self.operator = operator
        self._defaults = defaults

    def value(self, name: str, default: Any = None) -> Any:
        """The value of a field now, or its first value."""
        given = self.ctx.params.get(name)
        return self.default(name, default) if given is None else given

    def values(self) -> dict[str, Any]:
        """The values of all fields now; the first value of each field not touched yet."""
        given = {name: value for name, value in self.ctx.params.items() if value is not None}
        return {
            name: given.get(name, each.default) for name, each in self.inputs.properties.items()
        }

    def default(self, name: str, default: Any = None) -> Any:
        """The first value of a field."""
        remembered = self._defaults.get(name)
        return default if remembered is None else remembered

    def target(self, *, labels: bool = True) -> None:
        """The choice of samples or labels, with only those targets that the App has now."""
        targets = targets_in(self.ctx, labels=labels)
        if len(targets) > 1:
            choices = [types.Choice(name, label=label) for name, label in targets.items()]
            view = types.RadioGroup(orientation="vertical", choices=choices)
            names = list(targets)
            self.inputs.enum("target", names, default=names[-1], label="Work on", view=view)
        if self.ctx.dataset.media_type == fo.core.media.GROUP:
            self.inputs.bool("all_slices", default=False, label="All slices of each group")

    def field(self) -> None:
        """The choice of the field with the regions; first that of the selected labels."""
        names = list(label_fields(self.ctx.view))
        if not names:
            return
        selected = {label.get("field") for label in self.ctx.selected_labels or []}
        likely = [*(selected if len(selected) == 1 else ()), self.default("field"), names[0]]
        default = next(name for name in likely if name in names)
        view = types.DropdownView(choices=[types.Choice(name, label=name) for name in names])
        self.inputs.enum("field", names, default=default, label="Field", view=view)

    def asked(
        self,
        name: str,
        label: str,
        proposal: str,
        *,
        on: bool,
        description: str,
        taken: Container[str] = (),
    ) -> None:
        """A switch, and if it is on, the name of the attribute: one that is not taken."""
        remembered = self._defaults.get(name, proposal if on else None)
        self.inputs.bool(
            f"ask_{name}", default=bool(remembered), label=label, view=types.SwitchView()
        )
        if self.value(f"ask_{name}", bool(remembered)):
            first = next_free(remembered or proposal, taken, separator=" ")
            self.inputs.str(name, default=first, label=description)

    def words(self, *, on: str, proposals: Mapping[str, str]) -> None:
        """The texts to write about each region; at first only the task `on`."""
        for task, label in TASKS.items():
            proposal = proposals.get(task, task)
            self.asked(task, label, proposal, on=task == on, description=f"{label}: attribute")
        self.language()

    def score(self, label: str, *, on: bool, proposal: str = "pam_score") -> None:
        """The switch for the score, and its attribute."""
        self.asked("score", label, proposal, on=on, description="Score: attribute")

    def object_score(self) -> None:
        """The switch for the probability that there is an object, and its attribute."""
        self.asked(
            "object_score",
            "Write the probability that there is an object",
            OBJECT_SCORE,
            on=True,
            description="Probability of an object: attribute",
        )

    def switch(self, name: str, label: str, *, on: bool) -> None:
        """A switch."""
        self.inputs.bool(name, default=self.default(name, on), label=label, view=types.SwitchView())

    def write_to(self) -> None:
        """The choice between masks on the field's detections and detections in a new field."""
        offered = {
            "same": ("The detections themselves", ""),
            "new": ("A new field", "detections with the label, attributes, tags and index"),
        }
        first = "new" if self.default("new_field") else "same"
        self.enum("write_to", offered, first, "Write to")
        if self.value("write_to", first) == "new":
            self.new_field("new_field", "pam_regions")
        else:
            self.only()

    def new_field(self, name: str, proposal: str) -> None:
        """The name of a field to make: a free one, or that of a run that was stopped."""
        dataset = self.ctx.dataset
        taken = {*dataset.get_field_schema(), *(dataset.get_frame_field_schema() or ())}
        stopped = stopped_field(dataset, self.operator)
        free = next_free(self.default(name, proposal).removeprefix("frames."), taken)
        self.inputs.str(name, default=stopped or free, label="New field")
        given = str(self.value(name, stopped or free)).strip().removeprefix("frames.")
        begun = [
            record
            for path in (given, f"frames.{given}")
            for record in begun_in(dataset, self.operator, path)
        ]
        if begun:
            ends = " was stopped" if begun[-1].state == "interrupted" else ""
            label = (
                f"Continue {given}: the run of {moment_of(begun[-1])}{ends or ' made it'}. What is "
                "there stays, and only what is missing is written."
            )
            self.inputs.bool("continues", default=True, label=label)

    def language(self) -> None:
        """English or Chinese."""
        self.enum("language", {"en": ("English", ""), "zh": ("中文", "")}, "en", "Language")

    def classes(self, *, optional: bool) -> None:
        """Where the list of classes comes from."""
        offered = {
            OWN_CLASSES: ("The dataset's classes", "for this field, or the labels in use"),
            "list": ("A list", ""),
        }
        if optional:
            offered = {"none": ("No classes", ""), **offered}
        known = self.default("classes")
        first: str = "none" if optional else OWN_CLASSES
        if known is not None:
            first = OWN_CLASSES if known == OWN_CLASSES else "list"
        self.enum("classes_from", offered, first, "Choose a class from")
        source = self.value("classes_from", first)
        if source == "list":
            self.inputs.str(
                "class_names",
                default=text_of(known) if isinstance(known, list) else None,
                label='Classes, with commas between them ("one, with a comma" in quotes)',
                view=types.TextFieldView(multiline=True, rows=3),
            )
        if source != "none":
            if optional:
                self.text("class_attribute", "pam_label", "Class: attribute")
            self.inputs.float(
                "label_fit",
                min=0,
                max=1,
                default=LABEL_FIT,
                label="Leave the class out where it fits less well (0: never)",
            )
            self.asked(
                "open_label",
                "Write PAM's own words where they differ from the class",
                OPEN_LABEL,
                on=True,
                description="PAM's own words: attribute",
            )

    def masks(self, *, optional: bool) -> None:
        """Whether masks are kept, and where."""
        offered = {
            "instance": ("In the dataset", "beside each label; suits small images"),
            "mask_path": ("In PNG files", "in a folder; the database stays small"),
        }
        if optional:
            offered = {"none": ("Not kept", ""), **offered}
        first = self.default("mask", "none" if optional else "instance")
        self.enum("keep_masks", offered, first, "Masks")
        if self.value("keep_masks", first) == "mask_path":
            self.text("mask_folder", "", "Folder of the PNG files")

    def only(self) -> None:
        """Ask what to do with regions that have answers already."""
        self.enum("only", _ONLY, "all", "Regions")
        self.switch(
            "replace_human_work", "Replace also what people wrote, accepted or edited", on=False
        )

    def model(self) -> None:
        """Model, device and batch size."""
        choices = [types.Choice(name, label=name) for name in MODELS]
        self.inputs.str(
            "model",
            default=self.default("model", _usual_model()),
            label="Model",
            description="nano knows only drawn scenes; use PAM-1.5B or PAM-3B for photographs",
            view=types.AutocompleteView(allow_user_input=True, choices=choices),
        )
        self.inputs.bool("more", default=False, label="Device and batch", view=types.SwitchView())
        if self.value("more"):
            self.text("device", "", "Device: cpu, cuda, cuda:1, mps; empty for the fastest")
            self.inputs.int("batch_size", min=1, max=4096, default=16, label="Regions at a time")

    def enum(
        self, name: str, offered: Mapping[str, tuple[str, str]], default: str, label: str
    ) -> None:
        """A choice of one value."""
        choices = [
            types.Choice(value, label=title, description=description or None)
            for value, (title, description) in offered.items()
        ]
        first = self.default(name, default)
        self.inputs.enum(
            name,
            list(offered),
            default=first if first in offered else default,
            label=label,
            view=types.RadioGroup(orientation="horizontal", choices=choices),
        )

    def text(self, name: str, default: str, label: str) -> None:
        """A line of text."""
        self.inputs.str(name, default=self.default(name, default), label=label)

    def say(self, sentence: str) -> None:
        """Say something above all fields."""
        self._on_top("amount", types.Notice(label=sentence))

    def refuse(self, sentence: str) -> None:
        """Say above all fields why the form cannot be run, which disables its button."""
        error = types.Error(label=sentence)
        self._on_top("refusal", error, invalid=True, error_message=sentence)

    def lead_to_finding(self) -> None:
        """Say that there are no labels, and offer the operator that makes some."""
        find = types.Button(
            label="Find regions",
            operator=f"{PLUGIN}/find_regions",
            prompt=True,
            variant="contained",
        )
        self.inputs.view("find", find)
        self.refuse(_NO_LABELS)

    def _on_top(self, name: str, view: types.View, **options: Any) -> None:
        below, self.inputs = self.inputs, types.Object()
        self.inputs.view(name, view, **options)
        self.inputs.properties.update(below.properties)

    def finish(self, title: str, description: str | None, button: str) -> types.Property:
        """The form."""
        view = types.PromptView(label=title, caption=description, submit_button_label=button)
        return types.Property(self.inputs, view=view)


def _usual_model() -> str:
    try:
        return settings_of().model
    except InputError:  # of PAM_DEVICE and the like: the plan says so
        return MODELS[0]


def targets_in(ctx: Any, *, labels: bool = True) -> dict[str, str]:
    """The targets that a context has, the widest first, with their names in the form."""
    samples, selected = len(ctx.selected or ()), len(ctx.selected_labels or ())
    targets = {
        "dataset": (True, "Entire dataset"),
        "view": (ctx.has_custom_view, "Current view"),
        "selected_samples": (samples, counted(samples, "selected sample")),
        "current_sample": (ctx.current_sample, "This sample"),
        "selected_labels": (labels and selected, counted(selected, "selected label")),
    }
    return {name: label for name, (there, label) in targets.items() if there}
