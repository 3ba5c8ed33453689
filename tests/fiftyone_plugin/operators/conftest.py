"""Fixtures that several modules of this folder use."""

from __future__ import annotations

import pytest


@pytest.fixture
def export(operator):
    return operator("export_regions")
