from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from pam_model import PAM
from pam_model.checkpoints.checkpoint import Checkpoint, load_network
from pam_model.checkpoints.config_json import pam_config
from pam_model.checkpoints.parameters import load_parameters, parameters_on_meta
from pam_model.checkpoints.sam2_names import to_transformers
from pam_model.errors import CheckpointError
from tests.model import tiny_checkpoint as tiny

DATA = Path(__file__).parents[1] / "data"


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(4, 3)
        self.head = nn.Linear(3, 4, bias=False)
        self.head.weight = self.table.weight
        self.register_buffer("scale", torch.tensor([2.0]))
        self.register_buffer("fixed", torch.tensor([5.0]), persistent=False)


def tensors_of(file: str) -> dict[str, torch.Tensor]:
    shapes = json.loads((DATA / file).read_text())["tensors"]
    return {
        name: torch.empty(shape, dtype=torch.bfloat16, device="meta")
        for name, shape in shapes.items()
    }


def published(file: str, rows: int | None = None) -> Checkpoint:
    """A published checkpoint with all its names and shapes, and no memory."""
    settings: dict[str, Any] = json.loads((DATA / file).read_text())["config"]
    pam = tensors_of(file)
    if rows is not None:
        hidden = settings["hidden_size"]
        pam["model.embed_tokens.weight"] = torch.empty(rows, hidden, device="meta")
    config = pam_config({**settings, "model_type": "llava_qwen"}, pam)
    sam2 = to_transformers(tensors_of("sam2.1_hiera_large.json"))
    return Checkpoint("published", config, pam, sam2, tiny.tokenizer())


@pytest.mark.parametrize("rows", [None, 151665])
@pytest.mark.parametrize("file", ["pam_1_5b.json", "pam_3b.json"])
def test_every_published_tensor_has_its_place(file, rows):
    network = load_network(published(file, rows), device="meta")
    head = network.language.qwen2.lm_head.weight
    assert head.shape[0] == (rows or 151936)
    assert head is network.language.qwen2.model.embed_tokens.weight
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


@pytest.mark.parametrize("file", ["pam_1_5b.json", "pam_3b.json"])
def test_a_published_checkpoint_without_one_tensor_or_with_one_more_is_refused(file):
    whole = published(file)
    name = "model.layers.27.mlp.up_proj.weight"
    for pam in (
        {key: tensor for key, tensor in whole.pam_tensors.items() if key != name},
        {**whole.pam_tensors, name + "_scale": torch.empty(1, device="meta")},
    ):
        part = Checkpoint("part", whole.config, pam, whole.sam2_tensors, whole.tokenizer)
        with pytest.raises(CheckpointError, match=rf"(missing|unexpected): {name}"):
            load_network(part, device="meta")


def test_every_fault_is_named_and_nothing_is_changed():
    module = nn.Linear(2, 3)
    before = module.weight.clone()
    tensors = {"weight": torch.zeros(3, 5), "gain": torch.zeros(1)}
    with pytest.raises(CheckpointError) as caught:
        load_parameters(module, tensors, source="file.pt")
    assert str(caught.value) == (
        "file.pt: tensors do not fit the model; 1 missing: bias; 1 unexpected: gain; "
        "1 of another shape: weight (is (3, 5), must be (3, 2))"
    )
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize(
    ("strange", "shown"),
    [
        (torch.zeros(1, 1, dtype=torch.int8), r"torch.int8, torch.strided"),
        (torch.zeros(1, 1, dtype=torch.complex64), r"torch.complex64, torch.strided"),
        (torch.zeros(1, 1).to_sparse(), r"torch.float32, torch.sparse_coo"),
    ],
)
def test_only_plain_floating_point_numbers_are_weights(strange, shown):
    module = nn.Linear(1, 1, bias=False)
    with pytest.raises(CheckpointError, match=rf"1 not plain .* numbers: weight \({shown}\)"):
        load_parameters(module, {"weight": strange})


@pytest.mark.parametrize(
    ("weight", "dtype"), [(float("nan"), None), (float("-inf"), None), (1e6, torch.float16)]
)
def test_weights_that_are_not_finite_are_refused(weight, dtype):
    tensors = {"weight": torch.full((2, 2), weight), "bias": torch.zeros(2)}
    with pytest.raises(CheckpointError, match="here: weight holds NaN or infinity"):
        load_parameters(nn.Linear(2, 2), tensors, source="here", dtype=dtype)


def test_long_lists_of_faults_are_cut():
    tensors = {f"extra{number:03}": torch.zeros(1) for number in range(30)}
    with pytest.raises(CheckpointError, match="30 unexpected: extra000.*extra019 and 10 more$"):
        load_parameters(nn.Identity(), tensors)


def test_tensors_are_taken_without_a_copy():
    module = nn.Linear(2, 3)
    weight, bias = torch.randn(3, 2), torch.randn(3)
    load_parameters(module, {"weight": weight, "bias": bias})
    assert module.weight.data_ptr() == weight.data_ptr()
    assert module.weight.requires_grad


def test_parameters_take_the_dtype_and_buffers_keep_theirs():
    module = Tied()
    tensors = {"table.weight": torch.randn(4, 3), "scale": torch.ones(1, dtype=torch.float16)}
    load_parameters(module, tensors, dtype=torch.bfloat16)
    assert module.table.weight.dtype == torch.bfloat16
    assert module.scale.dtype == torch.float32
    load_parameters(module, tensors, dtype=torch.bfloat16, float32=("table.",))
    assert module.table.weight.dtype == torch.float32


def test_a_shared_parameter_needs_one_name_and_stays_shared():
    with parameters_on_meta():
        module = Tied()
    assert module.head.weight is module.table.weight
    tensors = {"table.weight": torch.randn(4, 3), "scale": torch.ones(1)}
    load_parameters(module, tensors)
    assert module.head.weight is module.table.weight
    assert torch.equal(module.head.weight, tensors["table.weight"])


def test_only_parameters_are_without_memory_and_only_inside():
    with parameters_on_meta():
        module = Tied()
    assert module.table.weight.is_meta
    assert (module.scale.item(), module.fixed.item()) == (2.0, 5.0)
    assert not nn.Linear(1, 1).weight.is_meta


def test_the_hook_is_removed_after_an_error():
    with pytest.raises(RuntimeError), parameters_on_meta():
        raise RuntimeError
    assert not nn.Linear(1, 1).weight.is_meta


def test_other_threads_build_their_modules_as_ever():
    with ThreadPoolExecutor(1) as thread, parameters_on_meta():
        assert nn.Linear(1, 1).weight.is_meta
        assert not thread.submit(nn.Linear, 1, 1).result().weight.is_meta


def test_models_may_be_loaded_by_several_threads_at_once():
    with ThreadPoolExecutor(4) as threads:
        models = list(threads.map(lambda _: PAM.from_pretrained("nano", device="cpu"), range(4)))
    first, *others = (model.network.state_dict() for model in models)
    for other in others:
        assert all(torch.equal(other[name], value) for name, value in first.items())


def test_parts_are_judged_together():
    parts = [("a.", nn.Linear(1, 1, bias=False)), ("b.", nn.Linear(1, 1, bias=False))]
    load_parameters(parts, {"a.weight": torch.ones(1, 1), "b.weight": torch.zeros(1, 1)})
    assert [module.weight.item() for _, module in parts] == [1.0, 0.0]
    with pytest.raises(CheckpointError, match=r"1 missing: b.weight; 1 unexpected: weight"):
        load_parameters(parts, {"a.weight": torch.ones(1, 1), "weight": torch.zeros(1, 1)})
