"""Embeddings: what a vector is made of, and that each region has its own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from pam_model import PAM, ImageFeatures, Prompt, Question, Task
from pam_model.embeddings import MOST_OF_STATE, folded, pooled

PROMPTS = [
    Prompt.from_points([(30, 20)]),
    Prompt.from_box((55, 45, 115, 85)),
    Prompt.from_mask(np.tri(90, 120, k=-20)),
    Prompt.from_mask(np.eye(90, 120, k=5) * (np.arange(120) == 60) > 0),  # one pixel
]


def embed(pam: PAM, features: ImageFeatures, prompts: list[Prompt]) -> np.ndarray:
    segments = pam.segment(features, prompts)
    return pam.embed(features, segments, pam.prefill(segments))


def test_vectors_are_of_length_one_and_those_of_the_region_alone(
    pam: PAM, features: ImageFeatures
) -> None:
    together = embed(pam, features, PROMPTS)
    assert together.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for row, prompt in enumerate(PROMPTS):
        np.testing.assert_allclose(embed(pam, features, [prompt])[0], together[row], atol=1e-4)
    assert (together @ together.T)[~np.eye(len(PROMPTS), dtype=bool)].max() < 0.9999


@torch.inference_mode()
def test_the_three_parts_count_the_same(pam: PAM, features: ImageFeatures) -> None:
    segments = pam.segment(features, PROMPTS)
    contexts = pam.prefill(segments)
    states = pam.network.language.states(contexts, Question(Task.LABEL).text)
    parts = [
        pooled(features.maps.stride4, segments.mask_logits),
        pooled(segments.image_embed, segments.mask_logits),
        states,
    ]
    expected = torch.cat([normalize(part) for part in parts], dim=1) / 3**0.5
    np.testing.assert_allclose(pam.embed(features, segments, contexts), expected, atol=1e-6)


@torch.inference_mode()
def test_the_label_that_is_begun_is_that_of_the_answer(pam: PAM, features: ImageFeatures) -> None:
    contexts = pam.prefill(pam.segment(features, PROMPTS))
    states = pam.network.language.states(contexts, Question(Task.LABEL).text)
    first = pam.network.language.qwen2.lm_head(states).argmax(dim=1)
    said = [texts[0] for texts in pam.describe(contexts, [Question(Task.LABEL)])]
    assert [chr(0x100 + int(token)) for token in first] == [text[0] for text in said]


def test_a_map_is_averaged_under_the_mask() -> None:
    maps = torch.arange(16.0).reshape(1, 1, 4, 4)
    logits = torch.full((3, 8, 8), -10.0)
    logits[0, :2, :2] = 1  # the first cell
    logits[1, :4, 6:] = 1  # the upper two cells at the right
    logits[2, 7, 7] = -1  # nothing is in the mask; this is nearest to it
    torch.testing.assert_close(pooled(maps, logits), torch.tensor([[0.0], [5.0], [15.0]]))
    each = torch.cat([maps, maps * 2, maps * 3])
    torch.testing.assert_close(pooled(each, logits), torch.tensor([[0.0], [10.0], [45.0]]))


@pytest.mark.parametrize("hidden", [896, 1536, 2048])
def test_long_states_are_shortened_and_keep_their_angles(hidden: int) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(1, hidden, generator=generator)
    states = normalize(start + torch.randn(60, hidden, generator=generator))
    short = normalize(folded(states))
    assert short.shape == (60, MOST_OF_STATE)
    torch.testing.assert_close(short @ short.T, states @ states.T, atol=0.16, rtol=0)


def test_short_states_stay_and_signs_are_the_same_for_ever() -> None:
    states = torch.ones(1, MOST_OF_STATE)
    assert folded(states) is states
    assert folded(torch.ones(1, 1024))[0, :12].tolist() == [*(0, 2, 0, 0, 2, 0, 2, 2, 2, 2, 0, 0)]


def test_a_damaged_checkpoint_is_told(pam: PAM, features: ImageFeatures) -> None:
    segments = pam.segment(features, PROMPTS[:1])
    contexts = pam.prefill(segments)
    segments = replace(segments, image_embed=segments.image_embed * float("nan"))
    with pytest.raises(ArithmeticError, match="not numbers"):
        pam.embed(features, segments, contexts)
