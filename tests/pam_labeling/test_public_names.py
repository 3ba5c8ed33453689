from __future__ import annotations

import subprocess
import sys

import pytest

import pam_labeling
import pam_model


@pytest.mark.parametrize("package", [pam_labeling, pam_model])
def test_every_public_name_is_there_and_documented(package):
    assert package.__all__
    for name in package.__all__:
        public = getattr(package, name)
        assert public.__doc__ or name in ("LANGUAGES", "Language")  # these say what they are


def test_torch_is_loaded_only_where_it_is_needed():
    modules = (
        "pam_labeling",
        "pam_labeling.command_line.cli",
        "pam_labeling.jobs",
        "pam_labeling.media",
        "pam_labeling.request",
        "pam_labeling.settings",
        "pam_labeling.vocabulary",
        "pam_model",
        "pam_model.checkpoints.hub",
        "label_studio_backend.commands",
        "label_studio_backend.config.template",
    )
    code = (
        "import importlib, sys\n"
        "for module in sys.argv[1:]:\n"
        "    importlib.import_module(module)\n"
        "    assert 'torch' not in sys.modules, module"
    )
    subprocess.run([sys.executable, "-c", code, *modules], check=True)


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="Track"):
        _ = pam_labeling.Track
