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
_PLUGIN = "@pam-labeling/pam"


class AppPage:
    """A dataset, opened in the App."""

    def __init__(self, page: Page, url: str, dataset: str) -> None:
        self.page = page
        page.goto(f"{url}/datasets/{dataset}")
        expect(self.images.first).to_be_visible(timeout=90 * SECONDS)

    @property
    def images(self) -> Locator:
        """The images in the grid."""
        return self.page.locator("[data-cy=looker]")

    @property
    def text(self) -> Locator:
        """The text under review."""
        return self.page.locator("textarea:visible").first

    @property
    def label(self) -> Locator:
        """The label under review: the first line to write on in the panel."""
        panel = self.page.locator("[data-cy=panel-content-review_regions]:visible")
        return panel.locator("input").first

    def browse_to(self, operator: str) -> None:
        """Open an operator's form from the operator browser."""
        self.page.keyboard.press("`")
        self.page.get_by_placeholder(re.compile("Search operations")).fill(operator)
        self.page.get_by_text(operator, exact=True).first.click()

    def open_from_button(self, operator: str) -> None:
        """Open an operator's form by its button above the grid."""
        self.page.locator(f"[data-item-id='{_PLUGIN}/{operator}']").first.click()

    def press(self, button: str) -> None:
        self.page.get_by_role("button", name=button, exact=True).first.click()

    def press_in_panel(self, button: str) -> None:
        """Press a button of the review panel, wherever it is open."""
        panel = self.page.locator("[data-cy=panel-content-review_regions]:visible")
        panel.get_by_role("button", name=button, exact=True).click()

    def schedule(self) -> None:
        """Leave the form that is open to a worker."""
        # The arrow beside "Run" has no name.
        self.page.locator("[role=dialog] button").last.click()
        self.page.get_by_text("Schedule", exact=True).first.click()
        button = self.page.get_by_role("button", name="Schedule", exact=True)
        if button.count():
            button.first.click()

    def wait_for_end(self, sentence: str) -> None:
        """Wait for a run's last message, and close its progress."""
        expect(self.page.get_by_text(sentence).first).to_be_visible(timeout=90 * SECONDS)
        self.page.keyboard.press("Escape")
        expect(self.page.get_by_role("dialog")).to_have_count(0)

    def open_sample(self) -> None:
        """Open the first image of the grid."""
        shown = self.images.first.bounding_box()
        assert shown is not None
        # Where the grid is narrow, the box that selects an image reaches to its middle.
        x, y = 0.9 * shown["width"], 0.9 * shown["height"]
        self.images.first.click(position={"x": x, "y": y})
        expect(self.page.locator("[data-cy=modal-looker-container] canvas").first).to_be_visible()
        # The image is decoded after the canvas is there, and says nothing when it is drawn.
        self.page.wait_for_timeout(2 * SECONDS)

    def close_sample(self) -> None:
        """Close the open sample, by a click beside it."""
        self.page.mouse.click(5, 400)
        expect(self.page.locator("[data-cy=modal-looker-container]")).to_have_count(0)

    def show_on_labels(self, field: str, attribute: str) -> None:
        """Have an attribute drawn on each label of the open sample, in the place of its class."""
        sample = self.page.locator("[data-cy=modal]")
        sample.locator(f"[data-cy='sidebar-field-arrow-enabled-{field}']").first.click()
        sample.locator(f"[data-cy='shown-attribute-{field}.detections.{attribute}']").click()
        shown = self.page.locator("[data-cy=modal-looker-container]").bounding_box()
        assert shown is not None
        # Over the image, else it is dimmed, and beside its labels, else one has a tooltip.
        self.page.mouse.move(shown["x"] + 4, shown["y"] + shown["height"] / 3)
        self.page.wait_for_timeout(1 * SECONDS)  # the labels are drawn anew

    def move_to(self, box: list[float], size: tuple[int, int]) -> tuple[float, float]:
        """Move the mouse into a region of the open sample.

        Args:
            box: FiftyOne's: x, y, width, height as parts of the image's.
            size: of the image, in pixels.
        """
        shown = self.page.locator("[data-cy=modal-looker-container]").bounding_box()
        assert shown is not None
        width, height = size
        scale = min(shown["width"] / width, shown["height"] / height)
        x = shown["x"] + shown["width"] / 2 + (box[0] + box[2] / 2 - 0.5) * width * scale
        y = shown["y"] + shown["height"] / 2 + (box[1] + box[3] / 2 - 0.5) * height * scale
        self.page.mouse.move(x - 2, y)
        self.page.mouse.move(x, y)
        return x, y

    def press_in_sample(self) -> None:
        """Press the plugin's button above the open sample; the App gives it an icon, no name."""
        self.page.locator("[data-cy=modal] img[src*='/plugins/']").first.click()

    def open_panel(self, title: str) -> None:
        """Open a panel beside the grid or the open sample, if the App's server does not by itself.

        It remembers the panels of the page before.
        """
        if self.page.locator("[data-cy=panel-tab-review_regions]:visible").count():
            return
        self.page.locator("[data-cy=new-panel-btn]:visible").last.click()
        self.page.get_by_text(title, exact=True).last.click()

    def show_panel(self) -> None:
        """Bring the review panel to the front: beside an open sample it opens behind it."""
        self.page.locator("[data-cy=panel-tab-review_regions]:visible").click()

    def wait_for_panel(self) -> None:
        """Wait until the panel's last event is over: the App may drop what is typed meanwhile."""
        tab = self.page.locator("[data-cy=panel-tab-review_regions]:visible")
        expect(tab.get_by_role("progressbar")).to_have_count(0)

    def screenshot(self, name: str) -> Path:
        """Keep what is to be seen now as `out/e2e/fiftyone-NAME.png`."""
        path = ARTEFACTS / f"fiftyone-{name}.png"
        self.page.screenshot(path=path, animations="disabled")
        return path
