"""Fixtures that all browsers of the end-to-end tests share."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect, sync_playwright

PATIENCE = 60_000  # milliseconds; two cores have much to run


@pytest.fixture(scope="session")
def playwright():
    """The driver of browsers; a process can have only one."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        yield playwright
