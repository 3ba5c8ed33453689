from __future__ import annotations

import json
from contextlib import suppress

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pam_model.checkpoints.config_json import check_depths, pam_config, sam2_from_dict
from pam_model.config import PerceiverConfig, sam2_config
from pam_model.errors import CheckpointError
from tests.model import tiny_checkpoint as tiny

PUBLISHED = tiny.published_settings(tiny.network())
ALONE = tiny.published_settings(tiny.network(), "sam2", "perceiver")
TENSORS = tiny.pam_state(tiny.network())
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=6,
)


def test_published_settings_are_read():
    config = pam_config({**PUBLISHED, "rope_theta": 5e5, "rms_norm_eps": 1e-5}, TENSORS)
    language = config.language
    assert (language.hidden_size, language.num_hidden_layers) == (32, 2)
    assert (language.vocab_size, language.rms_norm_eps) == (tiny.VOCABULARY, 1e-5)
    assert language.rope_parameters["rope_theta"] == 5e5
    assert config.perceiver == PerceiverConfig()
    assert config.sam2.to_dict() == sam2_config().to_dict()


def test_our_sections_come_back():
    config = pam_config(json.loads(json.dumps(ALONE)), TENSORS)
    assert config.sam2.to_dict() == tiny.config().sam2.to_dict()
    assert config.perceiver == tiny.config().perceiver


def test_multimask_output_is_never_used():
    section = {**ALONE["sam2"], "multimask_output_in_sam": True}
    assert pam_config({**ALONE, "sam2": section}, TENSORS).sam2.multimask_output_in_sam is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "qwen2"}, "model_type must be 'llava_qwen', not 'qwen2'"),
        ({"model_type": None}, "model_type must be 'llava_qwen', not None"),
        ({"mm_projector_type": "linear"}, "mm_projector_type must be 'mlp2x_gelu', not 'linear'"),
        ({"hidden_size": "32"}, "hidden_size must be from 1 to .*, not '32'"),
        ({"hidden_size": 32.0}, "hidden_size must be .*, not 32.0"),
        ({"hidden_size": True}, "hidden_size must be .*, not True"),
        ({"num_attention_heads": 0}, "num_attention_heads must be .*, not 0"),
        ({"num_hidden_layers": -1}, "num_hidden_layers must be .*, not -1"),
        ({"num_hidden_layers": 10**30}, "num_hidden_layers must be .*, not 1000"),
        ({"num_attention_heads": 3}, "must divide one another"),
        ({"num_key_value_heads": 3}, "must divide one another"),
        ({"num_key_value_heads": 4}, r"makes model.layers.0.self_attn.k_proj.weight \(32, 32\)"),
        ({"hidden_size": 64}, r"makes model.embed_tokens.weight \(288, 64\), but .* is \(288, 32"),
        ({"intermediate_size": 100}, r"makes model.layers.0.mlp.gate_proj.weight \(100, 32\)"),
        ({"rope_theta": "big"}, "rope_theta must be .*, not 'big'"),
        ({"rope_theta": float("nan")}, "rope_theta must be .*, not nan"),
        ({"rope_scaling": {"rope_type": "yarn"}}, "unknown kind of rotary positions"),
        ({"rope_scaling": "yarn"}, "unknown kind of rotary positions: 'yarn'"),
        ({"rms_norm_eps": "small"}, "does not describe Qwen2"),
        ({"perceiver": 3}, "perceiver must be an object, not int"),
        ({"perceiver": {"depth": 0}}, "depth must be from 1 to .*, not 0"),
        ({"perceiver": {"width": 3}}, "perceiver has unknown keys: width"),
        ({"sam2": None}, "sam2 must be an object, not NoneType"),
        ({"sam2": {"image_size": "wide"}}, "sam2 does not describe SAM 2.1"),
        ({"sam2": {"vision_config": {"model_type": "nothing"}}}, "sam2 does not describe SAM 2.1"),
        (
            {"sam2": {"vision_config": {"model_type": "clip_vision_model"}}},
            "trunk that is not Hiera",
        ),
        (
            {"sam2": {"vision_config": {"backbone_config": {"model_type": "resnet"}}}},
            "trunk that is not Hiera",
        ),
    ],
)
def test_settings_that_describe_no_pam_are_refused(change, message):
    with pytest.raises(CheckpointError, match=message):
        pam_config({**ALONE, **change}, TENSORS)


@pytest.mark.parametrize(
    "name", ["model.embed_tokens.weight", "model.layers.0.mlp.gate_proj.weight"]
)
def test_weights_without_language_model_are_refused(name):
    tensors = {key: tensor for key, tensor in TENSORS.items() if key != name}
    with pytest.raises(CheckpointError, match=f"the weights have no {name}"):
        pam_config(ALONE, tensors)


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(sorted(ALONE)), value=JSON)
def test_any_value_ends_in_a_config_or_in_a_clear_error(key, value):
    with suppress(CheckpointError):
        pam_config({**ALONE, key: value}, TENSORS)


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(sorted(ALONE["sam2"])), value=JSON)
def test_any_value_in_the_section_of_sam_does_so_too(key, value):
    with suppress(CheckpointError):
        sam2_from_dict({**ALONE["sam2"], key: value}, "config.json: sam2")


def test_settings_cannot_choose_code():
    kernel = "somebody/kernels"
    section = json.loads(json.dumps(ALONE["sam2"]))
    for part in (section, section["vision_config"], section["vision_config"]["backbone_config"]):
        part.update(
            attn_implementation=kernel,
            _attn_implementation=kernel,
            _attn_implementation_internal=kernel,
            auto_map={"AutoModel": "modeling.Evil"},
        )
    raw = {
        **ALONE,
        "sam2": section,
        "attn_implementation": kernel,
        "_attn_implementation": kernel,
        "auto_map": {"AutoModel": "modeling.Evil"},
    }
    config = pam_config(raw, TENSORS)
    for part in (config.language, config.sam2, config.sam2.vision_config):
        assert kernel not in json.dumps(part.to_dict())
        assert part._attn_implementation != kernel
        assert not hasattr(part, "auto_map")


def test_general_switches_of_transformers_are_left_alone():
    section = json.loads(json.dumps(ALONE["sam2"]))
    section["vision_config"].update(return_dict=[], output_hidden_states=True)
    config = pam_config({**ALONE, "sam2": section}, TENSORS)
    assert config.sam2.to_dict() == tiny.config().sam2.to_dict()


@pytest.mark.parametrize(
    ("part", "change", "message"),
    [
        (("vision_config", "backbone_config"), {"query_stride": [0, 2]}, "must be from 1 to 64"),
        (("vision_config", "backbone_config"), {"patch_stride": [4, 65]}, "from 1 to 64"),
        (
            ("vision_config",),
            {"fpn_padding": 1_000_000},
            r"vision_config.fpn_padding must be .*, not 1000000",
        ),
        ((), {"mask_downsampler_stride": 0}, "mask_downsampler_stride must be .*, not 0"),
    ],
)
def test_kernels_that_no_image_survives_are_refused(part, change, message):
    section = json.loads(json.dumps(ALONE["sam2"]))
    inner = section
    for key in part:
        inner = inner[key]
    inner.update(change)
    with pytest.raises(CheckpointError, match=message):
        sam2_from_dict(section, "config.json: sam2")


def test_depths_are_those_of_the_weights():
    built = tiny.network()
    sam2 = tiny.sam2_state(built)
    check_depths(tiny.config(), TENSORS, sam2)
    deeper = {**TENSORS, "model.layers.2.mlp.up_proj.weight": torch.zeros(1)}
    with pytest.raises(CheckpointError, match="num_hidden_layers makes 2 layers, .* have 3"):
        check_depths(tiny.config(), deeper, sam2)
    shallow = {name: value for name, value in sam2.items() if "memory_attention" not in name}
    with pytest.raises(CheckpointError, match="memory_attention_num_layers makes 1 .* have 0"):
        check_depths(tiny.config(), TENSORS, shallow)
