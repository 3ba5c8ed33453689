"""The class PAM, which other packages use.

pam = PAM.from_pretrained("nano")
features = pam.encode(image)                      # once per image
segments = pam.segment(features, prompts)           # all prompts of the image
contexts = pam.prefill(segments)                    # once per region
texts = pam.describe(contexts, questions)           # all regions and questions at once
scores = pam.classify(contexts, ["cat", "dog"])     # a project's own list of labels
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch

from pam_model import devices, embeddings, everything
from pam_model.checkpoints import hub
from pam_model.checkpoints.checkpoint import load_checkpoint, load_network
from pam_model.errors import InputError
from pam_model.key_values import RegionContexts
from pam_model.network import PAMNetwork
from pam_model.options import AutomaticMaskOptions, GenerationOptions
from pam_model.prompt_tensors import (
    MASK_PASS,
    confine_to_turned_boxes,
    decoder_pass,
    point_tensors,
    square_masks,
)
from pam_model.prompts import Prompt, check_prompts
from pam_model.segmenter import Attended, DecoderOutput
from pam_model.segments import ImageFeatures, ImageInput, PreparedImage, Segments
from pam_model.tasks import LabelScore, Language, Question, Task

_GREEDY = GenerationOptions()
_USUAL = AutomaticMaskOptions()


class PAM:
    """Perceive Anything: an image and prompts in; masks, labels, definitions and captions out.

    Not thread-safe: one caller at a time.

    Args:
        network: the network with its weights, on its device.
        name: the checkpoint's name, which answers carry.
    """

    def __init__(self, network: PAMNetwork, name: str) -> None:
        self.network = network.eval()
        self.name = name

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | Path,
        *,
        sam2: str | Path | None = None,
        device: str | torch.device | None = None,
        dtype: torch.dtype | None = None,
        attn_implementation: str | None = None,
        revision: str | None = None,
    ) -> PAM:
        """Load a checkpoint.

        Args:
            name_or_path: "nano" (inside this package), "PAM-1.5B", "PAM-3B", a folder, or the id of
                a repository on the Hugging Face hub; missing files are downloaded.
            sam2: Meta's `sam2.1_*.pt` or a Hugging Face folder of SAM 2.1, if the checkpoint does
                not bring its own.
            device: by default the GPU if there is one (CUDA first, then Apple's), else the CPU.
            dtype: by default bfloat16 on a CUDA GPU that supports it, else float32.
            attn_implementation: the language model's attention; by default flash-attn if it is
                installed and fits, else PyTorch's own ("sdpa").
            revision: a branch, tag or commit on the hub.

        Raises:
            CheckpointError: there is no such checkpoint, or its tensors do not fit the model.
            InputError: there is no such device, or this build of torch cannot use it.
        """
        source = hub.resolve(name_or_path, revision=revision)
        place = devices.available(device) if device is not None else devices.best_device()
        precision = dtype if dtype is not None else devices.best_dtype(place)
        network = load_network(
            load_checkpoint(source.folder, sam2 if sam2 is not None else source.sam2),
            dtype=precision,
            device=place,
            attn_implementation=attn_implementation or devices.best_attention(place, precision),
        )
        return cls(network.requires_grad_(False), source.name)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.network.language.qwen2.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' dtype (those that place a prompt stay in float32)."""
        return self.network.language.qwen2.dtype

    @property
    def tokens_per_pass(self) -> int:
        """How many tokens at once keep the device busy; with more, each takes as long."""
        return self.image_tokens * (4 if self.device.type == "cpu" else 8)

    @property
    def images_per_pass(self) -> int:
        """How many images to encode at once: one on a CPU, which a single image keeps busy."""
        return 1 if self.device.type == "cpu" else 8

    @property
    def image_tokens(self) -> int:
        """The number of tokens that the encoder makes of an image."""
        return (self.network.config.image_size // 16) ** 2

    @property
    def region_tokens(self) -> int:
        """About how many tokens the language model reads of a region."""
        return self.image_tokens // 4 + self.network.config.perceiver.num_semantic_tokens

    def prepare(self, image: ImageInput) -> PreparedImage:
        """Resize an image for `encode_batch`; any thread may call this while the model works.

        Raises:
            InputError: it is not an RGB image, as `encode` needs it.
        """
        return PreparedImage.from_image(image, self.network.config.image_size)

    @torch.inference_mode()
    def encode(self, image: ImageInput) -> ImageFeatures:
        """Encode one image, once for all its prompts.

        Args:
            image: an upright RGB image, uint8 `(height, width, 3)` or a Pillow image.

        Raises:
            InputError: it is not an RGB image.
        """
        return self.encode_batch([image])[0]

    @torch.inference_mode()
    def encode_batch(self, images: Sequence[ImageInput | PreparedImage]) -> list[ImageFeatures]:
        """Encode several images in one pass.

        Args:
            images: each as for `encode`, or prepared.

        Raises:
            InputError: an image is not an RGB image.
        """
        if not images:
            return []
        prepared = [
            image if isinstance(image, PreparedImage) else self.prepare(image) for image in images
        ]
        squares = torch.from_numpy(np.stack([image.pixels for image in prepared]))
        pixels = squares.to(self.device).permute(0, 3, 1, 2)  # [B, 3, side, side]
        maps = self.network.segmenter.encode(pixels)
        return [ImageFeatures(image.size, maps.image(row)) for row, image in enumerate(prepared)]

    @torch.inference_mode()
    def segment(self, features: ImageFeatures, prompts: Sequence[Prompt]) -> Segments:
        """Find the object of every prompt; all prompts of a kind share one decoder pass.

        Args:
            features: the image's features.
            prompts: the prompts, in pixels of the upright image; kinds may be mixed.

        Returns:
            One region for each prompt, in their order. Where the model finds no object, the score
            in `object_scores` is 0 or less and the mask is empty.

        Raises:
            PromptError: a prompt means nothing in this image; the message gives its number.
        """
        check_prompts(prompts, features.size)
        kinds: dict[int, list[int]] = {}
        for index, prompt in enumerate(prompts):
            kinds.setdefault(decoder_pass(prompt), []).append(index)
        parts = []
        for kind, indices in kinds.items():
            group = [prompts[index] for index in indices]
            decode = self._decode_masks if kind == MASK_PASS else self._decode_points
            given = [prompt.cropped for prompt in group]
            parts.append(Segments.of(features.size, decode(features, group), given))
        if not parts:
            return self._no_segments(features)
        order = [index for indices in kinds.values() for index in indices]
        return Segments.concatenate(parts).select(np.argsort(order).tolist())

    @torch.inference_mode()
    def object_scores(
        self, features: ImageFeatures, points: Sequence[Sequence[float]]
    ) -> npt.NDArray[np.float32]:
        """Whether there is an object at each point, without drawing its mask.

        Args:
            features: of the image.
            points: x and y in pixels of the upright image.

        Returns:
            float32 `(N,)` logits, as in `Segments`; at 0 or less there is no object.

        Raises:
            PromptError: a point is outside the image; the message has its number.
        """
        clicks = [Prompt.from_points([point]) for point in points]
        check_prompts(clicks, features.size)
        if not clicks:
            return np.zeros(0, np.float32)
        scores = self._attend_clicks(features, clicks).object_scores
        return cast("npt.NDArray[np.float32]", scores.cpu().numpy())

    @torch.inference_mode()
    def find_everything(
        self, features: ImageFeatures, options: AutomaticMaskOptions = _USUAL
    ) -> Segments:
        """Find the objects of an image without a prompt, best first."""
        return everything.run(self.everything_in_steps(features, options))

    @torch.inference_mode()
    def everything_in_steps(
        self, features: ImageFeatures, options: AutomaticMaskOptions = _USUAL
    ) -> Generator[None, None, Segments]:
        """Like `find_everything`, but yield after each pass, so that other work can go first."""
        points = everything.grid(options.points_per_side, features.size)
        prompts, masks, scores = [], [], []
        for start in range(0, len(points), options.points_per_batch):
            batch = points[start : start + options.points_per_batch]
            clicks = [Prompt.from_points([point]) for point in batch]
            attended = self._attend_clicks(features, clicks)
            rows, found, iou_scores = everything.good_masks(
                self.network.segmenter, features.maps, attended, options
            )
            prompts += [clicks[row] for row in rows.tolist()]
            masks.append(found)
            scores.append(iou_scores)
            yield
        kept = everything.mask_nms(torch.cat(masks), torch.cat(scores), options.nms_threshold)
        # The region features of every click would fill the memory: decode the few that stay again.
        chosen = [prompts[index] for index in kept[: options.max_regions]]
        passes = [
            self.segment(features, chosen[start : start + options.points_per_batch])
            for start in range(0, len(chosen), options.points_per_batch)
        ]
        return Segments.concatenate(passes) if passes else self._no_segments(features)

    @torch.inference_mode()
    def prefill(self, segments: Segments) -> RegionContexts:
        """Let the language model read each region once, for all questions and labels.

        Args:
            segments: regions of any number of images. All are one batch: cut long lists.
        """
        rows = self.network.visual_rows(segments.mask_tokens, segments.image_embed)
        return self.network.language.prefill(rows)

    @torch.inference_mode()
    def prefill_clips(self, clips: Sequence[Segments]) -> RegionContexts:
        """Let the language model read each object's clip once, for all questions.

        Args:
            clips: for each object, its regions in the frames that `clip_frames` chooses, in order.
        """
        rows = [self.network.clip_rows(clip.mask_tokens, clip.image_embed) for clip in clips]
        return self.network.language.prefill(torch.cat(rows))

    def describe(
        self,
        contexts: RegionContexts,
        questions: Sequence[Question],
        options: GenerationOptions = _GREEDY,
    ) -> list[list[str]]:
        """Answer every question about every region in one batch.

        Args:
            contexts: the regions, from `prefill`.
            questions: tasks and their languages.
            options: how to generate; by default greedily, which is repeatable.

        Returns:
            The answers, `[region][question]`.

        Raises:
            TimeoutError: the deadline in `options` passed.
        """
        return everything.run(
            self.describe_in_steps(contexts, [questions] * len(contexts), options)
        )

    @torch.inference_mode()
    def describe_in_steps(
        self,
        contexts: RegionContexts,
        questions: Sequence[Sequence[Question]],
        options: GenerationOptions = _GREEDY,
    ) -> Generator[None, None, list[list[str]]]:
        """Like `describe`, but with separate questions for each region, and in steps.

        It yields after every few tokens. Other answers may begin and end meanwhile.
        """
        texts = [[question.text for question in asked] for asked in questions]
        return (yield from self.network.language.answer_in_steps(contexts, texts, options))

    def classify(
        self,
        contexts: RegionContexts,
        labels: Sequence[str],
        *,
        language: Language = "en",
        score: LabelScore = "log_likelihood",
        deadline: float | None = None,
    ) -> npt.NDArray[np.float32]:
        """Score each label of a list as the answer to the question for a label.

        Args:
            contexts: the regions, from `prefill`.
            labels: the project's own labels; hundreds are fine.
            language: in which the question for a label is put.
            score: "log_likelihood" ranks the labels of a list. "fit" tells whether any of them
                fits: it means the same whatever else is in the list. See `LabelScore`.
            deadline: `time.monotonic()` at which to give up, or None.

        Returns:
            float32 `(regions, labels)`, each 0 or less.

        Raises:
            InputError: there are no labels, or one is empty or too long.
            TimeoutError: the deadline passed.
        """
        return everything.run(
            self.classify_in_steps(
                contexts, labels, language=language, score=score, deadline=deadline
            )
        )

    @torch.inference_mode()
    def classify_in_steps(
        self,
        contexts: RegionContexts,
        labels: Sequence[str],
        *,
        language: Language = "en",
        score: LabelScore = "log_likelihood",
        deadline: float | None = None,
    ) -> Generator[None, None, npt.NDArray[np.float32]]:
        """Like `classify`, but yield after each pass, so that other work can go first."""
        if not labels:
            raise InputError("give at least one label to choose from")
        question = Question(Task.LABEL, language).text
        scores = yield from self.network.language.score_in_steps(
            contexts, question, labels, score=score, deadline=deadline
        )
        return cast("npt.NDArray[np.float32]", scores.cpu().numpy())

    @torch.inference_mode()
    def embed(
        self, features: ImageFeatures, segments: Segments, contexts: RegionContexts
    ) -> npt.NDArray[np.float32]:
        """Embed N regions of one image, to compare them; see `pam_model.embeddings`.

        Returns:
            float32 `(N, dimensions)`, each vector of length 1.
        """
        states = self.network.language.states(contexts, Question(Task.LABEL).text)
        return embeddings.join(features.maps.stride4, segments, states)

    def _attend_clicks(self, features: ImageFeatures, clicks: Sequence[Prompt]) -> Attended:
        points, labels = point_tensors(clicks, features.size, self.network.config.image_size)
        return self.network.segmenter.attend_points(
            features.maps, points.to(self.device), labels.to(self.device)
        )

    def _decode_points(self, features: ImageFeatures, prompts: Sequence[Prompt]) -> DecoderOutput:
        points, labels = point_tensors(prompts, features.size, self.network.config.image_size)
        found = self.network.segmenter.decode_points(
            features.maps, points.to(self.device), labels.to(self.device)
        )
        logits = confine_to_turned_boxes(found.mask_logits, prompts, features.size)
        return found._replace(mask_logits=logits)

    def _decode_masks(self, features: ImageFeatures, prompts: Sequence[Prompt]) -> DecoderOutput:
        masks = [prompt.cropped for prompt in prompts if prompt.cropped is not None]
        squares = square_masks(masks, self.network.config.image_size, self.device)
        return self.network.segmenter.decode_masks(features.maps, squares)

    def _no_segments(self, features: ImageFeatures) -> Segments:
        click = Prompt.from_points([(features.size[0] / 2, features.size[1] / 2)])
        return self.segment(features, [click]).select([])
