"""PAM in FiftyOne's model zoo: a remote source of `pam-nano`, `pam-1.5b` and `pam-3b`.

FiftyOne copies only this folder into its model zoo, and runs this file again for each call. So this
file has only the functions that FiftyOne calls; the installed package pam-labeling does the work.

foz.register_zoo_model_source(url)
model = foz.load_zoo_model("pam-nano", classes=["circle", "star"])
dataset.apply_model(model, label_field="pam", prompt_field="ground_truth")
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from fiftyone.operators import types

_PACKAGES = ("fiftyone_plugin", "pam_labeling", "pam_model")
_INSTALL = (
    "PAM needs the package pam-labeling, which is on no package index yet: clone its repository, "
    "and run `pip install .` in it with the Python that runs FiftyOne"
)


def download_model(model_name: str, model_path: str) -> None:
    """See `model.download_model`."""
    _model().download_model(model_name, model_path)


def load_model(model_name: str, _model_path: str, **options: Any) -> Any:
    """See `model.load_model`; the options are those of `model.PamConfig`."""
    return _model().load_model(model_name, options)


def resolve_input(_model_name: str, ctx: Any) -> types.Property:
    """The form of FiftyOne's operator for zoo models."""
    inputs = types.Object()
    form = types.Property(inputs, view=types.View(label="PAM"))
    try:
        _model().fill_form(inputs, ctx.view)
    except ImportError as error:
        inputs.view("missing", types.Error(label=str(error)))
        form.invalid = True
    return form


def parse_parameters(_model_name: str, _ctx: Any, params: dict[str, Any]) -> None:
    """Remove, in place, the parameters that were left empty in the form."""
    for name in [name for name, value in params.items() if value in (None, "", [])]:
        del params[name]


def _model() -> Any:
    """The module with the model, from the installed package.

    Raises:
        ImportError: pam-labeling is not installed.
    """
    try:
        return import_module("fiftyone_plugin.zoo.model")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _PACKAGES:
            raise
        raise ImportError(_INSTALL) from error
