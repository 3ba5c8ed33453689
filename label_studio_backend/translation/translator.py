"""Translate tasks to requests for the annotator, and its annotations to predictions."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

from label_studio_backend.config.output_mapping import OutputMapping, map_outputs
from label_studio_backend.errors import RequestError
from label_studio_backend.translation.drawn_regions import PromptDataError, drawn_regions
from label_studio_backend.translation.predictions import Answer, PredictionError, write_prediction
from label_studio_backend.translation.prompts import (
    NOTHING_ON_THE_OBJECT,
    RegionPrompt,
    click_prompts,
    task_prompts,
)
from pam_labeling import Annotation, Region, Request
from pam_labeling.validation import shown
from pam_model import AutomaticMaskOptions

if TYPE_CHECKING:
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
        name: what messages call the task.
        request: what the annotator is to do; its prompts are those of `regions`, in their order.
        regions: what somebody or something points at; () where everything is looked for.
        outputs: where the answers go.
        config: the config, completed by the task's data.
        options: the project's options.
    """

    name: str
    request: Request
    regions: tuple[RegionPrompt, ...]
    outputs: OutputMapping
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
        outputs = map_outputs(config, options, prompt_control=drawn[0].control if drawn else None)
        on_image = [region for region in drawn if region.image == outputs.image.name]
        if not on_image:
            some = [one for one in islice(prompts, 3) if isinstance(one, Mapping)]
            sources = dict.fromkeys(shown(one.get("from_name")) for one in some)
            raise PromptDataError(
                "Nothing in this request is a keypoint, rectangle, ellipse, polygon or brush of a "
                f"tag on the image that is answered; it comes from "
                f"{', '.join(sources) or 'nowhere'}."
            )
        if not any(region.positive for region in on_image):
            raise PromptDataError(NOTHING_ON_THE_OBJECT)  # before the image is fetched
        return self._work(task, config, options, access, outputs, partial(click_prompts, on_image))

    def task(
        self, task: Mapping[str, Any], config: LabelingConfig, options: Options, access: Access
    ) -> Work:
        """What a task's regions point at; everything, where it has none.

        Raises:
            RequestError, MediaError, ImageError, PromptDataError, LabelingConfigError: as
                `click` does.
        """
        config = config.for_task(task.get("data"))
        outputs = map_outputs(config, options)
        return self._work(
            task,
            config,
            options,
            access,
            outputs,
            partial(task_prompts, task, config, options=options, image=outputs.image.name),
        )

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
                answers, work.outputs, work.options, model_version=model_version
            )
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
        outputs: OutputMapping,
        read: Callable[[Size], Sequence[RegionPrompt]],
    ) -> Work:
        """Fetch the image, and read what points at it: `read` makes prompts for its size."""
        name = name_of(task)
        image = self._images.get(
            image_value(task, outputs.image.value), access, task.get("id"), name
        )
        with self._metrics.stage("read"):
            regions = tuple(read(image.size))
        labels = outputs.label_values
        # A label that somebody chose and that can stay is not asked for again.
        chosen = options.keep_label and regions and all(one.label in labels for one in regions)
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
        return Work(name, request, regions, outputs, config, options)


def name_of(task: Mapping[str, Any]) -> str:
    """What messages call a task."""
    number = task.get("id")
    return f"task {number}" if isinstance(number, int) else "the task"


def image_value(task: Mapping[str, Any], value: str) -> object:
    """What the task's data holds for a tag with this `value`, such as "$image".

    Raises:
        RequestError: there is no data, or it has no such key.
    """
    if not value.startswith("$"):
        return value
    key = value[1:]
    data: Any = task.get("data")
    if not isinstance(data, Mapping):
        raise RequestError(f'{name_of(task)} has no data; its image belongs there, under "{key}"')
    for part in [key] if key in data else key.split("."):
        if not isinstance(data, Mapping) or part not in data:
            raise RequestError(f'{name_of(task)} has no "{key}" in its data, where its image is')
        data = data[part]
    return data
