"""PAM: prompts of every kind in as few passes as can be, and nothing computed twice."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from pam_model import (
    PAM,
    AutomaticMaskOptions,
    GenerationOptions,
    ImageFeatures,
    Prompt,
    PromptError,
    Question,
    Segments,
    Task,
)
from pam_model.everything import mask_nms
from pam_model.perceiver import clip_frames
from pam_model.tasks import BEFORE_REGION, after_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ImageArray = npt.NDArray[np.uint8]
MIXED = [
    Prompt.from_points([(30, 20)]),
    Prompt.from_box((10, 10, 50, 40)),
    Prompt.from_mask(np.tri(90, 120, k=-20)),
    Prompt.from_points([(30, 20), (90, 60)], [True, False]),
    Prompt.from_box((55, 45, 115, 85), points=[(80, 60)]),
    Prompt.from_points([(85, 65)]),
    Prompt.from_polygon([(20, 20), (60, 25), (40, 70)], (120, 90)),
    Prompt.from_box((20, 20, 90, 60), angle=30),
]
QUESTIONS = [Question(task) for task in Task]
SHORT = GenerationOptions(max_new_tokens=32)  # random weights never end an answer by themselves
EVERYTHING = AutomaticMaskOptions(
    points_per_side=6, points_per_batch=10, iou_threshold=0.0, stability_threshold=0.0
)


@pytest.fixture
def calls(pam: PAM) -> Iterator[Counter[str]]:
    """How often each part of the network runs."""
    counter: Counter[str] = Counter()

    def counting(name: str) -> Callable[..., None]:
        def count(*arguments: Any) -> None:
            counter[name] += 1

        return count

    parts = {
        "image encoder": pam.network.segmenter.sam2.vision_encoder,
        "mask decoder": pam.network.segmenter.sam2.mask_decoder.transformer,
        "perceiver": pam.network.perceiver,
        "language model": pam.network.language.qwen2.model,
    }
    hooks = [part.register_forward_hook(counting(name)) for name, part in parts.items()]
    yield counter
    for hook in hooks:
        hook.remove()


def _assert_same(one: Segments, other: Segments, row: int) -> None:
    for name in ("mask_logits", "mask_tokens", "image_embed", "object_pointers"):
        torch.testing.assert_close(
            getattr(one, name)[0], getattr(other, name)[row], atol=3e-5, rtol=1e-4
        )
    np.testing.assert_allclose(one.iou_scores[0], other.iou_scores[row], atol=1e-5)
    np.testing.assert_allclose(one.object_scores[0], other.object_scores[row], atol=1e-4)
    np.testing.assert_array_equal(one.mask(0), other.mask(row))


def test_mixed_prompts_together_are_as_one_by_one(pam: PAM, features: ImageFeatures) -> None:
    together = pam.segment(features, MIXED)
    for row, prompt in enumerate(MIXED):
        _assert_same(pam.segment(features, [prompt]), together, row)


def test_prompts_of_a_kind_share_one_decoder_pass(
    pam: PAM, features: ImageFeatures, calls: Counter[str]
) -> None:
    pam.segment(features, [Prompt.from_points([(x, 20)]) for x in range(10, 100, 5)])
    assert calls == {"mask decoder": 1}


def test_nothing_is_computed_twice(pam: PAM, image: ImageArray, calls: Counter[str]) -> None:
    features = pam.encode(image)
    segments = pam.segment(features, [Prompt.from_points([(x, 20)]) for x in (10, 30, 50, 70)])
    contexts = pam.prefill(segments)
    assert calls == {
        "image encoder": 1,
        "mask decoder": 1,
        "perceiver": 1,
        "language model": 1,  # one prefill for all four regions
    }
    pam.describe(contexts, QUESTIONS, SHORT)
    pam.classify(contexts, ["cat", "dog", "bird"])
    assert calls["image encoder"] == calls["mask decoder"] == calls["perceiver"] == 1


def test_tasks_share_one_prefill(pam: PAM, features: ImageFeatures) -> None:
    contexts = pam.prefill(pam.segment(features, MIXED[:2]))
    read: list[int] = []
    model = pam.network.language.qwen2.model
    hook = model.register_forward_pre_hook(
        lambda module, arguments, options: read.append(options["input_ids"].shape[1]),
        with_kwargs=True,
    )
    pam.describe(contexts, QUESTIONS, SHORT)
    hook.remove()
    ids = [pam.network.language.ids(after_region(question.text)) for question in QUESTIONS]
    # The regions' rows are never read again: only the questions, and then token by token.
    assert read[0] == max(map(len, ids))
    assert set(read[1:]) == {1}


def test_answers_of_a_batch_are_those_of_each_region_alone(
    pam: PAM, features: ImageFeatures
) -> None:
    segments = pam.segment(features, MIXED)
    contexts = pam.prefill(segments)
    together = pam.describe(contexts, QUESTIONS, SHORT)
    scores = pam.classify(contexts, ["cat", "dog"])
    for row in range(len(MIXED)):
        alone = pam.prefill(segments.select([row]))
        assert pam.describe(alone, QUESTIONS, SHORT) == [together[row]]
        np.testing.assert_allclose(pam.classify(alone, ["cat", "dog"])[0], scores[row], atol=1e-4)
    assert len({tuple(texts) for texts in together}) == len(MIXED)


def test_regions_of_several_images_make_one_language_batch(
    pam: PAM, image: ImageArray, calls: Counter[str]
) -> None:
    other = np.ascontiguousarray(image[::-1])
    parts = [pam.segment(pam.encode(p), MIXED[:1]) for p in (image, other)]
    calls.clear()
    contexts = pam.prefill(Segments.concatenate(parts))
    assert calls == {"perceiver": 1, "language model": 1}
    separate = [pam.describe(pam.prefill(part), QUESTIONS, SHORT)[0] for part in parts]
    assert pam.describe(contexts, QUESTIONS, SHORT) == separate


def test_a_batch_of_images_is_encoded_as_one_by_one(
    pam: PAM, image: ImageArray, calls: Counter[str]
) -> None:
    tall = np.ascontiguousarray(image.transpose(1, 0, 2))
    batch = pam.encode_batch([image, Image.fromarray(tall)])
    assert calls == {"image encoder": 1}
    assert [features.size for features in batch] == [(120, 90), (90, 120)]
    for features, alone in zip(batch, (pam.encode(image), pam.encode(tall)), strict=True):
        for part, own in zip(features.maps, alone.maps, strict=True):
            torch.testing.assert_close(part, own, atol=2e-5, rtol=1e-4)
    assert pam.encode_batch([]) == []


def test_a_given_mask_is_the_answer(pam: PAM, features: ImageFeatures) -> None:
    mask = np.zeros((90, 120), np.bool_)
    mask[33:58, 21:77] = True
    segments = pam.segment(features, [Prompt.from_mask(mask)])
    np.testing.assert_array_equal(segments.mask(0), mask)
    assert segments.object_scores[0] == 10


def test_given_masks_are_resized_one_after_the_other_and_kept_cropped(
    pam: PAM, features: ImageFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = [np.tri(90, 120, k=-place) for place in (20, 40, 60)]
    prompts = [Prompt.from_mask(mask) for mask in masks]
    side = pam.network.config.image_size
    together = torch.nn.functional.interpolate(
        torch.from_numpy(np.stack(masks)).float()[:, None],
        size=(side, side),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    shapes, given = [], []
    interpolate, decode = torch.nn.functional.interpolate, pam.network.segmenter.decode_masks

    def resizing(tensor: torch.Tensor, **options: Any) -> torch.Tensor:
        shapes.append(tuple(tensor.shape))
        return interpolate(tensor, **options)

    def decoding(maps: Any, squares: torch.Tensor) -> Any:
        given.append(squares)
        return decode(maps, squares)

    monkeypatch.setattr(torch.nn.functional, "interpolate", resizing)
    monkeypatch.setattr(pam.network.segmenter, "decode_masks", decoding)
    segments = pam.segment(features, prompts)
    assert [shape for shape in shapes if shape[-2:] == (90, 120)] == [(1, 1, 90, 120)] * 3
    assert torch.equal(given[0], (together >= 0.5).float())
    assert all(segments.cropped(row) is prompt.cropped for row, prompt in enumerate(prompts))


def test_a_turned_box_confines_its_mask(pam: PAM, features: ImageFeatures) -> None:
    turned = pam.segment(features, [Prompt.from_box((20, 30, 100, 60), angle=30)])
    y, x = np.mgrid[:90, :120] + 0.5
    along = (x - 60) * np.cos(np.pi / 6) + (y - 45) * np.sin(np.pi / 6)
    across = (y - 45) * np.cos(np.pi / 6) - (x - 60) * np.sin(np.pi / 6)
    outside = (np.abs(along) > 40 + 2) | (np.abs(across) > 15 + 2)
    assert turned.mask(0).any()
    assert not turned.mask(0)[outside].any()


def test_no_object_gives_an_empty_mask(
    pam: PAM, features: ImageFeatures, monkeypatch: pytest.MonkeyPatch
) -> None:
    bias = pam.network.segmenter.sam2.mask_decoder.pred_obj_score_head.proj_out.bias
    monkeypatch.setattr(bias, "data", torch.tensor([-50.0]))
    segments = pam.segment(features, MIXED[:1])
    assert segments.object_scores[0] < 0
    assert not segments.mask(0).any()


def test_a_bad_prompt_is_named_by_its_number(pam: PAM, features: ImageFeatures) -> None:
    with pytest.raises(PromptError, match=r"prompt 2: the point \(500, 5\) is outside"):
        pam.segment(features, [MIXED[0], Prompt.from_points([(500, 5)])])


def test_no_prompts_give_no_segments(pam: PAM, features: ImageFeatures) -> None:
    segments = pam.segment(features, [])
    assert len(segments) == 0
    assert segments.masks() == []


@pytest.mark.parametrize(
    "image",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3), np.float32)],
)
def test_what_is_not_an_rgb_image_is_refused(pam: PAM, image: Any) -> None:
    with pytest.raises(ValueError, match=r"an image is uint8 \(height, width, 3\)"):
        pam.encode(image)


def test_a_list_of_labels_must_not_be_empty(pam: PAM, features: ImageFeatures) -> None:
    contexts = pam.prefill(pam.segment(features, MIXED[:1]))
    with pytest.raises(ValueError, match="at least one label"):
        pam.classify(contexts, [])


def test_everything_finds_regions_best_first(pam: PAM, features: ImageFeatures) -> None:
    found = pam.find_everything(features, replace(EVERYTHING, nms_threshold=0.999))
    assert len(found) >= 2
    assert list(found.iou_scores) == sorted(found.iou_scores, reverse=True)
    assert len(pam.find_everything(features, EVERYTHING)) < len(found)


def test_everything_can_be_found_in_steps(pam: PAM, features: ImageFeatures) -> None:
    steps = pam.everything_in_steps(features, EVERYTHING)
    passes = 0
    while True:
        try:
            next(steps)
        except StopIteration as end:
            found = end.value
            break
        passes += 1
    assert passes == 4  # 36 clicks, 10 at a time
    np.testing.assert_array_equal(
        found.mask_logits, pam.find_everything(features, EVERYTHING).mask_logits
    )


def test_of_overlapping_masks_the_best_stays() -> None:
    masks = torch.zeros(4, 10, 10, dtype=torch.bool)
    masks[0, :5] = True
    masks[1, :6] = True  # IoU with the first 5/6
    masks[2, 5:] = True
    masks[3, :, :5] = True  # IoU with each of the others 1/3 or less
    scores = torch.tensor([0.7, 0.9, 0.8, 0.6])
    assert mask_nms(masks, scores, 0.7) == [1, 2, 3]
    assert mask_nms(masks, scores, 0.9) == [1, 2, 0, 3]
    assert mask_nms(masks[:0], scores[:0], 0.7) == []


def test_everything_obeys_its_limits(pam: PAM, features: ImageFeatures) -> None:
    assert (
        len(pam.find_everything(features, AutomaticMaskOptions(points_per_side=2, max_area=0))) == 0
    )
    limited = AutomaticMaskOptions(
        points_per_side=6, iou_threshold=0.0, stability_threshold=0.0, max_regions=1
    )
    assert len(pam.find_everything(features, limited)) == 1
    strict = AutomaticMaskOptions(points_per_side=4, iou_threshold=1.0)
    assert len(pam.find_everything(features, strict)) == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("points_per_side", 0),
        ("points_per_side", 1.5),
        ("points_per_batch", None),
        ("iou_threshold", 1.5),
        ("min_area", "small"),
        ("max_regions", 0),
    ],
)
def test_limits_that_mean_nothing_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        AutomaticMaskOptions(**{field: value})  # type: ignore[arg-type] # a table of fields


def test_sizes_in_bytes_are_those_of_the_tensors(pam: PAM, features: ImageFeatures) -> None:
    segments = pam.segment(features, MIXED[:2])
    contexts = pam.prefill(segments)
    assert features.nbytes == sum(part.nbytes for part in features.maps)
    assert segments.nbytes > 2 * 32 * 8 * 8 * 4
    assert contexts.select([0]).nbytes * 2 == contexts.nbytes


def test_half_precision_keeps_prompts_in_place(pam: PAM, image: ImageArray) -> None:
    from tests.model.tiny import tiny_pam

    half = tiny_pam()
    half.network.cast(torch.bfloat16)
    assert half.dtype == torch.bfloat16
    segmenter = half.network.segmenter
    assert segmenter.sam2.prompt_encoder.point_embed.weight.dtype == torch.float32
    assert segmenter.pixel_mean.dtype == torch.float32
    whole = pam.segment(pam.encode(image), MIXED)
    rough = half.segment(half.encode(image), MIXED)
    agree = (whole.mask_logits > 0) == (rough.mask_logits > 0)
    assert agree.float().mean() > 0.95
    assert len(half.describe(half.prefill(rough), QUESTIONS, SHORT)) == len(MIXED)


def test_object_scores_are_those_of_clicks(pam: PAM, features: ImageFeatures) -> None:
    points = [(20.0, 30.0), (70.5, 60.0)]
    clicks = [Prompt.from_points([point]) for point in points]
    expected = pam.segment(features, clicks).object_scores
    np.testing.assert_allclose(pam.object_scores(features, points), expected, atol=1e-4)
    assert pam.object_scores(features, []).shape == (0,)
    with pytest.raises(PromptError, match="prompt 2"):
        pam.object_scores(features, [(1, 1), (1, 10_000)])


def test_the_first_of_a_clips_frames_has_more_rows_than_the_others(
    pam: PAM, features: ImageFeatures
) -> None:
    frames = pam.segment(features, [Prompt.from_box((10, 10, 50, 40))] * 3)
    contexts = pam.prefill_clips([frames, frames])
    text = len(pam.network.language.ids(BEFORE_REGION))
    # Of 8 x 8 cells, 16 or 4 image tokens; 16 semantic tokens; three rows between the parts.
    assert len(contexts) == 2
    assert contexts.tokens == text + (16 + 16 + 3) + 2 * (4 + 16 + 3)


@pytest.mark.parametrize("count", [16, 17, 100, 3000])
def test_the_language_model_reads_the_first_frame_and_15_others(count: int) -> None:
    assert clip_frames(count) == [0, *np.linspace(1, count - 1, 15, dtype=int)]


@pytest.mark.parametrize("count", range(1, 16))
def test_of_a_short_clip_every_frame_is_read_and_some_several_times(count: int) -> None:
    frames = clip_frames(count)
    assert len(frames) == 16
    assert frames == sorted(frames)
    assert set(frames) == set(range(count))
