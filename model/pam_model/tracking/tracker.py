"""Track any objects from any frame through a clip of any length, all of them in one batch.

tracker, state = Tracker(pam), TrackerState(num_frames=len(frames))
tracker.prompt(state, 0, pam.encode(frames[0]), {1: [Prompt.from_box(box)]})
for found in tracker.track(state, ((i, pam.encode(frames[i])) for i in range(1, len(frames)))):
    ...  # found.segments.mask(0); leave the loop at any time

A frame's number is its place among the frames to be tracked, from 0 on: a clip of which every tenth
frame is tracked has the frames 0, 1, 2, ... Nothing here knows files, times or threads.

N are the objects of a frame, C the channels of the image embedding of h x w cells, and M those of a
memory. In SAM 2.1-large, C = 256, M = 64 and h = w = 64.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from pam_model.errors import CheckpointError, PromptError
from pam_model.pam import PAM
from pam_model.prompt_tensors import confine_to_turned_boxes, point_tensors
from pam_model.prompts import Prompt
from pam_model.segments import ImageFeatures, Segments
from pam_model.tracking.memory import FrameMemory, MemoryLimits, ObjectMemory, Recall

_LIMITS = MemoryLimits()
_LARGEST_LOGIT = 32.0  # of a mask that is corrected, as in Meta's SAM 2


class TrackedFrame(NamedTuple):
    """The objects of one frame.

    Attributes:
        frame: the frame's number.
        object_ids: the objects, in the order of the regions.
        segments: a region for each object, in pixels of this frame. Where the object is away, its
            score in `object_scores` is 0 or less and its mask is empty.
    """

    frame: int
    object_ids: tuple[int, ...]
    segments: Segments


class TrackerState:
    """The memory of a clip's objects. Its size depends on their number, not on the clip's length.

    Args:
        num_frames: the number of frames to be tracked; None if it is not known, which is the same
            as 16 or more.
        limits: how much is kept of each object.

    Attributes:
        objects: the memory of each object, by its id.
    """

    def __init__(self, num_frames: int | None = None, limits: MemoryLimits = _LIMITS) -> None:
        self.objects: dict[int, ObjectMemory] = {}
        self.limits = limits
        # Pointers of more frames than the clip has cannot be; their distances are relative to this.
        self.pointers = limits.pointers if num_frames is None else min(num_frames, limits.pointers)
        self.reverse = False

    @property
    def nbytes(self) -> int:
        """Bytes held on the device."""
        return sum(memory.nbytes for memory in self.objects.values())

    def remove(self, object_id: int) -> None:
        """Stop tracking an object, and forget it.

        Raises:
            KeyError: there is no such object.
        """
        del self.objects[object_id]

    def turn(self, *, reverse: bool) -> None:
        """Choose the direction. After a change, only prompted frames are remembered.

        So each direction finds the same, whichever comes first and however far it goes.
        """
        if reverse != self.reverse:
            self.reverse = reverse
            for memory in self.objects.values():
                memory.forget_tracked()


class Tracker:
    """SAM 2.1's tracking, with the region features that PAM reads.

    Not thread-safe: like `pam`, it has one caller at a time.

    Args:
        pam: the model that encodes the frames.

    Raises:
        CheckpointError: the model was trained on still images only.
    """

    def __init__(self, pam: PAM) -> None:
        self._pam = pam
        self._segmenter = pam.network.segmenter
        self._sam2 = self._segmenter.sam2
        # Their initial value; after training on videos they are different.
        if not bool(self._sam2.memory_temporal_positional_encoding.any()):
            raise CheckpointError(
                f"{pam.name} cannot track: its memory was never trained on videos; use a "
                "checkpoint that has the memory of SAM 2.1, such as PAM-3B"
            )

    @torch.inference_mode()
    def prompt(
        self,
        state: TrackerState,
        frame: int,
        features: ImageFeatures,
        prompts: Mapping[int, Sequence[Prompt]],
        previous: Mapping[int, Tensor] | None = None,
    ) -> TrackedFrame:
        """Show objects in a frame: new ones, or known ones to be corrected.

        A mask, and a prompt in a frame that was not tracked, are answered from the frame alone.
        Points and boxes in a frame where the object has a mask correct this mask. The frame then
        counts as prompted: later frames keep recalling it.

        Args:
            state: the clip's memory; it is changed only if nothing is raised.
            frame: the frame's number.
            features: of the frame.
            prompts: all prompts of each object in this frame, by its id: a mask, or points and at
                most one box. For a second correction, repeat the points of the first.
            previous: by object, the logits of a mask to correct, float32 `(4 h, 4 w)` as in
                `Segments.mask_logits`, for frames so long ago that the state forgot them.

        Raises:
            PromptError: a prompt means nothing in this frame; the message says whose it is.
        """
        joined: dict[int, Prompt] = {}
        corrected: dict[int, Tensor] = {}
        for object_id, given in prompts.items():
            logits = self._mask_logits(state, frame, object_id, previous or {})
            joined[object_id] = _joined(given, features.size, object_id, logits is not None)
            if logits is not None and joined[object_id].cropped is None:
                corrected[object_id] = logits
        fresh = [object_id for object_id in joined if object_id not in corrected]
        parts = []
        if fresh or not corrected:
            parts.append(self._pam.segment(features, [joined[object_id] for object_id in fresh]))
        recalled: dict[int, Recall | None] = {}
        for object_id, logits in corrected.items():
            recall = self._correction_recall(state, frame, object_id)
            parts.append(self._correct(state, features, joined[object_id], recall, logits))
            recalled[object_id] = recall
        ids = [*fresh, *corrected]
        found = _in_order(TrackedFrame(frame, tuple(ids), Segments.concatenate(parts)), joined)
        memories = self._memories(features, found.segments, prompted=True)
        for object_id, memory in zip(found.object_ids, memories, strict=True):
            known = state.objects.setdefault(object_id, ObjectMemory(state.limits))
            recall = recalled.get(object_id)
            known.add_prompted(frame, replace(memory, recalled=recall is not None))
        return found

    @torch.inference_mode()
    def step(
        self, state: TrackerState, frame: int, features: ImageFeatures, *, reverse: bool = False
    ) -> TrackedFrame:
        """Find in a frame all objects that were prompted before it, in one batch.

        An object that was prompted in this very frame has its answer from `prompt` and is left out.

        Args:
            state: the clip's memory.
            frame: the frame's number, one more than that of the last step (one less in reverse).
            features: of the frame.
            reverse: whether to track backwards.
        """
        state.turn(reverse=reverse)
        recalls: dict[int, Recall] = {}
        for object_id, known in state.objects.items():
            recall = known.recall(frame, reverse=reverse, pointers=state.pointers)
            if recall is not None and frame not in known.prompted:
                recalls[object_id] = recall
        if not recalls:
            return TrackedFrame(frame, (), self._pam.segment(features, []))
        embedding = self._recall_all(state, features, list(recalls.values()))
        answer = self._segmenter.decode_frame(features.maps, embedding)
        segments = Segments.of(features.size, answer, [None] * len(recalls))
        memories = self._memories(features, segments, prompted=False)
        for object_id, memory in zip(recalls, memories, strict=True):
            state.objects[object_id].add_tracked(frame, memory)
        return TrackedFrame(frame, tuple(recalls), segments)

    def track(
        self,
        state: TrackerState,
        frames: Iterable[tuple[int, ImageFeatures]],
        prompts: Mapping[int, Mapping[int, Sequence[Prompt]]] | None = None,
        *,
        reverse: bool = False,
    ) -> Iterator[TrackedFrame]:
        """Track frame by frame, as fast as the caller asks for results.

        Between two results the caller may prompt, correct and remove objects in `state`, or leave;
        `frames` is closed then, if it is a generator.

        Args:
            state: the clip's memory.
            frames: the frames' numbers and features, in the direction of tracking.
            prompts: by frame and object, prompts that are given when this frame is reached.
            reverse: whether to track backwards.

        Raises:
            PromptError: a prompt means nothing in its frame.
        """
        try:
            for frame, features in frames:
                state.turn(reverse=reverse)
                given = (prompts or {}).get(frame)
                shown = self.prompt(state, frame, features, given) if given else None
                tracked = self.step(state, frame, features, reverse=reverse)
                yield tracked if shown is None else _both(shown, tracked)
        finally:
            close = getattr(frames, "close", None)
            if close is not None:
                close()

    def _mask_logits(
        self, state: TrackerState, frame: int, object_id: int, previous: Mapping[int, Tensor]
    ) -> Tensor | None:
        """The logits of the object's present mask in a frame, `(4 h, 4 w)`, if there is one."""
        memory = state.objects.get(object_id)
        known = None if memory is None else memory.at(frame)
        return previous.get(object_id, None if known is None else known.mask_logits)

    def _correction_recall(self, state: TrackerState, frame: int, object_id: int) -> Recall | None:
        """What helps to correct a mask: nothing, if it was found without any memory."""
        memory = state.objects.get(object_id)
        if memory is None:
            return None
        known = memory.at(frame)
        if known is not None and not known.recalled:
            return None
        return memory.recall(frame, reverse=state.reverse, pointers=state.pointers)

    def _correct(
        self,
        state: TrackerState,
        features: ImageFeatures,
        prompt: Prompt,
        recall: Recall | None,
        logits: Tensor,
    ) -> Segments:
        if recall is None:
            no_memory = self._sam2.no_memory_embedding.view(1, -1, 1, 1)
            embedding = features.maps.embedding + no_memory
        else:
            embedding = self._recall_all(state, features, [recall])
        points, labels = point_tensors([prompt], features.size, self._segmenter.image_size)
        previous = logits[None, None].clamp(-_LARGEST_LOGIT, _LARGEST_LOGIT).to(embedding.device)
        answer = self._segmenter.decode_frame(
            features.maps,
            embedding,
            points.to(embedding.device),
            labels.to(embedding.device),
            previous.float(),
        )
        confined = confine_to_turned_boxes(answer.mask_logits, [prompt], features.size)
        return Segments.of(features.size, answer._replace(mask_logits=confined), [None])

    def _memories(
        self, features: ImageFeatures, segments: Segments, *, prompted: bool
    ) -> list[FrameMemory]:
        """Encode a frame's N regions, so that other frames can recall them."""
        sam2, config = self._sam2, self._sam2.config
        embedding = features.maps.embedding  # [1, C, h, w], without any memory
        side = self._segmenter.image_size
        # As in Meta's code, also a mask that was given is enlarged from its small logits.
        large = F.interpolate(segments.mask_logits[:, None], size=(side, side), mode="bilinear")
        masks = (large > 0).float() if prompted else large.sigmoid()  # [N, 1, S, S]
        scaled = masks * config.sigmoid_scale_for_mem_enc + config.sigmoid_bias_for_mem_enc
        count = len(segments)
        maps, _ = sam2.memory_encoder(
            embedding.expand(count, -1, -1, -1), scaled.to(embedding.dtype)
        )  # [N, M, h, w]
        away = torch.from_numpy(segments.object_scores <= 0).to(maps.device)
        absent = sam2.occlusion_spatial_embedding_parameter
        if absent is not None:
            maps = torch.where(away[:, None, None, None], maps + absent[..., None, None], maps)
        if prompted:
            maps = maps.bfloat16()  # as in the authors' code, which rounds no other memory
        # Copies, so that an object that is removed leaves nothing behind.
        return [
            FrameMemory(part.clone(), pointer.clone(), logits.clone(), recalled=not prompted)
            for part, pointer, logits in zip(
                maps, segments.object_pointers, segments.mask_logits, strict=True
            )
        ]

    def _recall_all(
        self, state: TrackerState, features: ImageFeatures, recalls: Sequence[Recall]
    ) -> Tensor:
        """The frame's image embedding as the memory of each object changes it, `(N, C, h, w)`."""
        # Attention takes no padding, so only objects that recall equally much share a pass.
        groups: dict[tuple[int, int], list[int]] = {}
        for row, recall in enumerate(recalls):
            groups.setdefault((len(recall.maps), len(recall.pointers)), []).append(row)
        embedding = features.maps.embedding
        changed = embedding.new_empty(len(recalls), *embedding.shape[1:])
        for rows in groups.values():
            changed[rows] = self._recall(state, embedding, [recalls[row] for row in rows])
        return changed

    def _recall(self, state: TrackerState, embedding: Tensor, recalls: Sequence[Recall]) -> Tensor:
        """Like `_recall_all`, for N objects with T maps and P pointers each."""
        sam2, dtype, device = self._sam2, embedding.dtype, embedding.device
        count, (height, width) = len(recalls), embedding.shape[-2:]
        maps = torch.stack(
            [torch.stack([part.to(dtype) for part in recall.maps]) for recall in recalls]
        )  # [N, T, M, h, w]
        where = _codes(sam2.memory_encoder, maps[:, 0])  # [1, h * w, M]
        offsets = torch.tensor([recall.offsets for recall in recalls], device=device)  # [N, T]
        # Codes are kept for 1 to 6 frames ago; the last one, at -1, is that of a prompted frame.
        when = sam2.memory_temporal_positional_encoding[offsets - 1].flatten(2)  # [N, T, M]
        memory = maps.flatten(3).transpose(2, 3).flatten(1, 2)  # [N, T * h * w, M]
        codes = (where[:, None] + when[:, :, None]).flatten(1, 2)  # [N, T * h * w, M]
        pointers = torch.stack([torch.stack(recall.pointers) for recall in recalls])  # [N, P, C]
        distances = torch.tensor([recall.distances for recall in recalls], device=device)  # [N, P]
        relative = distances.float() / max(state.pointers - 1, 1)
        times = _sine_codes(relative, pointers.shape[-1]).to(dtype)  # [N, P, C]
        times = sam2.temporal_positional_encoding_projection_layer(times)  # [N, P, M]
        # A pointer is as long as several cells of a memory, and becomes so many tokens.
        tokens = pointers.to(dtype).reshape(count, -1, memory.shape[-1])
        times = times.repeat_interleave(tokens.shape[1] // pointers.shape[1], dim=1)
        frame = embedding.flatten(2).permute(2, 0, 1)  # [h * w, 1, C]
        frame_codes = _codes(sam2.vision_encoder.neck, embedding).transpose(0, 1)
        changed = sam2.memory_attention(
            frame.expand(-1, count, -1),
            torch.cat([memory, tokens], dim=1).transpose(0, 1),
            frame_codes.expand(-1, count, -1),
            torch.cat([codes, times], dim=1).transpose(0, 1),
            tokens.shape[1],
        )  # [1, h * w, C] for one object, [1, N, h * w, C] for several
        changed = changed.reshape(count, height * width, -1)
        return cast("Tensor", changed.transpose(1, 2).unflatten(2, (height, width)))


def _codes(owner: torch.nn.Module, like: Tensor) -> Tensor:
    """The sine codes of a map's cells, `(1, h * w, channels)`."""
    shape = torch.Size((1, *like.shape[1:]))
    codes: Tensor = owner.position_encoding(shape, like.device, like.dtype)  # type: ignore[operator]
    return codes.flatten(2).transpose(1, 2)


def _sine_codes(times: Tensor, channels: int) -> Tensor:
    """The sine codes of times, float32 `(...)` -> `(..., channels)`."""
    half = channels // 2
    steps = torch.arange(half, device=times.device) // 2 * 2 / half
    angles = times[..., None] / 10000.0**steps  # [..., channels / 2]
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def _joined(
    prompts: Sequence[Prompt], size: tuple[int, int], object_id: int, correction: bool
) -> Prompt:
    try:
        joined = Prompt.join(prompts)
        joined.check(size, correction=correction)
    except PromptError as error:
        raise PromptError(f"object {object_id}: {error}") from error
    return joined


def _both(shown: TrackedFrame, tracked: TrackedFrame) -> TrackedFrame:
    """The objects that were shown in a frame, and then those that were tracked to it."""
    ids = shown.object_ids + tracked.object_ids
    return TrackedFrame(shown.frame, ids, Segments.concatenate([shown.segments, tracked.segments]))


def _in_order(found: TrackedFrame, object_ids: Iterable[int]) -> TrackedFrame:
    """The same objects in this order."""
    ids = tuple(object_ids)
    rows = [found.object_ids.index(object_id) for object_id in ids]
    return TrackedFrame(found.frame, ids, found.segments.select(rows))
