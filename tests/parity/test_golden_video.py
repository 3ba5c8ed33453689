"""Our tracker computes what the authors' computes, in float32 on a CPU.

A clip takes two minutes of a core, so `make e2e` runs this, not `make test`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.parity.compare import assert_equal
from tests.parity.compare_video import compare_video

if TYPE_CHECKING:
    from pathlib import Path


def test_videos_equal_the_authors_code(golden_video: Path) -> None:
    assert_equal(compare_video(golden_video))
