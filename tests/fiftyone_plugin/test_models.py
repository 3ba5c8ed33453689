"""Annotators that are lent, kept and released."""

from __future__ import annotations

import threading

import pytest

from fiftyone_plugin import models
from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.models import AnnotatorPool, check_model, idle_seconds, settings_of
from pam_labeling import Settings


class FakeAnnotator:
    def __init__(self):
        self.closed = threading.Event()

    def close(self):
        self.closed.set()


@pytest.fixture
def loaded(monkeypatch):
    """The annotators that were loaded, in order."""
    made = []

    def load(settings):
        made.append(FakeAnnotator())
        return made[-1]

    monkeypatch.setattr(models, "_load", load)
    return made


def test_one_annotator_serves_all_with_the_same_settings(loaded):
    pool = AnnotatorPool(60)
    with pool.lend(Settings()) as first, pool.lend(Settings()) as second:
        assert first is second
    with pool.lend(Settings()) as third:
        assert third is first
    assert len(loaded) == 1
    pool.close()
    assert loaded[0].closed.is_set()
    assert len(pool) == 0


def test_another_model_releases_the_one_that_nobody_uses(loaded):
    pool = AnnotatorPool(60)
    with pool.lend(Settings()):
        pass
    with pool.lend(Settings(model="PAM-3B")):
        assert loaded[0].closed.is_set()
    pool.close()


def test_another_model_leaves_the_one_that_is_in_use(loaded):
    pool = AnnotatorPool(0)
    with pool.lend(Settings()), pool.lend(Settings(model="PAM-3B")):
        assert not loaded[0].closed.is_set()
        assert len(pool) == 2
    assert len(pool) == 0


def test_an_idle_annotator_is_closed_after_a_while(loaded):
    pool = AnnotatorPool(0.05)
    with pool.lend(Settings()):
        assert not loaded[0].closed.wait(0.2)
    assert loaded[0].closed.wait(10)
    assert len(pool) == 0


def test_an_annotator_that_is_wanted_again_in_time_stays(loaded):
    pool = AnnotatorPool(0.3)
    with pool.lend(Settings()):
        pass
    with pool.lend(Settings()):
        assert not loaded[0].closed.wait(0.6)
    pool.close()


def test_a_model_that_cannot_be_loaded_is_a_sentence_and_leaves_nothing():
    pool = AnnotatorPool(60)
    with (
        pytest.raises(PluginError, match="The model /nowhere/pam cannot be used"),
        pool.lend(Settings(model="/nowhere/pam")),
    ):
        pass
    assert len(pool) == 0


def test_a_choice_wins_over_the_environment(monkeypatch):
    monkeypatch.setenv("PAM_MODEL", "PAM-3B")
    assert settings_of().model == "PAM-3B"
    assert settings_of("nano", "cpu", 4) == Settings(model="nano", device="cpu", regions_per_step=4)


def test_a_device_that_does_not_exist_is_a_sentence():
    with pytest.raises(PluginError, match='^device must be .* not "tpu".$'):
        settings_of(device="tpu")


@pytest.mark.parametrize(("text", "seconds"), [("", 600), ("5", 5), ("0.5", 0.5)])
def test_how_long_to_keep_comes_from_the_environment(monkeypatch, text, seconds):
    monkeypatch.setenv(models.IDLE_VARIABLE, text)
    assert idle_seconds() == seconds


@pytest.mark.parametrize("text", ["soon", "-1", "nan", "inf"])
def test_what_is_no_number_of_seconds_is_refused(monkeypatch, text):
    monkeypatch.setenv(models.IDLE_VARIABLE, text)
    with pytest.raises(PluginError, match="PAM_IDLE_SECONDS must be a number of seconds"):
        idle_seconds()


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"device": "gpu"}, '^device must be a text such as "cpu", .* not "gpu".$'),
        ({"batch_size": 0}, "^batch_size must be a whole number of at least 1, not 0.$"),
    ],
)
def test_a_choice_that_cannot_be_used_goes_by_its_name(given, sentence):
    with pytest.raises(PluginError, match=sentence):
        settings_of(**given)


def test_a_setting_of_the_environment_goes_by_its_variable(monkeypatch):
    monkeypatch.setenv("PAM_DEVICE", "gpu")
    with pytest.raises(PluginError, match="^PAM_DEVICE must be"):
        settings_of(batch_size=4)


@pytest.mark.parametrize("name", ["pam-3b", "PAM-3B", "Pam-3b"])
def test_one_model_has_one_entry_however_it_is_written(name):
    assert settings_of(name) == settings_of("PAM-3B")


def test_a_folder_is_looked_at_where_the_model_is_loaded(tmp_path):
    settings = settings_of(str(tmp_path / "gone"))
    check_model(settings)
    with pytest.raises(PluginError, match="no such folder"):
        check_model(settings, here=True)
