"""The model loads in a thread of its own."""

from __future__ import annotations

import threading

import pytest

from label_studio_backend.model_loader import ModelLoader
from pam_labeling.errors import UnavailableError


class Opened:
    model_name = "fake"

    def __init__(self):
        self.is_closed = threading.Event()

    def close(self):
        self.is_closed.set()


def started(open_annotator):
    loader = ModelLoader(open_annotator)
    loader.start()
    return loader


def test_the_annotator_is_waited_for():
    opened = Opened()
    loader = started(lambda: opened)
    assert loader.wait(30) is opened
    assert (loader.state, loader.error, loader.annotator) == ("ready", None, opened)


def test_while_it_loads_this_is_said_after_the_patience():
    go = threading.Event()
    loader = started(lambda: go.wait(30) and Opened())
    assert (loader.state, loader.annotator) == ("loading", None)
    with pytest.raises(UnavailableError, match="still loading"):
        loader.wait(0.01)
    go.set()
    loader.wait(30)


def test_a_model_that_cannot_be_loaded_is_told_on_one_line_and_logged(caplog):
    def fail():
        raise ValueError("no such\n checkpoint")

    loader = started(fail)
    with pytest.raises(UnavailableError, match="cannot be loaded: no such checkpoint"):
        loader.wait(30)
    assert loader.state == "failed"
    assert loader.error == "the model cannot be loaded: no such checkpoint"
    assert "the model cannot be loaded" in caplog.text


def test_closing_closes_the_annotator_also_when_it_comes_later():
    opened = Opened()
    loader = started(lambda: opened)
    loader.wait(30)
    loader.close()
    assert opened.is_closed.is_set()

    go, late = threading.Event(), Opened()
    loader = started(lambda: go.wait(30) and late)
    loader.close()
    go.set()
    assert late.is_closed.wait(30)
