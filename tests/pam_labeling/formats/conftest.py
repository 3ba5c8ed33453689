"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import pytest

from tests import hard_shapes


@pytest.fixture
def entries(tmp_path):
    return hard_shapes.hard_entries(tmp_path / "pics")
