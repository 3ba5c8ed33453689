"""What a curator does in the App, and what is in the database after it."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.e2e.fiftyone.conftest import eventually
from tests.e2e.fiftyone.pages import SECONDS

CAPTION = "ground_truth.detections.caption"


def captions(dataset):
    """The captions there are."""
    if dataset.get_field(CAPTION) is None:
        return []
    return [text for text in dataset.values(CAPTION, unwind=True) if text]


def contents(dataset):
    """All that the dataset holds, but for the time of its last change."""
    dataset.reload()
    fields = {path: str(field) for path, field in dataset.get_field_schema(flat=True).items()}
    samples = [sample.to_dict() for sample in dataset.iter_samples()]
    for sample in samples:
        del sample["last_modified_at"]
    return fields, samples


def test_regions_are_captioned_from_the_operator_browser_and_the_run_is_undone(scenes, opened):
    dataset = scenes("captions", 12, 8, 18, 22, 19, 5)
    before = contents(dataset)
    regions = dataset.count("ground_truth.detections")
    app = opened(dataset)
    app.browse_to("PAM: Caption regions")
    expect(app.page.get_by_text(f"{regions} regions in 6 pictures.")).to_be_visible()
    app.screenshot("caption-form")
    app.press("Run")
    eventually(dataset, lambda: len(captions(dataset)) == regions)
    expect(app.page.get_by_text("regions written")).to_be_visible(timeout=30 * SECONDS)
    app.screenshot("captioned")

    app.browse_to("PAM: Undo a run")
    app.press("Undo")
    eventually(dataset, lambda: not captions(dataset))
    expect(app.page.get_by_text("is undone")).to_be_visible(timeout=30 * SECONDS)
    assert contents(dataset) == before


def test_the_button_above_the_grid_schedules_a_run_for_a_worker(scenes, opened, worker):
    dataset = scenes("scheduled", 1, 2)
    regions = dataset.count("ground_truth.detections")
    app = opened(dataset)
    app.press("Caption regions")
    expect(app.page.get_by_text(f"{regions} regions in 2 pictures.")).to_be_visible()
    app.page.screenshot(path="/tmp/panel/form.png")
    app.page.get_by_label("Schedule").click()
