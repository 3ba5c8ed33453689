"""The options of `export_regions`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from pam_labeling.formats import FORMATS, check_destination, format_of
from pam_labeling.validation import CheckedModel
from pam_model.tasks import Language  # noqa: TC001 - pydantic reads it

from ..errors import PluginError
from .options import Name, OrDefault, Text

_SUFFIXES = (".json", ".csv", ".parquet")


class ExportOptions(CheckedModel):
    """The options of `export_regions`, as its call documents them."""

    error: ClassVar = PluginError
    noun: ClassVar = "parameter"
    nothing: ClassVar = ", or None"

    target: Literal["dataset", "view", "selected_samples", "selected_labels", "current_sample"] = (
        "view"
    )
    field: Name
    output: Name
    to: Text = None
    all_slices: bool = False
    brief: Text = None
    detailed: Text = None
    definition: Text = None
    label: Text = None
    score: Text = None
    class_attribute: Text = None
    language: Language | None = None
    polygons: bool = False
    root: Text = None
    image_prefix: Annotated[str, OrDefault] = Field(default="")
    copy_images: bool = False

    def destination(self) -> tuple[str, Path]:
        """The name of the format, and the file or folder to write, as an absolute path.

        Raises:
            InputError: there is no such format, or the output is there already or cannot be made.
        """
        output = Path(self.output).expanduser().absolute()
        name = self.to or format_of(output)
        format_ = FORMATS.get(name)
        if format_ is not None and not format_.is_folder:
            suffix = output.suffix.lower()
            if suffix in _SUFFIXES and not format_.ending.endswith(suffix):
                raise PluginError(f"{output.name!r} is no name for {name}: end it {format_.ending}")
            if suffix not in _SUFFIXES:
                output = output / f"regions{format_.ending}"
        check_destination(name, output)
        if output.is_file():
            raise PluginError(f"{output} is there already: name another file, or delete it.")
        above = next(folder for folder in output.parents if folder.exists())
        if not above.is_dir():
            raise PluginError(f"{output} cannot be made: {above} is a file.")
        return name, output
