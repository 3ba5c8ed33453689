"""Read the tasks of a project as entries of a document, one after the other."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from PIL import Image

from label_studio_backend.export.names import FileNames
from label_studio_backend.export.regions import Reader, Unwritten, count_others
from label_studio_backend.media.task_media import Access, TaskMedia
from label_studio_backend.translation.translator import name_of, pages
from pam_labeling.documents import ImageEntry, failed_entry
from pam_labeling.errors import InputError
from pam_labeling.files import whole_file
from pam_labeling.media import read_image
from pam_labeling.validation import as_utf8

if TYPE_CHECKING:
    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.translation.geometry import Size

Origin = Literal["annotations", "drafts", "predictions"]
Which = Literal["best", "ground-truth", "all"]


@dataclass(frozen=True)
class Choice:
    """What is taken of a task.

    Attributes:
        origin: annotations, drafts or predictions.
        which: "best": the newest; of annotations the newest ground truth, if there is one.
            "ground-truth": the newest annotation that is ground truth. "all": all of them.
        model_version: only predictions of this name; None for any.
    """

    origin: Origin = "annotations"
    which: Which = "best"
    model_version: str | None = None


@dataclass
class Tally:
    """What was left out of the tasks, and why.

    Attributes:
        tasks: how many were read.
        without: tasks that have nothing of what was chosen.
        cancelled: annotations that skip their task.
        several: tasks with several to choose from, of which one was taken.
        unsized: images without a region, whose size nothing says.
        unwritten: see `Unwritten`.
    """

    tasks: int = 0
    without: int = 0
    cancelled: int = 0
    several: int = 0
    unsized: int = 0
    unwritten: Unwritten = field(default_factory=Unwritten)


@dataclass(frozen=True)
class TaskEntries:
    """Streams the entries of tasks.

    Attributes:
        tasks: as Label Studio shows them.
        config: the project's.
        choice: what is taken of a task.
        holds_all: whether the format holds keypoints and answers about whole images.
        media: fetches the images, which go into `folder`; None: they are not fetched.
        folder: where fetched images go.
        tally: counts what is left out.
    """

    tasks: Iterable[Mapping[str, Any]]
    config: LabelingConfig
    choice: Choice
    holds_all: bool
    media: TaskMedia | None = None
    folder: Path = Path()
    tally: Tally = field(default_factory=Tally)
    _names: FileNames = field(default_factory=FileNames)

    def __iter__(self) -> Iterator[ImageEntry]:
        for task in self.tasks:
            self.tally.tasks += 1
            chosen = self._chosen(task)
            if not chosen:
                self.tally.without += 1
                continue
            try:
                yield from self._entries(task, chosen)
            except InputError as error:  # the task has no image
                yield failed_entry(name_of(task), error)

    def _chosen(self, task: Mapping[str, Any]) -> list[list[Any]]:
        """The results of what is taken of a task, a list for each."""
        found = [one for one in task.get(self.choice.origin) or [] if isinstance(one, Mapping)]
        if self.choice.origin == "annotations":
            kept = [one for one in found if not one.get("was_cancelled")]
            self.tally.cancelled += len(found) - len(kept)
            truth = [one for one in kept if one.get("ground_truth")]
            found = truth if self.choice.which == "ground-truth" or truth else kept
            if self.choice.which == "all":
                found = kept
        elif self.choice.origin == "predictions" and self.choice.model_version is not None:
            names = (self.choice.model_version, f"{self.choice.model_version} (pam-labeling)")
            found = [one for one in found if one.get("model_version") in names]
        found.sort(key=_age)
        if self.choice.which != "all":
            self.tally.several += len(found) > 1
            found = found[-1:]
        results = (one.get("result") for one in found)
        return [result if isinstance(result, list) else [] for result in results]

    def _entries(self, task: Mapping[str, Any], chosen: list[list[Any]]) -> Iterator[ImageEntry]:
        config = self.config.for_task(task.get("data"))
        found = [
            (image, page, address)
            for image in config.images
            for page, address in enumerate(pages(task, image))
        ]
        others = sum(count_others(results, config) for results in chosen)
        self.tally.unwritten.others += others
        for image, page, address in found:
            place = "" if len(found) == 1 else f"-{image.name}-{page + 1}"
            call = partial(self._names.name, address, f"task-{task.get('id')}{place}")
            size = _size(chosen, image.name, page)
            try:
                name, size = (
                    (call(), size) if self.media is None else self._fetch(address, task, call)
                )
                if size is None:
                    self.tally.unsized += 1
                    continue
                reader = Reader(config, name_of(task), self.holds_all, self.tally.unwritten)
                regions = [
                    region
                    for results in chosen
                    for region in reader.regions(results, image.name, page, size)
                ]
            except InputError as error:
                yield failed_entry(call(), error)
                continue
            entry: ImageEntry = {
                "file": str(self.folder / as_utf8(name)),
                "width": size[0],
                "height": size[1],
                "regions": regions,
                "refusals": [],
                "note": None,
                "error": None,
            }
            if isinstance(address, str):
                entry["source"] = as_utf8(address)
            yield entry

    def _fetch(
        self, address: object, task: Mapping[str, Any], call: Callable[[str], str]
    ) -> tuple[str, Size]:
        """Put an image into the folder; its name, and its upright size."""
        assert self.media is not None
        content = self.media.file(address, Access(), task.get("id")).read()
        size = read_image(content, name=name_of(task)).size
        with Image.open(io.BytesIO(content)) as image:
            name = call(f".{(image.format or 'png').lower()}")
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as incoming:
            incoming.write_bytes(content)
        return name, size


def _age(found: Mapping[str, Any]) -> tuple[str, int]:
    """A key that sorts the newest last."""
    written = found.get("updated_at") or found.get("created_at") or ""
    return str(written), int(found.get("id") or 0)


def _size(chosen: list[list[Any]], image: str, page: int) -> Size | None:
    """The size of an image, as the first result on it says."""
    for results in chosen:
        for result in results:
            if not isinstance(result, Mapping) or result.get("to_name") != image:
                continue
            width, height = result.get("original_width"), result.get("original_height")
            is_there = (result.get("item_index") or 0) == page
            if is_there and isinstance(width, int) and isinstance(height, int):
                return width, height
    return None
