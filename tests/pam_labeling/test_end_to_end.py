"""Image files and a checkpoint folder through the command line; nothing is a stand-in.

The weights are random: what is said is nonsense, but it is written, read and counted as usual.
"""

from __future__ import annotations

import json

import jsonschema
import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from typer.testing import CliRunner

from pam_labeling.command_line.cli import app
from pam_labeling.documents import SCHEMA_FILE
from pam_labeling.masks import decode_rle
from pam_model.checkpoints.checkpoint import save_checkpoint
from tests.model import tiny_checkpoint
from tests.model.tiny import tiny_pam


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A checkpoint that finds something under most prompts."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    tokenizer = tiny_checkpoint.tokenizer()
    network = tiny_pam().network
    sam2 = network.segmenter.sam2
    fourier = sam2.shared_image_embedding.positional_embedding
    sam2.prompt_encoder.shared_embedding.positional_embedding.copy_(fourier)
    save_checkpoint(
        folder,
        network.config,
        tiny_checkpoint.pam_state(network),
        tiny_checkpoint.sam2_state(network),
        tokenizer,
        torch.float32,
    )
    return folder


@pytest.fixture
def image(tmp_path):
    """A JPEG of 60 x 80 pixels that is stored lying on its side."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(pixels).save(tmp_path / "image.jpg", exif=exif)
    return tmp_path / "image.jpg"


def test_an_image_file_becomes_regions_with_words(checkpoint, image, tmp_path):
    output, overlays = tmp_path / "out.json", tmp_path / "overlays"
    options = [
        "annotate", image, tmp_path / "missing.png", "--model", checkpoint,
        "--box", "5,5,40,40", "--point", "30,70", "--point", "5,5,-",
        "--tasks", "label,definition,brief,detailed", "--labels", "cat,dog", "--language", "zh",
        "--label-fit", 0, "--max-new-tokens", 6, "--device", "cpu",
        "--output", output, "--overlay", overlays,
    ]  # fmt: skip
    result = CliRunner().invoke(app, [str(option) for option in options])
    assert result.exit_code == 1, result.output
    written = json.loads(output.read_text("utf-8"))
    jsonschema.validate(written, json.loads(SCHEMA_FILE.read_text("utf-8")))
    assert written["model"] == "tiny"
    done, failed = written["images"]
    assert "no such file" in failed["error"]
    assert (done["width"], done["height"]) == (60, 80)
    assert len(done["regions"]) + len(done["refusals"]) == 2
    assert done["regions"]
    for region in done["regions"]:
        mask = decode_rle(region["mask"])
        assert mask.shape == (80, 60)
        assert mask.sum() == region["area"] > 0
        assert region["label"] in ("cat", "dog")
        assert set(region["texts"]) == {"label", "definition", "brief", "detailed"}
    assert [file.name for file in overlays.iterdir()] == ["image.overlay.png"]


def test_a_folder_that_is_no_checkpoint_ends_with_3(image, tmp_path):
    options = ["annotate", str(image), "--model", str(tmp_path)]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 3
    assert f"cannot load the model {tmp_path}" in result.stderr
