"""The embedded nano is small, loads by its name, and knows its world.

The floors are well below what it reaches on 500 scenes (`python -m pam_model.nano.evaluate`): a few
unlucky objects do not matter, and a broken prompt, prefill or tokenizer falls far below them.
"""

from __future__ import annotations

import pytest
import torch

from pam_model import PAM, CheckpointError, Tracker
from pam_model.checkpoints.hub import NANO
from pam_model.nano import measure
from pam_model.nano.sizes import nano_config
from pam_model.nano.tokenizer import EMBEDDED, load_tokenizer
from pam_model.nano.world import HELD_OUT_SEED
from pam_model.network import PAMNetwork
from pam_model.tasks import END
from tests.nano.drawn import known_flat_image, known_scene

SCENES, FLAT_IMAGES = 5, 3


@pytest.fixture(scope="module")
def nano():
    return PAM.from_pretrained("nano", device="cpu")


@pytest.fixture(scope="module")
def on_scenes(nano):
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + SCENES)
    return measure.scene_measures(measure.ask(nano, map(known_scene, seeds)))


@pytest.fixture(scope="module")
def on_flat_images(nano):
    seeds = range(HELD_OUT_SEED, HELD_OUT_SEED + FLAT_IMAGES)
    answers = measure.ask(nano, map(known_flat_image, seeds), measure.FLAT_QUESTIONS)
    return measure.flat_measures(answers)


def below(measures, iou, fraction):
    """The measures that miss their floor."""
    assert all(row.objects > 0 for row in measures)
    return [row for row in measures if row.value < (iou if "IoU" in row.name else fraction)]


def test_the_weights_are_at_most_16_million_bytes():
    files = sorted(NANO.glob("*.safetensors"))
    assert [path.name for path in files] == ["model.safetensors"]
    assert sum(path.stat().st_size for path in NANO.iterdir()) <= 16_000_000


def test_it_has_the_sizes_that_the_training_program_gives(nano):
    with torch.device("meta"):
        fresh = PAMNetwork(nano_config(), load_tokenizer())

    def shapes(network):
        return {name: parameter.shape for name, parameter in network.named_parameters()}

    assert nano.name == "nano"
    assert shapes(nano.network) == shapes(fresh)
    ours, theirs = (
        c.sam2.vision_config.backbone_config for c in (nano.network.config, nano_config())
    )
    assert ours.global_attention_blocks == theirs.global_attention_blocks
    assert ours.window_size_per_stage == theirs.window_size_per_stage


def test_its_tokenizer_is_the_one_that_is_loaded_without_a_folder(nano):
    assert EMBEDDED == NANO
    assert load_tokenizer().encode(END, add_special_tokens=False) == [nano.network.language.end_id]


def test_it_sees_and_names_objects_of_held_out_scenes(on_scenes):
    assert below(on_scenes, iou=0.87, fraction=0.8) == []


def test_it_sees_and_names_objects_of_flat_images(on_flat_images):
    assert below(on_flat_images, iou=0.9, fraction=0.8) == []


def test_says_that_it_cannot_track(nano):
    with pytest.raises(CheckpointError, match="nano cannot track: its memory was never trained"):
        Tracker(nano)
