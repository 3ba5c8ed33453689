"""Our PAM computes what the authors' PAM computes, in float32 on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.parity.compare import TOLERANCE, compare, image_cases

if TYPE_CHECKING:
    from pathlib import Path


def test_equals_the_authors_code(golden_case: Path) -> None:
    for difference in compare(golden_case):
        if difference.bits is None:
            assert difference.largest <= TOLERANCE, difference
        else:
            assert difference.bits == 0, difference


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no golden image cases"):
        image_cases(tmp_path)
