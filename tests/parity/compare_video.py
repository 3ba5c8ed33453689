"""Our tracker against the authors': what both compute of the same weights and frames.

`python -m tests.parity.compare_video [--golden-dir DIR]` prints each array's largest difference.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn import functional as F

from pam_model import (
    PAM,
    GenerationOptions,
    Segments,
    Tracker,
    TrackerState,
    clip_frames,
    everything,
)
from pam_model.tasks import after_region
from tests.parity.compare import (
    TOLERANCE,
    Difference,
    image_of,
    print_differences,
    prompt_of,
    tiny_pam,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from pam_model import ImageFeatures

    Arrays = dict[str, npt.NDArray[np.float32]]

_FRAMES_PER_PASS = 4
# The array whose first frame was rounded to bfloat16.
_ROUNDED = "maskmem_s8"


def compare_video(path: Path) -> list[Difference]:
    """Run one case through our tracker; `path` is its json, the arrays lie beside it.

    The memory of the first frame, which is kept in bfloat16, is compared in bfloat16 steps.
    """
    case = json.loads(path.read_text())
    golden = np.load(path.with_suffix(".npz"))
    pam = tiny_pam(case, path.parent)
    frames, memories = _track(pam, case, path.parent)
    arrays = {**_tracked(frames, memories), **_read(pam, frames, case)}
    arrays.update(
        {
            name: frames.mask_logits[int(name.rpartition("_f")[2])][None, None].numpy()
            for name in golden.files
            if name.startswith("low_res_mask_f")
        }
    )
    differences = [
        Difference(name, _largest(array, golden[name].reshape(array.shape)))
        for name, array in arrays.items()
        if name != _ROUNDED
    ]
    ours, theirs = arrays[_ROUNDED], golden[_ROUNDED]
    differences.append(Difference(_ROUNDED, _largest(ours[1:], theirs[1:])))
    differences.append(Difference("maskmem_s8, frame 0", _steps(ours[0], theirs[0])))
    return [*differences, _mask_bits(frames, golden["video_mask_bits"])]


@torch.inference_mode()
def _track(pam: PAM, case: dict[str, Any], folder: Path) -> tuple[Segments, torch.Tensor]:
    """Every frame's region, and its memory, `(frames, M, h, w)` in float32."""
    tracker, state = Tracker(pam), TrackerState(len(case["pictures"]))
    height, width, _ = image_of(case["pictures"][0], folder).shape
    prompts = {0: {1: [prompt_of(case, (width, height))]}}
    regions, memories = [], []
    for found in tracker.track(state, _encoded(pam, case, folder), prompts):
        memory = state.objects[1].at(found.frame)
        assert memory is not None
        assert memory.map.dtype == getattr(
            torch, case["maskmem_dtype"][str(min(found.frame, 1))].removeprefix("torch.")
        )
        regions.append(found.segments)
        memories.append(memory.map.float())
    return Segments.concatenate(regions), torch.stack(memories)


def _encoded(pam: PAM, case: dict[str, Any], folder: Path) -> Iterator[tuple[int, ImageFeatures]]:
    images = [image_of(picture, folder) for picture in case["pictures"]]
    for start in range(0, len(images), _FRAMES_PER_PASS):
        batch = pam.encode_batch(images[start : start + _FRAMES_PER_PASS])
        yield from enumerate(batch, start)


def _tracked(frames: Segments, memories: torch.Tensor) -> Arrays:
    tensors = {
        "object_score": torch.from_numpy(frames.object_scores),
        "mask_tokens": frames.mask_tokens,
        "obj_ptr": frames.object_pointers,
        "low_res_mask_s4": frames.mask_logits[:, ::4, ::4],
        "mid_image_embed_s8": frames.image_embed[:, ::2, ::8, ::8],
        _ROUNDED: memories[:, :, ::8, ::8],
    }
    return {name: tensor.numpy() for name, tensor in tensors.items()}


@torch.inference_mode()
def _read(pam: PAM, frames: Segments, case: dict[str, Any]) -> Arrays:
    """What the language model reads of the clip, and its scores."""
    network, language = pam.network, pam.network.language
    chosen = clip_frames(len(frames))
    assert chosen == case["selected_frames"]
    clip = frames.select(chosen)
    first = network.perceiver(clip.mask_tokens[:1], clip.image_embed[:1])
    later = network.perceiver(clip.mask_tokens[1:], clip.image_embed[1:], later_frame=True)
    question = case["task"].removeprefix("<image>\n")
    embeds = torch.cat(
        [
            language.prefix_rows(network.clip_rows(clip.mask_tokens, clip.image_embed))[0],
            language.qwen2.model.embed_tokens(language.ids(after_region(question))),
        ]
    )
    assert [1, *embeds.shape] == case["inputs_embeds_shape"]
    rows: list[torch.Tensor] = []
    hook = language.qwen2.lm_head.register_forward_hook(
        lambda module, inputs, output: rows.append(output)
    )
    options = GenerationOptions(max_new_tokens=len(case["generated"]))
    everything.run(language.answer_in_steps(pam.prefill_clips([clip]), [[question]], options))
    hook.remove()
    tensors = {
        "sem_tokens": torch.cat([first.semantic, later.semantic]),
        "image_tokens_call0_s64": first.image[:, ::64],
        "image_tokens_rest_s32": later.image[:, ::32],
        "inputs_embeds": embeds[::4],
        "logits": torch.cat(rows),
    }
    return {name: tensor.numpy() for name, tensor in tensors.items()}


def _largest(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    return float(np.abs(ours - theirs).max())


def _steps(ours: npt.NDArray[np.float32], theirs: npt.NDArray[np.float32]) -> float:
    """By how much more than one step of bfloat16 the values differ; 0 if by a step at most."""
    # A step is at most 2 ** -7 of the value.
    step = np.abs(theirs) * 2.0**-7
    return float(np.maximum(np.abs(ours - theirs) - step, 0).max())


def _mask_bits(frames: Segments, packed: npt.NDArray[np.uint8]) -> Difference:
    wrong = 0
    for logits, size, bits in zip(frames.mask_logits, frames.sizes, packed, strict=True):
        large = F.interpolate(logits[None, None], size=size[::-1], mode="bilinear")[0, 0].numpy()
        theirs = np.unpackbits(bits)[: large.size].reshape(large.shape) == 1
        wrong += int((((large > 0) != theirs) & (np.abs(large) > TOLERANCE)).sum())
    return Difference("video_mask_bits", float(wrong > 0), wrong)


if __name__ == "__main__":
    print_differences("video", compare_video)
