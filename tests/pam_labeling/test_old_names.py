"""Names of version 0.1 still work, and say what to write instead."""

from __future__ import annotations

import importlib

import pytest

from pam_labeling import Request


@pytest.mark.parametrize(
    ("package", "old", "new"),
    [
        ("pam_labeling", "Picture", "LoadedImage"),
        ("pam_labeling", "PictureError", "ImageError"),
        ("pam_labeling", "read_picture", "read_image"),
        ("pam_model", "PictureFeatures", "ImageFeatures"),
        ("pam_model", "EverythingOptions", "AutomaticMaskOptions"),
    ],
)
def test_old_names_are_known(package, old, new):
    module = importlib.import_module(package)
    with pytest.warns(DeprecationWarning, match=f"write {package}.{new}") as told:
        assert getattr(module, old) is getattr(module, new)
    assert told[0].filename == __file__


def test_a_request_still_takes_and_gives_its_picture():
    with pytest.warns(DeprecationWarning, match=r"write Request\(image=...\)") as told:
        request = Request(picture="scene.png")
    assert told[0].filename == __file__
    assert request == Request("scene.png")
    with pytest.warns(DeprecationWarning, match=r"write Request\.image"):
        assert request.picture == "scene.png"


def test_an_unknown_name_is_no_attribute():
    with pytest.raises(AttributeError, match="nonsense"):
        importlib.import_module("pam_labeling").nonsense  # noqa: B018
