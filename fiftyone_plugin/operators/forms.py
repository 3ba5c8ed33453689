"""The parts that the operators' forms are made of.

Some choices are two fields in a form and one option: whether a caption is wanted (`ask_brief`), and
the attribute for it (`brief`). `params_of` turns a form's fields into options.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo
from fiftyone.operators import types

from pam_labeling.vocabulary import LABEL_FIT

from ..models import MODELS
from ..targets.views import label_fields
from .options import OWN_CLASSES, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

TASKS = {
    "brief": "Brief caption",
    "detailed": "Detailed caption",
    "label": "Open label",
    "definition": "Definition",
}
"""The form's name for each task."""

_ONLY = {
    "all": ("All", "Overwrite existing answers"),
    "missing": ("Only missing", "Keep existing answers and write the others: resumes a run"),
    "empty": (
        "Missing or blank",
        "Like Only missing, and also replace empty answers and spaces",
    ),
}
ONLY_OF_NEW = {
    "all": ("All images", "Into a field that does not exist yet"),
    "missing": ("Only missing", "Images without the field: resumes a run that stopped"),
}
"""The choices for operators that write to a new field."""

_ASKED = (*TASKS, "score", "saved_view")
_OF_THE_FORM = {f"ask_{name}" for name in _ASKED} | {
    "classes_from",
    "class_names",
    "keep_masks",
    "write_to",
    "more",
}
_OF_THE_APP = {"panel_id", "panel_state", "view_target", "custom_view_target"}


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
    return {name: value for name, value in params.items() if name not in _OF_THE_FORM | _OF_THE_APP}


class Form:
    """A form under construction, for one state of the context.

    Args:
        ctx: FiftyOne's execution context.
        defaults: the form's first values, by the options' names.
    """

    def __init__(self, ctx: Any, defaults: Mapping[str, Any]) -> None:
        self.ctx = ctx
        self.inputs = types.Object()
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

    def asked(self, name: str, label: str, proposal: str, *, on: bool, description: str) -> None:
        """A switch, and if it is on, the name of the attribute."""
        remembered = self._defaults.get(name, proposal if on else None)
        self.inputs.bool(
            f"ask_{name}", default=bool(remembered), label=label, view=types.SwitchView()
        )
        if self.value(f"ask_{name}", bool(remembered)):
            self.inputs.str(name, default=remembered or proposal, label=description)

    def words(self, *, on: str, proposals: Mapping[str, str]) -> None:
        """The texts to write about each region; at first only the task `on`."""
        for task, label in TASKS.items():
            proposal = proposals.get(task, task)
            self.asked(task, label, proposal, on=task == on, description=f"{label}: attribute")
        self.language()

    def score(self, label: str, *, on: bool, proposal: str = "pam_score") -> None:
        """The switch for the score, and its attribute."""
        self.asked("score", label, proposal, on=on, description="Score: attribute")

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
            self.text("new_field", "pam_regions", "New field")

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

    def only(self, offered: Mapping[str, tuple[str, str]] = _ONLY) -> None:
        """Ask what to do with regions (or images) that have answers already."""
        self.enum("only", offered, "all", "Images" if offered is ONLY_OF_NEW else "Regions")
        if offered is not ONLY_OF_NEW:
            label = "Replace also what people wrote, accepted or edited"
            self.inputs.bool(
                "replace_human_work", default=False, label=label, view=types.SwitchView()
            )

    def model(self) -> None:
        """Model, device and batch size."""
        choices = [types.Choice(name, label=name) for name in MODELS]
        self.inputs.str(
            "model",
            default=self.default("model", MODELS[0]),
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

    def refuse(self, sentence: str) -> None:
        """Show an error, which disables the form's button."""
        self.inputs.view(
            "refusal", types.Error(label=sentence), invalid=True, error_message=sentence
        )

    def finish(self, title: str, description: str | None, button: str) -> types.Property:
        """The form."""
        view = types.PromptView(label=title, caption=description, submit_button_label=button)
        return types.Property(self.inputs, view=view)


def targets_in(ctx: Any, *, labels: bool = True) -> dict[str, str]:
    """The targets that a context has, the widest first, with their names in the form."""
    samples, selected = len(ctx.selected or ()), len(ctx.selected_labels or ())
    targets = {
        "dataset": (True, "Entire dataset"),
        "view": (ctx.has_custom_view, "Current view"),
        "selected_samples": (samples, f"{samples} selected samples"),
        "current_sample": (ctx.current_sample, "This sample"),
        "selected_labels": (labels and selected, f"{selected} selected labels"),
    }
    return {name: label for name, (there, label) in targets.items() if there}
