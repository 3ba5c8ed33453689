"""The operator that writes the regions of a view in the formats of other programs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import fiftyone as fo
import fiftyone.operators as foo
from cachetools import TTLCache, cached
from fiftyone.operators import types

from pam_labeling.errors import InputError
from pam_labeling.formats import FORMATS

from ..errors import PluginError
from ..targets.shown import count_shown
from ..targets.target import resolve, resolve_context
from .export_options import ExportOptions
from .exports import Export, plan_export
from .forms import TASKS, Form, params_of, targets_in
from .sentences import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..targets.target import Target, TargetCounts

_TITLES = {
    "coco": ("COCO", "one file"),
    "yolo-seg": ("YOLO segments", "a folder"),
    "yolo-box": ("YOLO boxes", "a folder"),
    "voc": ("Pascal VOC", "a folder"),
    "masks": ("Masks in PNG files", "a folder"),
    "label-studio": ("Label Studio", "one file of tasks with predictions"),
    "pam-data": ("Training data of PAM", "a folder"),
    "parquet": ("Parquet", "one file, a row for each image"),
    "csv": ("CSV", "one file, a row for each region"),
    "json": ("JSON of pam-labeling", "one file"),
}
_SECONDS_BETWEEN = 0.5  # between two reports of progress: each is a request


class ExportRegions(foo.Operator):  # type: ignore[misc]  # FiftyOne is untyped
    """Writes the regions of a view as COCO, YOLO, VOC, masks, tables or tasks."""

    @property
    def config(self) -> Any:
        """How FiftyOne offers the operator."""
        return foo.OperatorConfig(
            name="export_regions",
            label="PAM: Export regions",
            description="Write regions, labels, texts and scores as COCO, YOLO, VOC, masks, tables",
            dynamic=True,
            execute_as_generator=True,
            allow_immediate_execution=True,
            allow_delegated_execution=True,
            view_target=False,
        )

    def __call__(
        self,
        collection: Any,
        *,
        field: str,
        output: str,
        to: str | None = None,
        progress: bool | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        """Write the regions of a field. Nothing in the dataset changes.

        Args:
            collection: a dataset or any view: filtered, of patches, frames, or groups. What it
                shows is written, also images without a region.
            field: Detections, Detection, Polylines, Polyline, Keypoints, Keypoint or Segmentation.
            output: the file or folder. A folder for a format that is one file gets the file
                `regions` with the format's ending. It must not be there already.
            to: coco, yolo-seg, yolo-box, voc, masks, label-studio, pam-data, parquet, csv or json;
                None: by the output's ending, such as `.coco.json`.
            progress: whether to show a progress bar; None: as `fo.config.show_progress_bars` says.
            options: `brief`, `detailed`, `definition`, `label`: the attributes with these texts,
                and `score` that with the score, if others than the newest runs wrote.
                `language`: en or zh, if the runs wrote both. `class_attribute`: the attribute with
                the class, if it is not the label. `all_slices`: all slices of a group.
                `polygons`: outlines instead of masks (coco, label-studio). `root`: the folder that
                names of images are relative to. `copy_images`: with the images (yolo).
                `image_prefix`: what stands before the names in Label Studio's tasks.

        Returns:
            `output`, the numbers of `images`, `failed` images, `regions`, and regions `left_out`,
            bridged `holes` and `parts`, `root`, and `notes`: sentences about what is not as in the
            dataset.

        Raises:
            InputError: it cannot be done; the message says why.
        """
        chosen = ExportOptions(field=field, output=str(output), to=to, **options)
        slices = "all" if chosen.all_slices else None
        export = plan_export(chosen, resolve(collection, chosen.field, slices=slices))
        _refuse_empty(export.target)
        running = _Running(export)
        with fo.ProgressBar(count_shown(export.target), progress, iters_str="images") as bar:
            for done in running:
                bar.set_iteration(done)
        return running.report

    def resolve_input(self, ctx: Any) -> Any:
        """The form, with the number of regions and the output, or the reason why it cannot run."""
        if ctx.dataset is None:
            return None
        form = Form(ctx, {}, "export_regions")
        form.target()
        form.field()
        view = types.DropdownView()
        for each, (title, kind) in _TITLES.items():
            view.add_choice(each, label=title, description=kind)
        form.inputs.enum("to", view.values(), default="coco", label="Format", view=view)
        name = form.value("to", "coco")
        what = "Folder" if FORMATS[name].is_folder else "File"
        form.text("output", "", f"{what} to write, such as ~/regions{FORMATS[name].ending}")
        _define(form, name)
        try:
            export = _planned(ctx, {**form.values(), **ctx.params})
            counts = _refuse_empty(export.target)
            images = counted(counts.samples, "image")
            sentence = f"{counted(counts.regions, 'region')} in {images}, to {export.output}."
            form.say(sentence)
        except InputError as error:
            form.refuse(str(error))
        return form.finish("Export regions", self.config.description, "Export")

    def execute(self, ctx: Any) -> Any:
        """Write now with messages to the App, or in a worker, whose result is kept."""
        export = _planned(ctx, ctx.params)
        _refuse_empty(export.target)
        if not ctx.delegated:
            return _in_app(ctx, export)
        running = _Running(export)
        for share in running.shares():
            ctx.set_progress(progress=share)
        return running.report


def _define(form: Form, name: str) -> None:
    """Add what concerns only some formats, and the names of attributes."""
    if name in ("coco", "label-studio"):
        form.switch("polygons", "Outlines instead of masks", on=False)
    if name.startswith("yolo"):
        form.switch("copy_images", "With copies of the images", on=False)
    if name == "label-studio":
        form.text("image_prefix", "", "Before the names of images: /data/local-files/?d=")
    form.inputs.bool("more", default=False, label="Attributes", view=types.SwitchView())
    if form.value("more"):
        form.text("class_attribute", "label", "Class: attribute")
        for task, title in TASKS.items():
            form.text(task, "", f"{title}: attribute; empty for what the newest run wrote")
        form.text("score", "", "Score: attribute; empty for what the newest run wrote")


def _planned(ctx: Any, params: dict[str, Any]) -> Export:
    """The export that a form or a delegated call asks for.

    Raises:
        InputError: it cannot be done.
    """
    given = params_of(params)
    if not str(given.get("output") or "").strip():
        raise PluginError("Name the file or folder to write.")
    *_, narrowest = targets_in(ctx)
    if given.get("field") is None:
        raise PluginError("There are no regions: no field has any.")
    options = ExportOptions(**{"target": narrowest, **given})
    slices = "all" if options.all_slices else None
    return plan_export(
        options, resolve_context(ctx, options.field, where=options.target, slices=slices)
    )


class _Running:
    """An export at work: yields the number of images read so far; afterwards there is a report."""

    report: dict[str, Any]

    def __init__(self, export: Export) -> None:
        self._export = export

    def __iter__(self) -> Iterator[int]:
        self.report = yield from self._export.run()

    def shares(self) -> Iterator[float]:
        """How much is read, from 0 to 1, at most twice a second."""
        last, total = -_SECONDS_BETWEEN, count_shown(self._export.target)
        for done in self:
            if time.monotonic() - last >= _SECONDS_BETWEEN:
                yield done / total
                last = time.monotonic()


def _in_app(ctx: Any, export: Export) -> Iterator[Any]:
    running = _Running(export)
    for share in running.shares():
        yield ctx.ops.set_progress(progress=share, label="Reading the regions")
    report = running.report
    written = f"{counted(report['regions'], 'region')} of {counted(report['images'], 'image')}"
    sentences = [f"{written} written to {report['output']}.", *map(_sentence, report["notes"])]
    is_partial = report["left_out"] or report["failed"]
    yield ctx.ops.notify(" ".join(sentences), variant="warning" if is_partial else "success")


def _sentence(note: str) -> str:
    return f"{note[:1].upper()}{note[1:]}."


def _refuse_empty(target: Target) -> TargetCounts:
    """The number of regions.

    Raises:
        PluginError: there are none.
    """
    counts = _count(target)
    if not counts.regions:
        raise PluginError(f"There is nothing to export: no region is in {target.field!r}.")
    return counts


def _state_of(target: Target) -> tuple[Any, ...]:
    return target.dataset._doc.id, repr(target.collection.view()._serialize()), target.field


@cached(TTLCache(maxsize=64, ttl=5), key=_state_of)
def _count(target: Target) -> TargetCounts:
    """The number of regions, up to some seconds old: every key press resolves the form again."""
    return target.count()
