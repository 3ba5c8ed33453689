"""From a task to a request for the annotator, and from its annotation to a prediction."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from label_studio_backend.config.output_mapping import AnswerPlan, plan_answer
from label_studio_backend.errors import RequestError
from label_studio_backend.translation.drawn_regions import PromptDataError, drawn_regions
from label_studio_backend.translation.predictions import Answer, check_prediction, write_prediction
from label_studio_backend.translation.prompts import Pointed, read_context, read_regions
from pam_labeling import LoadedImage, Refusal, Region, Request
from pam_model import AutomaticMaskOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from label_studio_backend.config.labeling_config import Control, LabelingConfig
    from label_studio_backend.config.options import Options
    from label_studio_backend.media.images import Images
    from label_studio_backend.media.task_media import Access
    from label_studio_backend.metrics import Metrics
    from pam_labeling import Annotation

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """A task, translated.

    Attributes:
        name: what messages call the task.
        request: what the annotator is to do; its prompts are those of `pointed`, in their order.
        pointed: what somebody or something points at; () where everything is looked for.
        plan: where the answers go.
        config: the config, completed by the task's data.
        options: the project's options.
    """

    name: str
    request: Request
    pointed: tuple[Pointed, ...]
    plan: AnswerPlan
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
        prompts: Sequence[Any],
        config: LabelingConfig,
        options: Options,
        access: Access,
    ) -> Work | None:
        """What an annotator points at with `prompts`, results of Label Studio; None: nothing.

        Raises:
            RequestError: the task has no image, or the prompts are of no tag of the config.
            MediaError, ImageError: the image cannot be had or read.
            PromptDataError, LabelingConfigError: prompts or config make no sense.
        """
        config = config.for_task(task.get("data"))
        control = _prompting(prompts, config)
        plan = plan_answer(config, options, prompt_control=control)
        _refuse_background_alone(prompts, config)
        image = self._image(task, plan, access)
        with self._metrics.stage("read"):
            pointed = tuple(read_context(prompts, config, image.size, image=plan.image.name))
        if not pointed:
            return None
        return _work(task, image, pointed, plan, config, options)

    def task(
        self, task: Mapping[str, Any], config: LabelingConfig, options: Options, access: Access
    ) -> Work:
        """What a task's regions point at; everything, where it has none.

        Raises:
            RequestError, MediaError, ImageError, PromptDataError, LabelingConfigError: as
                `click` does.
        """
        config = config.for_task(task.get("data"))
        plan = plan_answer(config, options)
        image = self._image(task, plan, access)
        with self._metrics.stage("read"):
            pointed = tuple(read_regions(task, config, image.size, options, image=plan.image.name))
        return _work(task, image, pointed, plan, config, options)

    def prediction(
        self, work: Work, annotation: Annotation, *, model_version: str
    ) -> dict[str, Any]:
        """The prediction to send: checked, and for a click never empty without a line in the log.

        Raises:
            PredictionError: it would not be right to send it.
        """
        with self._metrics.stage("write"):
            answers = self._answers(work, annotation)
            prediction = write_prediction(
                answers, work.plan, work.options, model_version=model_version
            )
            check_prediction(prediction, work.config, annotation.size)
        return prediction

    def _answers(self, work: Work, annotation: Annotation) -> list[Answer]:
        pointed: Sequence[Pointed | None] = work.pointed or [None] * len(annotation.results)
        answers = []
        for result, origin in zip(annotation.results, pointed, strict=True):
            if isinstance(result, Region):
                answers.append(Answer(result, origin))
            else:
                self._refused(work, result)
        return answers

    def _refused(self, work: Work, refusal: Refusal) -> None:
        self._metrics.refusals.inc()
        _log.info("%s: %s", work.name, refusal.reason)

    def _image(self, task: Mapping[str, Any], plan: AnswerPlan, access: Access) -> LoadedImage:
        value = image_value(task, plan.image.value)
        return self._images.get(value, access, task.get("id"), name_of(task))


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
    if key in data:
        return data[key]
    for part in key.split("."):
        if not isinstance(data, Mapping) or part not in data:
            raise RequestError(f'{name_of(task)} has no "{key}" in its data, where its image is')
        data = data[part]
    return data


def _prompting(prompts: Sequence[Any], config: LabelingConfig) -> Control:
    """The tag that was pointed with: the first one that the config knows."""
    names = [prompt.get("from_name") for prompt in prompts if isinstance(prompt, Mapping)]
    for name in names:
        control = config.control(name) if isinstance(name, str) else None
        if control is not None:
            return control
    raise RequestError(
        f"the prompts come from {_listed(names)}, which is no tag on an "
        "image of the labelling config"
    )


def _refuse_background_alone(prompts: Sequence[Any], config: LabelingConfig) -> None:
    drawn = drawn_regions(prompts, config, None)
    if drawn and all(one.background for one in drawn):
        raise PromptDataError(
            "Everything here is labelled background, and Label Studio sends what has this label "
            "alone, so nothing says which object it is about: Alt+click instead."
        )


def _work(
    task: Mapping[str, Any],
    image: LoadedImage,
    pointed: tuple[Pointed, ...],
    plan: AnswerPlan,
    config: LabelingConfig,
    options: Options,
) -> Work:
    # A label that somebody chose and that can stay is not asked for again.
    chosen = (
        options.keep_label and pointed and all(one.label in plan.label_values for one in pointed)
    )
    request = Request(
        image,
        prompts=tuple(one.prompt for one in pointed),
        questions=plan.questions,
        vocabulary=None if chosen else plan.vocabulary,
        choices={target.control.name: target.vocabulary for target in plan.choices},
        everything=_everything(options),
    )
    return Work(name_of(task), request, pointed, plan, config, options)


def _everything(options: Options) -> AutomaticMaskOptions:
    return AutomaticMaskOptions(
        points_per_side=options.points_per_side,
        min_area=options.min_area,
        max_area=options.max_area,
        max_regions=options.max_regions,
        iou_threshold=options.iou_threshold or AutomaticMaskOptions.iou_threshold,
    )


def _listed(names: Sequence[object]) -> str:
    shown = [str(name)[:40] for name in dict.fromkeys(map(repr, names))]
    return ", ".join(shown[:3]) or "nowhere"
