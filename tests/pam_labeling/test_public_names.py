from __future__ import annotations

import importlib

import pytest

import pam_labeling


def test_every_public_name_is_there_and_documented():
    for name in pam_labeling.__all__:
        assert getattr(pam_labeling, name).__doc__


def test_every_public_name_has_one_home():
    homes = [name for names in pam_labeling._HOME.values() for name in names]
    assert sorted(homes) == sorted(pam_labeling.__all__)
    for module, names in pam_labeling._HOME.items():
        for name in names:
            assert hasattr(importlib.import_module(f"pam_labeling.{module}"), name)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="no attribute 'Track'"):
        _ = pam_labeling.Track
