"""Options of the whole test suite."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.coverage_pauses import coverage_tracer

if TYPE_CHECKING:
    from collections.abc import Generator

TRACER = pytest.StashKey[Any]()


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


# Coverage looks at test functions alone, not at what pytest and fixtures do around them.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, Any, Any]:
    """Stop the tracing of this thread; threads that fixtures start are traced."""
    tracer = item.stash[TRACER] = coverage_tracer()
    if tracer is None:
        return (yield)
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    """Trace the test function."""
    tracer = item.stash[TRACER]
    if tracer is None:
        return (yield)
    sys.settrace(tracer)
    try:
        return (yield)
    finally:
        sys.settrace(None)
