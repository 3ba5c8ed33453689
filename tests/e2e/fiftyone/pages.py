"""FiftyOne's App as a curator uses it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

from tests.e2e.fiftyone.servers import ARTEFACTS

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Locator, Page

SECONDS = 1000  # playwright counts milliseconds


class AppPage:
    """A dataset, opened in the App."""

    def __init__(self, page: Page, url: str, dataset: str) -> None:
        self.page = page
        page.goto(f"{url}/datasets/{dataset}")
        expect(self.pictures.first).to_be_visible(timeout=90 * SECONDS)

    @property
    def pictures(self) -> Locator:
        """The pictures in the grid."""
        return self.page.locator("[data-cy=fo-grid] [data-cy=looker], [data-cy=looker]")

    @property
    def form(self) -> Locator:
        """The operator's form that is open."""
        return self.page.get_by_role("dialog").last

    def browse_to(self, operator: str) -> None:
        """Open an operator's form from the operator browser."""
        self.page.keyboard.press("`")
        search = self.page.get_by_placeholder(re.compile("Search operations", re.IGNORECASE))
        search.fill(operator)
        self.page.get_by_text(operator, exact=True).first.click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).first.click()

    def open_first(self) -> None:
        """Open the first picture of the grid."""
        self.pictures.first.click()
        expect(self.page.locator("[data-cy=modal]")).to_be_visible()

    def open_panel(self, title: str) -> None:
        """Open a panel beside the grid or the open sample."""
        self.page.locator("[data-cy=new-panel-btn]").last.click()
        self.page.get_by_text(title, exact=True).last.click()

    def screenshot(self, name: str) -> Path:
        """Keep what is to be seen now as `out/e2e/fiftyone-NAME.png`."""
        path = ARTEFACTS / f"fiftyone-{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        return path
