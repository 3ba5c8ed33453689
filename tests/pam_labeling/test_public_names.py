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


@pytest.mark.parametrize(
    "module",
    [
        "pam_labeling",
        "pam_model",
        "pam_model.checkpoints.hub",
        "label_studio_backend.config.template",
    ],
)
def test_torch_is_loaded_only_where_it_is_needed(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_other_names_are_not_there():
    with pytest.raises(AttributeError, match="Track"):
        _ = pam_labeling.Track
