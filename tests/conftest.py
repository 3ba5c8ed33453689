"""Options of the whole test suite."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--golden-dir`."""
    parser.addoption(
        "--golden-dir",
        type=Path,
        default=Path(__file__).parent / "parity" / "golden",
        help="a folder of golden cases for tests/parity (default: those in the repository)",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One parity test for each golden image case of the folder."""
    if "golden_case" in metafunc.fixturenames:
        # Not above: pytest-xdist's first process runs no test, and need not wait for torch.
        from tests.parity.compare import image_cases

        cases = image_cases(metafunc.config.getoption("golden_dir"))
        metafunc.parametrize("golden_case", cases, ids=[case.stem for case in cases])
