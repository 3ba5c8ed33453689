"""PAM as a model of FiftyOne's zoo: its options, its form, and `apply_model`'s answers."""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_args

import fiftyone as fo
import numpy as np
from fiftyone.operators import types
from pydantic import BeforeValidator, Field

from pam_labeling import LoadedImage, Prompt, Request, Vocabulary
from pam_labeling.validation import CheckedModel
from pam_labeling.vocabulary import LABEL_FIT, replaced
from pam_model import AutomaticMaskOptions, Question, Task
from pam_model.checkpoints import hub
from pam_model.tasks import Language

from .. import models
from ..errors import PluginError
from ..labels.regions import OBJECT_SCORE, LabelRegion, detection_of, regions_of
from ..targets.views import label_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from pam_labeling import Region


logger = logging.getLogger(__name__)

Text = Literal["label", "definition", "brief", "detailed"]

CHECKPOINTS = {"pam-nano": "nano", "pam-1.5b": "PAM-1.5B", "pam-3b": "PAM-3B"}
"""The zoo's names -> the names of the checkpoints."""

ATTRIBUTES = {"definition": "definition", "brief": "caption", "detailed": "detailed_caption"}
"""Task of a text -> the Detection's attribute that holds it; a label goes to `label`."""

_PROMPTS = "prompt_field"
_PLUGIN = "fiftyone.plugins.orgs.pam_labeling.pam"  # how FiftyOne calls the plugin's module


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


class PamConfig(CheckedModel):
    """The options of a model.

    Attributes:
        checkpoint: nano, PAM-1.5B or PAM-3B.
        prompt_field: the field whose labels are the prompts; None: find everything.
            `apply_model` may name another one.
        texts: the texts about each region: label, definition, brief, detailed.
        language: en or zh.
        classes: a label list of your own to choose from; None: open labels.
        label_fit: from 0 to 1; a region that no class fits so well gets none.
        use_masks: use a prompt's instance mask as it is; False: segment its box.
        device: cpu, cuda, cuda:1, mps; None: `PAM_DEVICE`, or the fastest available.
        batch_size: how many regions the language model describes at once.
        points_per_side: clicks along each side of the image, for finding everything.

    Raises:
        InputError: an option does not exist, or a value cannot be used.
    """

    replaced: ClassVar = {"threshold": replaced("threshold")}

    checkpoint: str
    prompt_field: str | None = None
    texts: Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)] = ("label", "brief")
    language: Language = "en"
    classes: Annotated[tuple[str, ...] | None, BeforeValidator(_as_tuple)] = None
    label_fit: float = Field(default=LABEL_FIT, ge=0, le=1)
    use_masks: bool = True
    device: str | None = None
    batch_size: int | None = Field(default=None, ge=1)
    points_per_side: int = Field(default=32, ge=1)

    def request(self, image: LoadedImage, prompts: tuple[Prompt, ...]) -> Request:
        """The request to the annotator about an image."""
        # A class of the list replaces the open label.
        texts = [text for text in self.texts if text != "label" or not self.classes]
        return Request(
            image,
            prompts,
            questions=tuple(Question(Task(text), self.language) for text in texts),
            vocabulary=self.vocabulary,
            everything=AutomaticMaskOptions(points_per_side=self.points_per_side),
        )

    @property
    def vocabulary(self) -> Vocabulary | None:
        """The classes to choose from, or None."""
        if not self.classes:
            return None
        return Vocabulary(self.classes, label_fit=self.label_fit)


class PamModel(fo.SamplesMixin, fo.EmbeddingsMixin, fo.Model):  # type: ignore[misc]  # untyped
    """PAM as a model for FiftyOne's `apply_model` and `compute_embeddings`.

    An image's answer is a new `fo.Detections` with one Detection for each prompt, in the prompts'
    order: `label` (the prompt's own if none was requested, or no class fits well enough); a
    tight box and an instance mask; `confidence` (how well the class fits, or without
    classes the overlap with the true mask that PAM expects of its own); the texts (see
    `ATTRIBUTES`); `pam_object`, the probability of an object; `open_label`, what the model itself
    says, where it is another than the chosen class; `prompt_id`, the id of the prompt's label; and
    the prompt's `index`, if any.
    The Detections' `pam_errors` names each prompt without an answer, and the reason.

    Args:
        config: the options.

    Raises:
        InputError: a class list or a setting cannot be used.
    """

    has_embeddings = True  # of images; PAM has none of texts, so it is no `PromptMixin`
    media_type = "image"  # FiftyOne gives it videos frame by frame
    preprocess = False
    transforms = None  # PAM takes images as they are
    # FiftyOne passes one image at a time, whatever the batch size: it reads the images of a batch
    # together, and loses all if one of them cannot be read. PAM batches an image's regions anyway.
    ragged_batches = True

    def __init__(self, config: PamConfig) -> None:
        super().__init__()
        self.config = config
        config.vocabulary  # noqa: B018 - refuses wrong classes before the model is loaded
        self._settings = _models().settings_of(config.checkpoint, config.device, config.batch_size)
        self._held = ExitStack()
        self._embedded: npt.NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self.needs_fields = {}

    @property
    def needs_fields(self) -> dict[str, str]:
        """The field of a sample to read: `{"prompt_field": name}`, or none."""
        return self._fields

    @needs_fields.setter
    def needs_fields(self, told: Mapping[str, str]) -> None:
        if unknown := sorted(set(told) - {_PROMPTS}):
            raise PluginError(
                f"apply_model takes only the option {_PROMPTS} of PAM, not {', '.join(unknown)}; "
                "give the others to load_zoo_model."
            )
        # FiftyOne sets the arguments of `apply_model`; from its App there are none.
        known = {_PROMPTS: self.config.prompt_field, **told}
        self._fields = {key: name for key, name in known.items() if name}

    def __enter__(self) -> PamModel:
        """Load PAM and keep it until `__exit__`."""
        self._held.enter_context(_models().POOL.lend(self._settings))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def predict(self, arg: npt.NDArray[np.uint8], sample: Any = None) -> fo.Detections:
        """The answer for one image; see the class.

        Args:
            arg: uint8 `(height, width, 3)`, RGB, upright.
            sample: the sample, patch or frame that holds the prompts.

        Raises:
            PluginError: there is no sample, the field holds no prompts, or the model cannot be
                loaded.
            Exception: the model's error, if no region of the image could be described.
        """
        image = LoadedImage.from_pixels(arg, name=_name(sample))
        field = self.needs_fields.get(_PROMPTS)
        if field is None:
            found = [result for result in self._annotate(image) if not isinstance(result, str)]
            return fo.Detections(detections=[_detection(region) for region in found])
        if sample is None:
            raise PluginError(
                f"The prompts are in {field} of a sample: call predict(arg, sample=...)."
            )
        # FiftyOne passes the frame itself, whose fields have no prefix.
        labels = sample[field.removeprefix("frames.")]
        return fo.Detections() if labels is None else self._describe(image, labels)

    def predict_all(
        self, args: Iterable[npt.NDArray[np.uint8]], samples: Iterable[Any] | None = None
    ) -> list[fo.Detections | None]:
        """The answers for many images; None, and a line in the log, for one that fails.

        Args:
            args: images as for `predict`; their sizes may differ.
            samples: the samples, patches or frames that hold their prompts.
        """
        images = list(args)
        answers: list[fo.Detections | None] = []
        for image, sample in zip(images, samples or [None] * len(images), strict=True):
            try:
                answers.append(self.predict(image, sample=sample))
            except Exception as error:  # noqa: BLE001, PERF203 - the other images go on
                logger.warning("%s: %s", _name(sample), error)
                answers.append(None)
        return answers

    def embed(self, arg: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The vector of a whole image, or of a patch that FiftyOne cut out of one.

        Args:
            arg: as for `predict`.

        Returns:
            float32 `(dimensions,)`, of length 1; see `pam_model.embeddings`.
        """
        vector: npt.NDArray[np.float32] = self.embed_all([arg])[0]
        return vector

    def embed_all(self, args: Iterable[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """The vectors of many images, float32 `(images, dimensions)`.

        Raises:
            Exception: the first error; FiftyOne asks for the vectors one by one.
        """
        images = [LoadedImage.from_pixels(arg) for arg in args]
        # All of the image is the region.
        wholes = [Prompt.from_mask(np.ones(image.size[::-1], np.bool_)) for image in images]
        with _models().POOL.lend(self._settings) as annotator:
            requests = (
                Request(image, (whole,), questions=(), embed=True)
                for image, whole in zip(images, wholes, strict=True)
            )
            outcomes = list(annotator.annotate_many(requests))
        for outcome in outcomes:
            if outcome.error is not None:
                raise outcome.error
        found = [outcome.annotation.regions[0].embedding for outcome in outcomes]
        self._embedded = np.array(found, np.float32)
        return self._embedded

    def get_embeddings(self) -> npt.NDArray[np.float32]:
        """What `embed` or `embed_all` returned last, as `(images, dimensions)`."""
        return self._embedded

    def _describe(self, image: LoadedImage, labels: Any) -> fo.Detections:
        found = regions_of(labels, image.size, use_masks=self.config.use_masks)
        usable = [label for label in found if isinstance(label, LabelRegion)]
        errors = [
            f"{bad.label_id}: {bad.reason}" for bad in found if not isinstance(bad, LabelRegion)
        ]
        answer = fo.Detections()
        results = self._annotate(image, *(label.prompt for label in usable)) if usable else []
        for label, result in zip(usable, results, strict=True):
            if isinstance(result, str):
                errors.append(f"{label.label_id}: {result}")
            else:
                answer.detections.append(_detection(result, label))
        for error in errors:
            logger.warning("%s: label %s", image.name, error)
        if errors:
            answer["pam_errors"] = errors
        return answer

    def _annotate(self, image: LoadedImage, *prompts: Prompt) -> list[Region | str]:
        """A region, or the reason for none, for each prompt; without prompts, all found regions."""
        ask = self.config.request
        with _models().POOL.lend(self._settings) as annotator:
            outcomes = list(annotator.annotate_many([ask(image, prompts)]))
            if outcomes[0].error is not None and len(prompts) > 1:
                # A single region may fail, or they may be too many at once.
                outcomes = list(annotator.annotate_many(ask(image, (one,)) for one in prompts))
        if outcomes[0].error is not None and all(outcome.error for outcome in outcomes):
            raise outcomes[0].error
        answers: list[Region | str] = []
        for outcome in outcomes:
            if outcome.annotation is None:
                answers.append(f"{type(outcome.error).__name__}: {outcome.error}")
            else:
                answers += [getattr(one, "reason", one) for one in outcome.annotation.results]
        return answers


def download_model(model_name: str, model_path: str) -> None:
    """Download a checkpoint to huggingface_hub's cache, and write its location to `model_path`.

    Operators and command line use the same copy. An interrupted download resumes.

    Raises:
        ValueError: there is no such model, no connection or no space; the message says what to do.
    """
    checkpoint = _checkpoint(model_name)
    note = {"checkpoint": checkpoint, "folder": str(hub.download(checkpoint))}
    Path(model_path).write_text(json.dumps(note, indent=4) + "\n", encoding="utf-8")


def load_model(model_name: str, options: dict[str, Any]) -> PamModel:
    """Load a model of this zoo source.

    Args:
        model_name: pam-nano, pam-1.5b or pam-3b.
        options: of `PamConfig`, by name.

    Raises:
        ValueError: there is no such model or option, a value cannot be used, or the checkpoint
            cannot be loaded.
    """
    with PamModel(PamConfig(**options, checkpoint=_checkpoint(model_name))) as model:
        return model


def fill_form(inputs: types.Object, view: Any) -> None:
    """Fill the form of FiftyOne's operator for zoo models."""
    _choice(
        inputs,
        _PROMPTS,
        label_fields(view),
        label="Prompts",
        description="The field with the labels to describe; if empty, PAM finds everything",
    )
    _choice(
        inputs, "texts", get_args(Text), multiple=True, label="Texts", default=["label", "brief"]
    )
    _choice(inputs, "language", get_args(Language), label="Language", default="en")
    inputs.list(
        "classes",
        types.String(),
        label="Classes",
        description="Choose the label from a list of your own",
        view=types.AutocompleteView(multiple=True),
    )
    inputs.str(
        "device", label="Device", description="cpu, cuda, cuda:1 or mps; the fastest if empty"
    )


def _choice(
    inputs: types.Object, name: str, values: Iterable[str], *, multiple: bool = False, **shown: Any
) -> None:
    choices = [types.Choice(value, label=value) for value in values]
    view = types.DropdownView(multiple=multiple, choices=choices)
    kind = types.List(types.String()) if multiple else types.Enum(view.values())
    inputs.define_property(name, kind, view=view, **shown)


def _checkpoint(model_name: str) -> str:
    if model_name not in CHECKPOINTS:
        raise PluginError(f"The model must be one of {', '.join(CHECKPOINTS)}, not {model_name}.")
    return CHECKPOINTS[model_name]


def _detection(region: Region, prompt: LabelRegion | None = None) -> fo.Detection:
    attributes: dict[str, Any] = {
        ATTRIBUTES[task.value]: text
        for (task, _), text in region.texts.items()
        if task.value in ATTRIBUTES
    }
    attributes[OBJECT_SCORE] = region.scores.object
    if region.open_label is not None:
        attributes["open_label"] = region.open_label
    if prompt is not None:
        attributes["prompt_id"] = prompt.label_id
        if (index := getattr(prompt.document, "index", None)) is not None:
            attributes["index"] = index
    score = region.scores.iou if region.scores.label is None else region.scores.label
    label = region.label or (prompt.label if prompt else None)
    return detection_of(region, label=label, confidence=score, **attributes)


def _name(sample: Any) -> str:
    return "image" if sample is None else f"sample {sample.id}"


def _models() -> Any:
    # If FiftyOne has loaded the plugin, we share its models: they are large.
    return sys.modules.get(f"{_PLUGIN}.models") or models
