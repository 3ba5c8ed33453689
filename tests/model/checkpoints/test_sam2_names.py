from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from pam_model.checkpoints.sam2_names import to_meta, to_transformers
from pam_model.config import sam2_config

DATA = Path(__file__).parents[1] / "data"
TINY = sam2_config(
    widths=(16, 32, 64, 128),
    heads=(2, 4, 8, 16),
    blocks=(1, 2, 3, 1),
    windows=(8, 4, 14, 8),
    global_blocks=(5,),
    memory_layers=2,
)
LISTS = [
    pytest.param("sam2.1_hiera_large.json", sam2_config(), 903, id="large"),
    pytest.param("sam2.1_tiny.json", TINY, 359, id="tiny"),
]


def meta_tensors(file: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((DATA / file).read_text())["tensors"]
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


@pytest.mark.parametrize(("file", "config", "count"), LISTS)
def test_every_tensor_of_meta_finds_its_place_and_shape(file, config, count):
    theirs = meta_tensors(file)
    with torch.device("meta"):
        ours = Sam2VideoModel(config).state_dict()
    translated = to_transformers(theirs)
    assert len(theirs) == count
    assert {name: tensor.shape for name, tensor in translated.items()} == {
        name: tensor.shape for name, tensor in ours.items()
    }


@pytest.mark.parametrize(("file", "config", "count"), LISTS)
def test_names_come_back_unchanged(file, config, count):
    theirs = meta_tensors(file)
    back = to_meta(to_transformers(theirs))
    assert {name: tensor.shape for name, tensor in back.items()} == {
        name: tensor.shape for name, tensor in theirs.items()
    }


def test_point_embeddings_are_the_rows_of_one_weight_in_order():
    name = "sam_prompt_encoder.point_embeddings.{}.weight"
    state = {name.format(index): torch.full((1, 4), float(index)) for index in (3, 1, 0, 2)}
    rows = to_transformers(state)["prompt_encoder.point_embed.weight"]
    assert rows[:, 0].tolist() == [0.0, 1.0, 2.0, 3.0]
    assert {key: value.tolist() for key, value in to_meta({**to_transformers(state)}).items()} == {
        key: value.tolist() for key, value in state.items()
    }


@pytest.mark.parametrize(
    "odd", [None, torch.zeros(2, 4), torch.zeros(()), torch.zeros(1, 4).half()]
)
def test_point_embeddings_that_do_not_fit_one_another_keep_their_names(odd):
    name = "sam_prompt_encoder.point_embeddings.{}.weight"
    state = {name.format(index): torch.zeros(1, 4) for index in range(4)}
    state[name.format(2)] = odd
    state = {key: tensor for key, tensor in state.items() if tensor is not None}
    translated = to_transformers(state)
    assert [key.removeprefix("prompt_encoder.") for key in translated] == [
        key.removeprefix("sam_prompt_encoder.") for key in state
    ]


def test_a_name_that_sam_does_not_have_is_kept_for_the_loader_to_refuse():
    assert list(to_transformers({"optimizer.step": torch.zeros(1)})) == ["optimizer.step"]


def test_different_position_matrices_cannot_become_metas_one():
    state = {
        "shared_image_embedding.positional_embedding": torch.zeros(2, 8),
        "prompt_encoder.shared_embedding.positional_embedding": torch.ones(2, 8),
    }
    with pytest.raises(ValueError, match=r"shared_image_embedding.*differ"):
        to_meta(state)
