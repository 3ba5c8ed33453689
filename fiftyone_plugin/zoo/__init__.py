"""PAM in FiftyOne's model zoo: a remote source of `pam-nano`, `pam-1.5b` and `pam-3b`.

FiftyOne copies this folder alone into its model zoo, and runs this file anew for each call; so the
source is one file, and what does the work comes from the installed package pam-labeling.

foz.register_zoo_model_source(url)
model = foz.load_zoo_model("pam-nano", classes=["circle", "star"])
dataset.apply_model(model, label_field="pam", prompt_field="ground_truth")
"""

from __future__ import annotations

import json
import logging
import sys
from contextlib import ExitStack
from dataclasses import dataclass, fields
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import fiftyone as fo
from fiftyone.operators import types

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from contextlib import AbstractContextManager
    from types import ModuleType

    import numpy as np
    import numpy.typing as npt

    from fiftyone_plugin.labels.regions import LabelRegion
    from pam_labeling import Annotator, LoadedImage, Outcome, Prompt, Region

logger = logging.getLogger(__name__)

Text = Literal["label", "definition", "brief", "detailed"]
Language = Literal["en", "zh"]

CHECKPOINTS = {"pam-nano": "nano", "pam-1.5b": "PAM-1.5B", "pam-3b": "PAM-3B"}
"""The zoo's names -> the checkpoints' own."""

ATTRIBUTES = {"definition": "definition", "brief": "caption", "detailed": "detailed_caption"}
"""Which attribute of a Detection a text goes to; the label is its `label`."""

_PROMPTS = "prompt_field"
_PLUGIN = "fiftyone.plugins.orgs.pam_labeling.pam"  # how FiftyOne calls the plugin's module
_PACKAGES = ("fiftyone_plugin", "pam_labeling", "pam_model")
_INSTALL = (
    "PAM needs the package pam-labeling. It is on no package index yet: get a clone of its "
    "repository, and run `pip install .` in it with the Python that runs FiftyOne"
)


@dataclass
class PamConfig:
    """What a model does with each image.

    Attributes:
        checkpoint: nano, PAM-1.5B or PAM-3B.
        prompt_field: the field whose labels are the prompts; None: everything is found.
            `apply_model` may name another one.
        texts: what to say about each region: label, definition, brief, detailed.
        language: en or zh.
        classes: a label list of your own to choose from; None: open labels.
        threshold: the score from 0 to 1 under which none of the classes is chosen.
        use_masks: take a prompt's instance mask as it is; False: segment its box.
        device: cpu, cuda, cuda:1, mps; None: as `PAM_DEVICE` says, or the fastest there is.
        batch_size: how many regions the language model describes at once.
        points_per_side: to find everything, clicks along each side of the image.

    Raises:
        ValueError: another text or language.
    """

    checkpoint: str
    prompt_field: str | None = None
    texts: tuple[Text, ...] = ("label", "brief")
    language: Language = "en"
    classes: tuple[str, ...] | None = None
    threshold: float = 0.0
    use_masks: bool = True
    device: str | None = None
    batch_size: int | None = None
    points_per_side: int = 32

    def __post_init__(self) -> None:
        self.texts = tuple(self.texts)
        self.classes = tuple(self.classes) if self.classes else None
        unknown = [text for text in self.texts if text not in get_args(Text)]
        if unknown:
            raise ValueError(f"texts are {', '.join(get_args(Text))}, not {', '.join(unknown)}")
        if self.language not in get_args(Language):
            raise ValueError(f"the language is en or zh, not {self.language}")


class PamModel(fo.SamplesMixin, fo.Model):  # type: ignore[misc]  # FiftyOne is untyped
    """PAM, as FiftyOne's `apply_model` takes it.

    An image's answer is a new `fo.Detections` with one Detection for each prompt, in the prompts'
    order: `label` (the prompt's own where none was asked for, or no class was likely enough); a
    tight box and an instance mask; `confidence` (the label's share among the classes, or without
    classes the overlap with the true mask that PAM expects of its own); the texts, as `ATTRIBUTES`
    names them; `prompt_id`, the id of the prompt's label; and the prompt's `index`, if it has one.
    What has no answer is named with the reason in the Detections' `pam_errors`.

    Args:
        config: what to do.

    Raises:
        ImportError: pam-labeling is not installed.
        ValueError: a class list, threshold or setting that cannot be used.
    """

    media_type = "image"  # FiftyOne gives it videos frame by frame
    preprocess = False
    transforms = None  # PAM takes images as they are

    def __init__(self, config: PamConfig) -> None:
        super().__init__()
        self.config = config
        self._options = _request_options(config)
        self._settings = _models().settings_of(config.checkpoint, config.device, config.batch_size)
        self._held = ExitStack()
        self.needs_fields = {}

    @property
    def ragged_batches(self) -> bool:
        """True: FiftyOne gives one image at a time, whatever batch size it is told.

        It reads the images of a batch in one go, and one that cannot be read loses them all.
        PAM batches the regions of an image anyway, not images.
        """
        return True

    @property
    def needs_fields(self) -> dict[str, str]:
        """Which field of a sample is read: `{"prompt_field": name}`, or none."""
        return self._fields

    @needs_fields.setter
    def needs_fields(self, told: Mapping[str, str]) -> None:
        unknown = sorted(set(told) - {_PROMPTS})
        if unknown:
            raise ValueError(
                f"apply_model does not know {', '.join(unknown)}: of PAM's options it takes only "
                f"{_PROMPTS}; give the others to load_zoo_model"
            )
        # FiftyOne sets what `apply_model` was told. From its App that is nothing.
        known = {_PROMPTS: self.config.prompt_field, **told}
        self._fields = {key: name for key, name in known.items() if name}

    def __enter__(self) -> PamModel:
        """Load PAM and keep it until `__exit__`."""
        self._held.enter_context(self._lend())
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def predict(self, arg: npt.NDArray[np.uint8], sample: Any = None) -> fo.Detections:
        """The answer for one image; see the class.

        Args:
            arg: uint8 `(height, width, 3)`, RGB, upright.
            sample: the sample, patch or frame that holds the prompts.

        Raises:
            ValueError: no such image, or a field that holds no prompts.
            PluginError: the model cannot be loaded.
            Exception: what the model raised, where no region of the image could be described.
        """
        image = _package("pam_labeling").LoadedImage.from_pixels(arg, name=_name(sample))
        field = self.needs_fields.get(_PROMPTS)
        if field is None:
            found = [result for result in self._annotate(image) if not isinstance(result, str)]
            return fo.Detections(detections=[_detection(region) for region in found])
        if sample is None:
            raise ValueError(f"the prompts are in {field} of a sample: predict(arg, sample=...)")
        labels = sample[field.removeprefix("frames.")]
        return fo.Detections() if labels is None else self._describe(image, labels)

    def predict_all(
        self, args: Iterable[npt.NDArray[np.uint8]], samples: Iterable[Any] | None = None
    ) -> list[fo.Detections | None]:
        """The answers for many images; None, and a line in the log, for one that fails.

        Args:
            args: images, each as for `predict` and of its own size.
            samples: what holds their prompts.
        """
        images = list(args)
        holders = [None] * len(images) if samples is None else list(samples)
        return [self._try(*pair) for pair in zip(images, holders, strict=True)]

    def _try(self, image: npt.NDArray[np.uint8], sample: Any) -> fo.Detections | None:
        try:
            return self.predict(image, sample=sample)
        except Exception as error:  # noqa: BLE001 - this image's own; the others go on
            logger.warning("%s: %s", _name(sample), error)
            return None

    def _describe(self, image: LoadedImage, labels: Any) -> fo.Detections:
        package = _package("fiftyone_plugin.labels.regions")
        found = package.regions_of(labels, image.size, use_masks=self.config.use_masks)
        usable = [label for label in found if isinstance(label, package.LabelRegion)]
        errors = [f"{bad.label_id}: {bad.reason}" for bad in found if hasattr(bad, "reason")]
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
        """A region, or why there is none, for each prompt; without prompts all that is found."""
        ask = partial(_package("pam_labeling").Request, image, **self._options)
        with self._lend() as annotator:
            outcomes = list(annotator.annotate_many([ask(prompts)]))
            if outcomes[0].error is not None and len(prompts) > 1:
                # It may be a single region that fails, or that they are too many at once.
                outcomes = list(annotator.annotate_many(ask((prompt,)) for prompt in prompts))
        if outcomes[0].error is not None and all(outcome.error for outcome in outcomes):
            raise outcomes[0].error
        return [answer for outcome in outcomes for answer in _answers(outcome)]

    def _lend(self) -> AbstractContextManager[Annotator]:
        lent: AbstractContextManager[Annotator] = _models().POOL.lend(self._settings)
        return lent


def download_model(model_name: str, model_path: str) -> None:
    """Bring a checkpoint into huggingface_hub's cache, and note at `model_path` where it is.

    Operators and command line use the same copy. What was interrupted goes on where it stopped.

    Raises:
        ValueError: no such model, no connection or no room; the message says what to do.
        ImportError: pam-labeling is not installed.
    """
    checkpoint = _checkpoint(model_name)
    folder = _package("pam_model.checkpoints.hub").download(checkpoint)
    note = {"checkpoint": checkpoint, "folder": str(folder)}
    Path(model_path).write_text(json.dumps(note, indent=4) + "\n", encoding="utf-8")


def load_model(model_name: str, _model_path: str, **options: Any) -> PamModel:
    """Load a model of the source.

    Args:
        model_name: pam-nano, pam-1.5b or pam-3b.
        options: of `PamConfig`, by name.

    Raises:
        ValueError: no such model or option, or a value that cannot be used; the checkpoint cannot
            be loaded.
        ImportError: pam-labeling is not installed.
    """
    checkpoint = _checkpoint(model_name)
    known = [option.name for option in fields(PamConfig) if option.name != "checkpoint"]
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise ValueError(
            f"{model_name} has no option {', '.join(unknown)}, only {', '.join(known)}"
        )
    with PamModel(PamConfig(checkpoint, **options)) as model:
        return model


def resolve_input(_model_name: str, ctx: Any) -> types.Property:
    """What FiftyOne's operator for zoo models asks a person about PAM."""
    inputs = types.Object()
    view = types.View(label="PAM")
    try:
        label_types = _package("fiftyone_plugin.labels.regions").LABEL_TYPES
    except ImportError as error:
        inputs.view("missing", types.Error(label=str(error)))
        missing = types.Property(inputs, view=view)
        missing.invalid = True
        return missing
    _choice(
        inputs,
        _PROMPTS,
        _label_fields(ctx.view, label_types),
        label="Prompts",
        description="Whose labels to describe; nothing: everything in the image is looked for",
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
    return types.Property(inputs, view=view)


def parse_parameters(_model_name: str, _ctx: Any, params: dict[str, Any]) -> None:
    """Leave out, in place, what a person left empty in the form."""
    for name in [name for name, value in params.items() if value in (None, "", [])]:
        del params[name]


def _choice(
    inputs: types.Object, name: str, values: Iterable[str], *, multiple: bool = False, **shown: Any
) -> None:
    view = types.DropdownView(multiple=multiple)
    for value in values:
        view.add_choice(value, label=value)
    if multiple:
        inputs.list(name, types.String(), view=view, **shown)
    else:
        inputs.enum(name, view.values(), view=view, **shown)


def _label_fields(view: Any, label_types: tuple[type[Any], ...]) -> list[str]:
    found = view.get_field_schema(embedded_doc_type=label_types)
    frames = view.get_frame_field_schema(embedded_doc_type=label_types) or {}
    return [*found, *(f"frames.{name}" for name in frames)]


def _checkpoint(model_name: str) -> str:
    if model_name not in CHECKPOINTS:
        raise ValueError(f"there is no {model_name}, only {', '.join(CHECKPOINTS)}")
    return CHECKPOINTS[model_name]


def _request_options(config: PamConfig) -> dict[str, Any]:
    labeling, model = _package("pam_labeling"), _package("pam_model")
    tasks = [text for text in config.texts if text != "label" or config.classes is None]
    vocabulary = config.classes and labeling.Vocabulary(
        config.classes, language=config.language, threshold=config.threshold
    )
    questions = tuple(model.Question(model.Task(task), config.language) for task in tasks)
    everything = model.AutomaticMaskOptions(points_per_side=config.points_per_side)
    return {"questions": questions, "vocabulary": vocabulary, "everything": everything}


def _answers(outcome: Outcome) -> list[Region | str]:
    if outcome.annotation is None:
        return [f"{type(outcome.error).__name__}: {outcome.error}"]
    return [
        result.reason if hasattr(result, "reason") else result
        for result in outcome.annotation.results
    ]


def _detection(region: Region, prompt: LabelRegion | None = None) -> fo.Detection:
    attributes: dict[str, Any] = {
        ATTRIBUTES[task.value]: text
        for (task, _), text in region.texts.items()
        if task.value in ATTRIBUTES
    }
    if prompt is not None:
        attributes["prompt_id"] = prompt.label_id
        index = getattr(prompt.document, "index", None)
        attributes |= {} if index is None else {"index": index}
    score = region.scores.iou if region.scores.label is None else region.scores.label
    label = region.label or (prompt and prompt.label)
    package = _package("fiftyone_plugin.labels.regions")
    return package.detection_of(region, label=label, confidence=score, **attributes)


def _name(sample: Any) -> str:
    return "image" if sample is None else f"sample {sample.id}"


def _models() -> ModuleType:
    # Where FiftyOne has loaded the plugin, its models serve here too: they are large.
    return sys.modules.get(f"{_PLUGIN}.models") or _package("fiftyone_plugin.models")


def _package(name: str) -> ModuleType:
    """A module of pam-labeling, imported on first use.

    Raises:
        ImportError: pam-labeling is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _PACKAGES:
            raise
        raise ImportError(_INSTALL) from error
