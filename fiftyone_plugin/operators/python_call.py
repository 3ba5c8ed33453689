"""Make the operators' `__call__` for Python from the fields of their options."""

from __future__ import annotations

import inspect
import textwrap
from typing import TYPE_CHECKING, Any

from .options import RunOptions

if TYPE_CHECKING:
    from .model_operator import ModelOperator

_FIRST = {
    "collection": "a dataset or any view: filtered, of patches, frames, or groups. Only what it "
    "shows is worked on"
}
_LAST = {
    "delegate": "queue it for a worker (`fiftyone delegated launch`) instead",
    "progress": "whether to show a progress bar; None: as `fo.config.show_progress_bars` says",
}
_RESULT = """
Returns:
    The run's record: key, parameters, model, times, state, counts, failures. For a delegated run,
    `{"id": ...}` of the operation.

Raises:
    PluginError: the run cannot be done; the message says why, and what to do.
"""


def python_call(options_type: type[RunOptions], text: str) -> Any:
    """An operator's `__call__`: the fields of the options are its parameters and its help.

    Args:
        options_type: the class of the operator's options.
        text: the beginning of the call's docstring.
    """

    def __call__(  # noqa: N807 - it becomes the operator's
        self: ModelOperator,
        collection: Any,
        *,
        delegate: bool = False,
        progress: bool | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        return self.run_from_python(
            collection, options_type.from_params(params), delegate=delegate, progress=progress
        )

    *first, delegate, progress, _ = inspect.signature(__call__).parameters.values()
    fields = options_type.model_fields
    chosen = {  # first what a call needs, last what all operators have
        name: fields[name]
        for name in sorted(
            fields,
            key=lambda name: (not fields[name].is_required(), name in RunOptions.model_fields),
        )
        if name != "target"
    }
    keywords = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=inspect.Parameter.empty if field.is_required() else field.default,
            annotation=field.annotation,
        )
        for name, field in chosen.items()
    ]
    __call__.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [*first, *keywords, delegate, progress], return_annotation="dict[str, Any]"
    )
    help_texts = {name: str(field.description) for name, field in chosen.items()}
    lines = "\n".join(
        textwrap.fill(f"{name}: {text}.", 96, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for name, text in (_FIRST | help_texts | _LAST).items()
    )
    __call__.__doc__ = f"{inspect.cleandoc(text)}\n\nArgs:\n{lines}\n{_RESULT}"
    return __call__
