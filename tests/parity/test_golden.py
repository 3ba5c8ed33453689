"""Our PAM computes what the authors' PAM computes, in float32 on a CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.parity.compare import TOLERANCE, compare, golden_cases
from tests.parity.compare_video import compare_video

if TYPE_CHECKING:
    from pathlib import Path

    from tests.parity.compare import Difference


def test_images_equal_the_authors_code(golden_image: Path) -> None:
    _assert_equal(compare(golden_image))


def test_videos_equal_the_authors_code(golden_video: Path) -> None:
    _assert_equal(compare_video(golden_video))


def _assert_equal(differences: list[Difference]) -> None:
    for difference in differences:
        if difference.bits is None:
            assert difference.largest <= TOLERANCE, difference
        else:
            assert difference.bits == 0, difference


def test_a_folder_without_cases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no golden cases"):
        golden_cases(tmp_path, "image")
