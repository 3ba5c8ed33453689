"""Translate tasks to requests for the annotator, and its annotations to predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple

from label_studio_backend.config.output_mapping import OutputMapping, map_image, map_images
from label_studio_backend.config.task_values import task_value
from label_studio_backend.errors import RequestError
from label_studio_backend.translation.drawn_regions import PromptDataError, drawn_regions
from label_studio_backend.translation.predictions import Answer, PredictionError, write_prediction
from label_studio_backend.translation.prompts import (
    NOTHING_ON_THE_OBJECT,
    RegionPrompt,
    click_prompts,
    task_prompts,
    whole_image,
)
from pam_labeling import Annotation, Region, Request
from pam_labeling.errors import InputError
from pam_labeling.validation import shown
from pam_model import AutomaticMaskOptions

if TYPE_CHECKING:
    from label_studio_backend.config.controls import ImageTag
    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.config.options import Options
    from label_studio_backend.json_pieces import JsonList
    from label_studio_backend.media.images import Images
    from label_studio_backend.media.task_media import Access
    from label_studio_backend.metrics import Metrics
    from label_studio_backend.translation.geometry import Size

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """A task, translated.

    Attributes:
        name: what messages call the task, and the page.
        request: what the annotator is to do; its prompts are those of `regions`, in their order.
        regions: what somebody or something points at; () where everything is looked for.
        outputs: where the answers go.
        page: the number of the page, from 0; None if the image has none.
        config: the config, completed by the task's data.
        options: the project's options.
    """

    name: str
    request: Request
    regions: tuple[RegionPrompt, ...]
    outputs: OutputMapping
    page: int | None
    config: LabelingConfig
    options: Options


class Translator:
    """Translates tasks and annotations; safe to use from any thread.

    Args:
        images: where images come from.
        metrics: counts seconds and refusals.
    """

    def __init__(self, images: Images, metrics: Metrics) -> None:
        self._images = images
        self._metrics = metrics

    def click(
        self,
        task: Mapping[str, Any],
        prompts: Sequence[Any] | JsonList,
        config: LabelingConfig,
        options: Options,
        access: Access,
    ) -> Work:
        """What an annotator points at with `prompts`, results of Label Studio.

        Raises:
            RequestError: the task has no image.
            MediaError, ImageError: the image cannot be had or read.
            PromptDataError, LabelingConfigError: prompts or config make no sense.
        """
        config = config.for_task(task.get("data"))
        drawn = drawn_regions(prompts, config)
        if not drawn:
            some = [one for one in islice(prompts, 3) if isinstance(one, Mapping)]
            sources = dict.fromkeys(shown(one.get("from_name")) for one in some)
            raise PromptDataError(
                "Nothing in this request is a keypoint, rectangle, ellipse, polygon or brush of a "
                f"tag on an image; it comes from {', '.join(sources) or 'nowhere'}."
            )
        first = drawn[0]
        on_image = [one for one in drawn if (one.image, one.page) == (first.image, first.page)]
        if not any(region.positive for region in on_image):
            raise PromptDataError(NOTHING_ON_THE_OBJECT)  # before the image is fetched
        image = next(image for image in config.images if image.name == first.image)
        outputs = map_image(config, options, image, first.control)
        addresses = pages(task, image)
        if first.page >= len(addresses):
            raise PromptDataError(
                f'The image "{image.name}" has {len(addresses)} pages in the task\'s data, so '
                f"nothing can be drawn on page {first.page + 1}."
            )
        page = _Page(outputs, first.page, addresses[first.page])
        read = partial(click_prompts, on_image)
        return self._work(task, config, options, access, page, name_of(task), read)

    def task(
        self, task: Mapping[str, Any], config: LabelingConfig, options: Options, access: Access
    ) -> list[Callable[[], Work]]:
        """What a task's regions point at; everything, where it has none.

        Returns:
            At least one function for each image, or for each of its pages. It fetches the image.

        Raises:
            RequestError, LabelingConfigError: as `click` does. The functions raise the others.
        """
        config = config.for_task(task.get("data"))
        found = [
            _Page(outputs, number, address)
            for outputs in map_images(config, options)
            for number, address in enumerate(pages(task, outputs.image))
        ]

        def work(page: _Page) -> Work:
            name = name_of(task) if len(found) == 1 else f"{name_of(task)}, {page}"
            read: Callable[[Size], Sequence[RegionPrompt]] = whole_image
            if page.outputs.shape is not None:
                read = partial(
                    task_prompts,
                    task,
                    config,
                    options=options,
                    image=page.outputs.image.name,
                    page=page.number,
                    is_first=page.outputs is found[0].outputs,
                )
            try:
                return self._work(task, config, options, access, page, name, read)
            except InputError as error:
                if len(found) == 1:
                    raise
                raise RequestError(f"{page}: {error}") from error

        return [partial(work, page) for page in found]

    def prediction(
        self, work: Work, annotation: Annotation, *, model_version: str
    ) -> dict[str, Any]:
        """The prediction to send. A region that the model refused has a line in the log.

        Raises:
            PredictionError: label_studio_sdk refuses it for this config.
        """
        with self._metrics.stage("write"):
            answers: list[Answer] = []
            regions = work.regions or [None] * len(annotation.results)
            for result, region in zip(annotation.results, regions, strict=True):
                if isinstance(result, Region):
                    answers.append((result, region))
                else:
                    self._metrics.refusals.inc()
                    _log.info("%s: %s", work.name, result.reason)
            prediction = write_prediction(
                answers,
                work.outputs,
                work.options,
                model_version=model_version,
                note=annotation.note,
            )
            if work.page is not None:
                for result in prediction["result"]:
                    result["item_index"] = work.page
            # Label Studio saves nearly everything that it is sent, and a config may have more tags
            # and attributes than we know. The SDK reads it in its own way.
            if errors := work.config.errors_of(prediction):
                found = "; ".join(error[:300] for error in errors[:5])
                raise PredictionError(f"label_studio_sdk refuses the prediction: {found}")
        return prediction

    def _work(
        self,
        task: Mapping[str, Any],
        config: LabelingConfig,
        options: Options,
        access: Access,
        page: _Page,
        name: str,
        read: Callable[[Size], Sequence[RegionPrompt]],
    ) -> Work:
        """Fetch the image, and read what points at it: `read` makes prompts for its size."""
        outputs = page.outputs
        image = self._images.get(page.address, access, task.get("id"), name)
        with self._metrics.stage("read"):
            regions = tuple(read(image.size))
        # A label that somebody chose and that can stay is not asked for again.
        chosen = options.keep_label and regions and all(outputs.kept(one.labels) for one in regions)
        request = Request(
            image,
            prompts=tuple(one.prompt for one in regions),
            questions=outputs.questions,
            vocabulary=None if chosen else outputs.vocabulary,
            choices={target.control.name: target.vocabulary for target in outputs.choices},
            everything=AutomaticMaskOptions(
                points_per_side=options.points_per_side,
                min_area=options.min_area,
                max_area=options.max_area,
                max_regions=options.max_regions,
                iou_threshold=options.iou_threshold or AutomaticMaskOptions.iou_threshold,
            ),
        )
        number = page.number if outputs.image.has_pages else None
        return Work(name, request, regions, outputs, number, config, options)


class _Page(NamedTuple):
    """An image, or one of its pages.

    Attributes:
        outputs: where the answers about the image go.
        number: the number of the page, from 0.
        address: of its file, from the task's data.
    """

    outputs: OutputMapping
    number: int
    address: object

    def __str__(self) -> str:
        image = self.outputs.image
        return f'image "{image.name}"' + (f", page {self.number + 1}" if image.has_pages else "")


def joined(
    first: dict[str, Any] | Exception, others: Iterable[dict[str, Any] | Exception]
) -> dict[str, Any] | Exception:
    """One prediction of a task from those of its images and pages; or the first error.

    Its score is the mean over all regions.
    """
    found = []
    for one in chain([first], others):
        if isinstance(one, Exception):
            return one
        found.append(one)
    counts = [len({result["id"] for result in one["result"]}) for one in found]
    scores = [count * one["score"] for count, one in zip(counts, found, strict=True)]
    return {
        **found[0],
        "result": [result for one in found for result in one["result"]],
        "score": round(sum(scores) / max(sum(counts), 1), 4),
    }


def name_of(task: Mapping[str, Any]) -> str:
    """What messages call a task."""
    number = task.get("id")
    return f"task {number}" if isinstance(number, int) else "the task"


def pages(task: Mapping[str, Any], image: ImageTag) -> list[object]:
    """What the task's data holds as the addresses of an image's pages, at least one.

    An image without pages has one; of a list, the editor shows the first.

    Raises:
        RequestError: there is no data, it has no such key, or no page.
    """
    data, value = task.get("data"), image.value
    if not isinstance(data, Mapping):
        raise RequestError(f'{name_of(task)} has no data; its image belongs there, as "{value}"')
    try:
        found = task_value(value, data)
    except KeyError as error:
        [key] = error.args
        message = f'{name_of(task)} has no "{key}" in its data, where its image is'
        raise RequestError(message) from None
    addresses = found if isinstance(found, list) else [found]
    if not addresses:
        raise RequestError(f'{name_of(task)} has an empty list where the image "{image.name}" is')
    return addresses if image.has_pages else addresses[:1]
