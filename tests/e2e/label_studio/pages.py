"""Pages of Label Studio as an annotator uses them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import expect

from tests.e2e.label_studio.servers import ARTEFACTS, PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Locator, Page, Response

    from tests.e2e.label_studio.api import Project

Tool = Literal["key-point", "rectangle", "rectangle-3-point"]
_EDGE = 12  # pixels along the image's border where Label Studio begins no rectangle
_ACCEPT = "[data-testid=bottombar-accept-suggestions-button]"


def log_in(page: Page, url: str) -> None:
    page.goto(f"{url}/user/login/")
    page.fill("input[name=email]", USER)
    page.fill("input[name=password]", PASSWORD)
    page.click("button[type=submit]")
    page.wait_for_url(lambda address: "/login" not in address)


def screenshot(page: Page, name: str) -> Path:
    """Keep what is to be seen now as `out/e2e/NAME.png`."""
    page.wait_for_timeout(500)  # until menus and the bar of suggestions are where they belong
    path = ARTEFACTS / f"{name}.png"
    page.screenshot(path=path, animations="disabled")
    return path


class LabelingPage:
    """A task, opened for labelling. Places are pixels of the upright image."""

    def __init__(self, page: Page, project: Project, task: int, size: tuple[int, int]) -> None:
        self.page, self._size = page, size
        page.goto(f"{project.url}/data?task={task}")
        expect(self.image).to_be_visible()
        expect(self.submit_button).to_be_enabled()

    @property
    def image(self) -> Locator:
        return self.page.locator("img[alt=image]")

    @property
    def submit_button(self) -> Locator:
        return self.page.locator(
            "[data-testid=bottombar-submit-button], [data-testid=bottombar-update-button]"
        ).first

    @property
    def regions(self) -> Locator:
        """The rows of the region list."""
        return self.page.locator(".lsf-outliner-item")

    def text(self, region: int, row: int) -> Locator:
        """One text of a region in the list, both counted from 0."""
        item = self.regions.nth(region)
        return item.locator("[data-testid=textarea-region-textarea]").nth(row)

    def switch_auto_annotation_on(self) -> None:
        # Label Studio remembers it from the last task.
        switch = self.page.get_by_role("checkbox", name="Auto-Annotation")
        if not switch.is_checked():
            self.page.get_by_text("Auto-Annotation", exact=True).click()
        expect(self.page.locator(".lsf-tool_smart").first).to_be_visible()

    @property
    def toolbar(self) -> Locator:
        return self.page.locator(".lsf-toolbar")

    def choose(self, tool: Tool) -> None:
        """Choose a smart tool."""
        self.page.locator(".lsf-tool_smart").first.hover()
        self.page.click(f".lsf-toolbar__smart [aria-label={tool}-tool]")

    def take(self, label: str, row: int = 0) -> None:
        """Take a label of a row that is to be seen; of a selected region, it changes the label."""
        labels = self.page.locator(".lsf-labels:visible").nth(row)
        labels.locator(f'.lsf-label:has(:text-is("{label}"))').click()

    def click(self, x: float, y: float, *keys: Literal["Alt", "Control"]) -> None:
        """Click, perhaps with keys held down, and wait for the backend's answer."""
        with self._answered():
            self.click_only(x, y, *keys)

    def click_only(self, x: float, y: float, *keys: Literal["Alt", "Control"]) -> None:
        """Click without waiting for an answer."""
        for key in keys:
            self.page.keyboard.down(key)
        self.page.mouse.click(*self._on_screen(x, y))
        for key in keys:
            self.page.keyboard.up(key)

    def drag(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Draw a rectangle and wait for the backend's answer."""
        width, height = self._size
        x1, y1 = max(x1, _EDGE), max(y1, _EDGE)
        x2, y2 = min(x2, width - _EDGE), min(y2, height - _EDGE)
        with self._answered():
            self.page.mouse.move(*self._on_screen(x1, y1))
            self.page.mouse.down()
            self.page.mouse.move(*self._on_screen((x1 + x2) / 2, (y1 + y2) / 2))
            self.page.mouse.move(*self._on_screen(x2, y2))
            self.page.mouse.up()

    def paint(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Draw a stroke with the tool in use, which the backend does not see."""
        self.page.mouse.move(*self._on_screen(*start))
        self.page.mouse.down()
        self.page.mouse.move(*self._on_screen(*end), steps=5)
        self.page.mouse.up()

    def draw_by_three_points(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """Click on three corners of a rectangle and wait for the backend's answer."""
        with self._answered():
            for x, y in ((x1, y1), (x2, y1), (x2, y2)):
                self.page.mouse.move(*self._on_screen(x, y), steps=4)
                self.page.mouse.click(*self._on_screen(x, y))

    def accept(self) -> None:
        self.page.click(_ACCEPT)
        expect(self.page.locator(_ACCEPT)).to_be_hidden()

    def write_text(self, region: int, row: int, text: str) -> None:
        field = self.text(region, row)
        field.fill(text)
        field.press("Enter")

    def submit(self) -> Response:
        """Submit, or update, and return Label Studio's answer."""
        with self.page.expect_response(
            lambda answer: "/annotations" in answer.url and answer.request.method != "GET"
        ) as answer:
            self.submit_button.click()
        return answer.value

    def _on_screen(self, x: float, y: float) -> tuple[float, float]:
        self.image.scroll_into_view_if_needed()
        box = self.image.bounding_box()
        assert box is not None
        width, height = self._size
        return box["x"] + x / width * box["width"], box["y"] + y / height * box["height"]

    @contextmanager
    def _answered(self) -> Iterator[None]:
        with self.page.expect_response(lambda answer: "/interactive-annotating" in answer.url):
            yield
        expect(self.page.locator(_ACCEPT)).to_be_visible()


class ModelSettings:
    """Settings > Model of a project."""

    def __init__(self, page: Page, project: Project) -> None:
        self.page = page
        page.goto(f"{project.url}/settings/ml")

    def expect_state(self, state: str) -> None:
        """Wait for a state such as "Connected" or "Error"."""
        expect(self.page.get_by_text(state, exact=True)).to_be_visible()

    def fill_form(self, name: str, url: str, user: str, password: str) -> None:
        """Open the form for the project's first backend and fill it in."""
        self.page.get_by_role("button", name="Add machine learning model").click()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Backend URL").fill(url)
        self.page.get_by_role("button", name="Select authentication method").click()
        self.page.get_by_role("option", name="Basic Authentication").click()
        self.page.get_by_label("Basic auth user").fill(user)
        self.page.get_by_label("Basic auth pass").fill(password)
        self.page.get_by_text("Interactive preannotations").click()

    def reopen_form(self) -> None:
        """Open the form that the backend was connected with."""
        self.page.click("[aria-label='Machine learning model options']")
        self.page.get_by_text("Edit", exact=True).click()
        expect(self.page.get_by_text("Edit Model")).to_be_visible()

    def validate_and_save(self) -> None:
        self.page.get_by_text("Validate and Save").click()
