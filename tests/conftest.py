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
    """One parity test for each golden case of the folder, for `golden_image` or `golden_video`."""
    for kind in ("image", "video"):
        if f"golden_{kind}" in metafunc.fixturenames:
            # Not above: pytest-xdist's first process runs no test, and need not wait for torch.
            from tests.parity.compare import golden_cases

            cases = golden_cases(metafunc.config.getoption("golden_dir"), kind)
            metafunc.parametrize(f"golden_{kind}", cases, ids=[case.stem for case in cases])


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the file whose set-up takes longest.

    A process of pytest-xdist takes tests from the end of another's queue; it would set up the same.
    """
    items.sort(key=lambda item: item.path.name != "test_readme.py")
