from __future__ import annotations

import json

import pytest
import torch

from pam_model.checkpoints.checkpoint import (
    Checkpoint,
    CheckpointError,
    load_checkpoint,
    load_network,
    save_checkpoint,
)
from pam_model.checkpoints.files import find_folder
from tests.model import tiny_checkpoint as tiny


def assert_same_weights(network, other):
    ours, theirs = network.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    different = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert different == []


def write_alone(folder, **changes):
    """Our own layout: the tower inside, both sections in the config."""
    built = tiny.network()
    settings = {**tiny.published_settings(built, "sam2", "perceiver"), **changes}
    return tiny.write(folder, tiny.with_tower(built), settings)


def test_reads_one_file_with_the_tower_inside(tmp_path):
    loaded = load_checkpoint(write_alone(tmp_path / "tiny"))
    assert_same_weights(load_network(loaded), tiny.network())
    assert loaded.name == "tiny"


def test_reads_shards_in_a_folder_of_the_same_name_as_on_the_hub(tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "sam2", "perceiver")
    tiny.write(tmp_path / "Tiny" / "Tiny", tiny.pam_state(built), settings, shards=3)
    tiny.write_pt(tmp_path / "Tiny" / "sam2.1_hiera_tiny.pt", built)
    loaded = load_checkpoint(tmp_path / "Tiny")
    assert_same_weights(load_network(loaded), built)
    assert loaded.name == "Tiny"


def test_reads_metas_pt_file_from_another_place(tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "sam2", "perceiver")
    folder = tiny.write(tmp_path / "pam", tiny.pam_state(built), settings)
    (tmp_path / "elsewhere").mkdir()
    path = tiny.write_pt(tmp_path / "elsewhere" / "weights.pt", built)
    assert_same_weights(load_network(load_checkpoint(folder, path)), built)


def test_sizes_of_sam_come_from_its_own_folder_where_the_checkpoint_has_none(tmp_path):
    built = tiny.network()
    folder = tiny.write(
        tmp_path / "pam", tiny.pam_state(built), tiny.published_settings(built, "perceiver")
    )
    tiny.write_sam2_folder(folder / "sam2.1-hiera-tiny", built)
    assert_same_weights(load_network(load_checkpoint(folder)), built)


def test_a_hugging_face_folder_may_keep_the_position_matrix_once(tmp_path):
    built = tiny.network()
    state = tiny.sam2_state(built)
    del state["prompt_encoder.shared_embedding.positional_embedding"]
    settings = tiny.published_settings(built, "perceiver")
    folder = tiny.write(tmp_path / "pam", tiny.pam_state(built), settings)
    sam2 = tiny.write(tmp_path / "sam", state, built.config.sam2.to_dict())
    assert_same_weights(load_network(load_checkpoint(folder, sam2)), built)


def test_without_sections_the_sizes_are_the_published_ones(tmp_path):
    built = tiny.network()
    folder = tiny.write(tmp_path, tiny.with_tower(built), tiny.published_settings(built))
    with pytest.raises(CheckpointError, match=r"perceiver.depth makes 2 layers.*have 1"):
        load_checkpoint(folder)
    settings = tiny.published_settings(built, "perceiver")
    folder = tiny.write(tmp_path, tiny.with_tower(built), settings)
    with pytest.raises(CheckpointError, match="blocks_per_stage makes 48 layers"):
        load_checkpoint(folder)


def test_sam_beside_a_published_checkpoint_is_preferred_to_the_tower_inside(tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "perceiver")
    folder = tiny.write(tmp_path / "pam", tiny.with_tower(built), settings)
    tiny.write_sam2_folder(tmp_path / "sam2.1-hiera-tiny", built, add=1.0)
    loaded = load_checkpoint(folder)
    pointer = tiny.sam2_state(built)["no_object_pointer"]
    assert torch.equal(loaded.sam2_tensors["no_object_pointer"], pointer + 1)


def test_our_own_layout_prefers_the_tower_inside_to_sam_beside_it(tmp_path):
    built = tiny.network()
    folder = write_alone(tmp_path / "pam")
    beside = tiny.write_sam2_folder(tmp_path / "sam2.1-hiera-tiny", built, add=1.0)
    pointer = tiny.sam2_state(built)["no_object_pointer"]
    loaded = load_checkpoint(folder)
    assert torch.equal(loaded.sam2_tensors["no_object_pointer"], pointer)
    loaded = load_checkpoint(folder, beside)
    assert torch.equal(loaded.sam2_tensors["no_object_pointer"], pointer + 1)


def test_several_sams_beside_a_checkpoint_are_refused(tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "perceiver")
    folder = tiny.write(tmp_path / "pam", tiny.pam_state(built), settings)
    for size in ("tiny", "large"):
        tiny.write_pt(tmp_path / f"sam2.1_hiera_{size}.pt", built)
    with pytest.raises(CheckpointError, match=r"several SAM 2.1 \(sam2.1_hiera_large.pt, sam2.1_"):
        load_checkpoint(folder)


def test_says_what_to_download_where_sam_is_nowhere(tmp_path):
    built = tiny.network()
    folder = tiny.write(tmp_path, tiny.pam_state(built), tiny.published_settings(built))
    with pytest.raises(CheckpointError, match=r"sam2.1_hiera_large.pt.*sam2=PATH"):
        load_checkpoint(folder)


@pytest.mark.parametrize("rows", [tiny.VOCABULARY - 20, tiny.VOCABULARY + 20])
def test_the_vocabulary_is_that_of_the_embedding(tmp_path, rows):
    built = tiny.network()
    tensors = tiny.with_tower(built)
    embedding = torch.randn(rows, 32)
    tensors["model.embed_tokens.weight"] = embedding
    settings = tiny.published_settings(built, "sam2", "perceiver")
    network = load_network(load_checkpoint(tiny.write(tmp_path, tensors, settings)))
    assert network.config.language.vocab_size == rows
    assert torch.equal(network.language.qwen2.model.embed_tokens.weight, embedding)
    assert network.language.qwen2.lm_head.weight is network.language.qwen2.model.embed_tokens.weight


@pytest.mark.parametrize("more_rows", [0, 7])
def test_a_head_that_copies_the_embedding_is_tied_even_with_more_rows(tmp_path, more_rows):
    built = tiny.network()
    embedding = tiny.pam_state(built)["model.embed_tokens.weight"]
    head = torch.cat([embedding, torch.randn(more_rows, 32)])
    tensors = {**tiny.with_tower(built), "lm_head.weight": head}
    settings = tiny.published_settings(built, "sam2", "perceiver")
    loaded = load_checkpoint(tiny.write(tmp_path, tensors, settings))
    assert loaded.config.language.tie_word_embeddings
    assert_same_weights(load_network(loaded), built)


def test_a_copied_head_may_have_another_precision(tmp_path):
    built = tiny.network()
    embedding = tiny.pam_state(built)["model.embed_tokens.weight"].half()
    tensors = {
        **tiny.with_tower(built),
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": embedding.float(),
    }
    settings = tiny.published_settings(built, "sam2", "perceiver")
    loaded = load_checkpoint(tiny.write(tmp_path, tensors, settings))
    assert "lm_head.weight" not in loaded.pam_tensors


@pytest.mark.parametrize("shape", [(), (5,), (tiny.VOCABULARY, 31), (0, 32)])
def test_a_head_of_a_strange_shape_is_refused(tmp_path, shape):
    tensors = {**tiny.with_tower(tiny.network()), "lm_head.weight": torch.zeros(shape)}
    settings = tiny.published_settings(tiny.network(), "sam2", "perceiver")
    with pytest.raises(CheckpointError, match="lm_head.weight differs"):
        load_checkpoint(tiny.write(tmp_path, tensors, settings))


def test_a_head_of_its_own_is_kept(tmp_path):
    built = tiny.network(tied=False)
    settings = tiny.published_settings(built, "sam2", "perceiver")
    loaded = load_checkpoint(tiny.write(tmp_path, tiny.with_tower(built), settings))
    assert_same_weights(load_network(loaded), built)


def test_a_tied_head_that_differs_from_the_embedding_is_refused(tmp_path):
    built = tiny.network()
    tensors = {**tiny.with_tower(built), "lm_head.weight": torch.randn(tiny.VOCABULARY, 32)}
    settings = tiny.published_settings(built, "sam2", "perceiver")
    with pytest.raises(CheckpointError, match=r"lm_head.weight differs from model.embed_tokens"):
        load_checkpoint(tiny.write(tmp_path, tensors, settings))


def test_a_head_is_missed_where_it_is_not_tied(tmp_path):
    built = tiny.network()
    settings = tiny.published_settings(built, "sam2", "perceiver") | {"tie_word_embeddings": False}
    loaded = load_checkpoint(tiny.write(tmp_path, tiny.with_tower(built), settings))
    with pytest.raises(CheckpointError, match=r"1 missing: lm_head.weight"):
        load_network(loaded)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"model.frame_newline": None}, "1 missing: model.frame_newline", id="missing"),
        pytest.param(
            {"model.extra.bias": torch.zeros(1)}, "1 unexpected: model.extra.bias", id="unexpected"
        ),
        pytest.param(
            {"model.vision_tower.other.weight": torch.zeros(1)},
            r"1 unexpected: model.vision_tower.other.weight",
            id="unexpected-beside-the-tower",
        ),
        pytest.param(
            {"model.norm.weight": torch.zeros(31)},
            r"1 of another shape: model.norm.weight \(is \(31,\), must be \(32,\)\)",
            id="misshapen",
        ),
        pytest.param(
            {tiny.TOWER + "no_mem_embed": None}, "1 missing: no_memory_embedding", id="tower"
        ),
        pytest.param(
            {tiny.TOWER + "no_such_part": torch.zeros(1)},
            "1 unexpected: no_such_part",
            id="unexpected-in-the-tower",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused_by_name(tmp_path, change, message):
    built = tiny.network()
    tensors = {**tiny.with_tower(built), **change}
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    settings = tiny.published_settings(built, "sam2", "perceiver")
    loaded = load_checkpoint(tiny.write(tmp_path, tensors, settings))
    with pytest.raises(CheckpointError, match=message):
        load_network(loaded)


def test_what_is_saved_loads_equal(tmp_path):
    built = tiny.network()
    save_checkpoint(
        tmp_path / "own",
        built.config,
        {**tiny.pam_state(built), "lm_head.weight": built.language.qwen2.lm_head.weight},
        tiny.sam2_state(built),
        tiny.tokenizer(),
        torch.float32,
    )
    loaded = load_checkpoint(tmp_path / "own")
    assert_same_weights(load_network(loaded), built)
    assert loaded.config.to_dict() == built.config.to_dict()
    assert loaded.tokenizer.decode(loaded.tokenizer.encode("a star, 星")) == "a star, 星"


def test_position_matrices_are_saved_in_float32(tmp_path):
    built = tiny.network()
    states = (tiny.pam_state(built), tiny.sam2_state(built))
    save_checkpoint(tmp_path, built.config, *states, tiny.tokenizer(), torch.float16)
    loaded = load_checkpoint(tmp_path)
    narrow = {name for name, value in loaded.pam_tensors.items() if value.dtype != torch.float16}
    assert narrow == {"model.vision_resampler.pe_layer.positional_encoding_gaussian_matrix"}
    matrix = loaded.sam2_tensors["shared_image_embedding.positional_embedding"]
    assert torch.equal(matrix, built.segmenter.sam2.shared_image_embedding.positional_embedding)


def test_a_narrow_dtype_spares_what_places_a_prompt(tmp_path):
    network = load_network(load_checkpoint(write_alone(tmp_path)), dtype=torch.bfloat16)
    sam2 = network.segmenter.sam2
    assert {parameter.dtype for parameter in sam2.prompt_encoder.parameters()} == {torch.float32}
    assert sam2.mask_downsample.weight.dtype == torch.float32
    assert {parameter.dtype for parameter in sam2.mask_decoder.parameters()} == {torch.bfloat16}
    assert sam2.shared_image_embedding.positional_embedding.dtype == torch.float32
    assert network.language.qwen2.model.rotary_emb.inv_freq.dtype == torch.float32


def test_nothing_is_left_without_memory(tmp_path):
    network = load_network(load_checkpoint(write_alone(tmp_path)))
    tensors = [*network.parameters(), *network.buffers()]
    assert [tensor for tensor in tensors if tensor.is_meta] == []


def test_rotary_frequencies_follow_the_published_base(tmp_path):
    settings = tiny.published_settings(tiny.network())
    del settings["rope_theta"]
    del settings["tie_word_embeddings"]
    built = tiny.network()
    ours = tiny.published_settings(built, "sam2", "perceiver")
    folder = tiny.write(
        tmp_path,
        tiny.with_tower(built),
        {**settings, "sam2": ours["sam2"], "perceiver": ours["perceiver"]},
    )
    language = load_network(load_checkpoint(folder)).language.qwen2
    expected = built.language.qwen2.model.rotary_emb.inv_freq
    assert torch.equal(language.model.rotary_emb.inv_freq, expected)


def test_a_folder_with_two_checkpoints_inside_is_refused(tmp_path):
    for name in ("PAM-1.5B", "PAM-3B"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"found: PAM-1.5B, PAM-3B"):
        find_folder(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="no such folder"):
        load_checkpoint(tmp_path / "nothing")


def test_sizes_that_no_model_has_are_refused(tmp_path):
    built = tiny.network()
    loaded = load_checkpoint(write_alone(tmp_path))
    loaded.config.sam2.vision_config.backbone_config.num_attention_heads_per_stage = [1]
    broken = Checkpoint(
        "broken", loaded.config, loaded.pam_tensors, loaded.sam2_tensors, built.language.tokenizer
    )
    with pytest.raises(CheckpointError, match="broken: no model can have the sizes"):
        load_network(broken)


def test_a_tokenizer_without_the_chats_words_is_refused(tmp_path):
    folder = write_alone(tmp_path)
    content = json.loads((folder / "tokenizer.json").read_text())
    content["added_tokens"] = []
    (folder / "tokenizer.json").write_text(json.dumps(content))
    (folder / "tokenizer_config.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"does not know <\|im_end\|>"):
        load_checkpoint(folder)


def test_a_tokenizer_with_more_tokens_than_the_embedding_is_refused(tmp_path):
    built = tiny.network()
    tensors = tiny.with_tower(built)
    tensors["model.embed_tokens.weight"] = torch.zeros(100, 32)
    settings = tiny.published_settings(built, "sam2", "perceiver")
    with pytest.raises(
        CheckpointError, match="the tokenizer has 259 tokens, but the embedding only 100"
    ):
        load_checkpoint(tiny.write(tmp_path, tensors, settings))


@pytest.mark.parametrize("content", ["", "{", '{"model": 1}', "[]"])
def test_a_damaged_tokenizer_is_refused(tmp_path, content):
    folder = write_alone(tmp_path)
    (folder / "tokenizer.json").write_text(content)
    with pytest.raises(CheckpointError, match="the tokenizer cannot be read"):
        load_checkpoint(folder)


def test_a_checkpoint_without_tokenizer_is_refused(tmp_path):
    folder = write_alone(tmp_path)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(CheckpointError, match="no tokenizer.json, and no vocab.json"):
        load_checkpoint(folder)


def test_reads_a_tokenizer_of_vocabulary_and_merges(tmp_path):
    folder = write_alone(tmp_path)
    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokens = {
        "added_tokens_decoder": {
            str(256 + index): {"content": word, "special": True}
            for index, word in enumerate(("<|endoftext|>", "<|im_start|>", "<|im_end|>"))
        }
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(tokens))
    tokenizer = load_checkpoint(folder).tokenizer
    assert tokenizer.encode("<|im_end|>") == [258]
