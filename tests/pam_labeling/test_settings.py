from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from PIL import Image

from pam_labeling.errors import SettingsError
from pam_labeling.settings import Settings
from tests.pam_labeling.encoded import encode


def test_without_variables_the_defaults_hold():
    assert Settings.from_environment({}) == Settings()
    assert Settings().model == "nano"


def test_variables_override_defaults_and_arguments_override_variables():
    environment = {"PAM_MODEL": "PAM-3B", "PAM_CACHE_BYTES": "2_000", "PAM_DEVICE": "cuda:1"}
    found = Settings.from_environment(environment, model="PAM-1.5B", dtype=None)
    assert found == Settings(model="PAM-1.5B", cache_bytes=2000, device="cuda:1")


def test_an_empty_variable_counts_as_not_set():
    assert Settings.from_environment({"PAM_DTYPE": " ", "PAM_QUEUE_SIZE": ""}) == Settings()


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PAM_QUEUE_SIZE", "many"),
        ("PAM_QUEUE_SIZE", "0"),
        ("PAM_CACHE_BYTES", "-1"),
        ("PAM_REGIONS_PER_STEP", "1.5"),
        ("PAM_REGIONS_PER_STEP", "0"),
        ("PAM_MAX_PIXELS", "99999999999"),
        ("PAM_DEVICE", "gpu"),
        ("PAM_DEVICE", "cuda:first"),
        ("PAM_DTYPE", "int8"),
        ("PAM_ATTN_IMPLEMENTATION", "magic"),
        ("PAM_RANGE", "4095"),
        ("PAM_RANGE", "9,1"),
    ],
)
def test_a_wrong_value_is_refused_by_its_variable(name, text):
    with pytest.raises(SettingsError, match=f"^{name} must be "):
        Settings.from_environment({name: text})


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("device", "tpu", r'^--device must be a text such as "cpu".* not "tpu"\.$'),
        ("dtype", "int8", "^--dtype must be "),
        ("range", "4095", "^--range must be LOW,HIGH"),
        ("max_pixels", 0, "^--max-pixels must be "),
    ],
)
def test_a_wrong_value_of_an_option_is_refused_by_the_option(name, value, sentence):
    with pytest.raises(SettingsError, match=sentence):
        Settings.from_environment({}, option="--{}", **{name: value})
    with pytest.raises(SettingsError, match=f"^PAM_{name.upper()} must be "):
        Settings.from_environment({f"PAM_{name.upper()}": str(value)}, option="--{}", model="nano")


def test_a_range_is_a_pair_of_numbers_or_a_word():
    assert Settings.from_environment({"PAM_RANGE": "0,4095"}).range == (0, 4095)
    assert Settings(range=(0, 4095)) == Settings(range="0,4095")
    assert Settings(range="full").range == "full"
    assert Settings().range == "auto"


def test_an_empty_model_name_is_refused():
    with pytest.raises(SettingsError, match=r'^PAM_MODEL must be a text such as "nano"'):
        Settings(model=" ")


def test_an_annotator_is_opened_with_the_settings(monkeypatch, model):
    asked: dict[str, Any] = {}

    def from_pretrained(name, **options):
        asked.update(options, name=name)
        return model

    monkeypatch.setattr("pam_model.PAM.from_pretrained", from_pretrained, raising=False)
    settings = Settings(
        model="some/where", dtype="bfloat16", device="cpu", regions_per_step=2, range="0,100"
    )
    with settings.open_annotator() as annotator:
        assert annotator.model_name == "fake"
        content = encode(Image.fromarray(np.array([[50]], np.uint16)), "PNG")
        assert annotator.read(content, name="x").pixels.tolist() == [[[128, 128, 128]]]
    assert asked.pop("name") == "some/where"
    assert str(asked.pop("dtype")) == "torch.bfloat16"
    assert asked == {"sam2": None, "device": "cpu", "attn_implementation": None, "revision": None}
