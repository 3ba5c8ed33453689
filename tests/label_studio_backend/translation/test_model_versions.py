"""The names of our predictions."""

from __future__ import annotations

import pytest

from label_studio_backend.translation.model_versions import is_own, marked_version, usual_version
from pam_labeling.version import VERSION


def test_the_usual_name_is_that_of_model_and_version():
    assert usual_version("some/folder/nano") == f"nano (pam-labeling {VERSION})"
    assert is_own(usual_version("nano"))


def test_a_chosen_name_is_marked_once():
    assert marked_version("trial-1") == "trial-1 (pam-labeling)"
    for name in (marked_version("trial-1"), usual_version("nano"), "nano (pam-labeling 0.0.9)"):
        assert is_own(name)
        assert marked_version(name) == name


@pytest.mark.parametrize(
    "version", ["trial-1", "yolo", "", None, 3, "pam-labeling", "yolo (pam-labeling) v2"]
)
def test_other_names_are_of_other_models(version):
    assert not is_own(version)
