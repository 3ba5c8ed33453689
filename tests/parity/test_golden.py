"""Our PAM computes what the authors' PAM computes, in float32 on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.parity.compare import assert_equal, compare, golden_cases

if TYPE_CHECKING:
    from pathlib import Path


def test_images_equal_the_authors_code(golden_image: Path) -> None:
    assert_equal(compare(golden_image))


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no golden cases"):
        golden_cases(tmp_path, "image")
