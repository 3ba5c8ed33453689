"""A curator's actions in the App, and their effects in the database."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.e2e.fiftyone.conftest import eventually
from tests.e2e.fiftyone.pages import SECONDS

CAPTION = "ground_truth.detections.caption"
VERDICT = "ground_truth.detections.caption_reviewed"


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
    expect(app.page.get_by_text(f"{regions} regions in 6 images.")).to_be_visible()
    app.screenshot("form")
    app.page.get_by_label("In the dataset").check()
    app.press("Run")
    app.wait_for_end(f"{regions} regions written")
    eventually(dataset, lambda: len(captions(dataset)) == regions)
    first = dataset.first().ground_truth.detections[0]
    assert first.label in first["caption"]
    assert first.mask.any()

    app.open_sample()
    app.show_on_labels("ground_truth", "caption")
    # The test cannot read the canvas, but the sidebar lists the same.
    expect(app.page.get_by_text(first["caption"], exact=True).first).to_be_visible()
    app.screenshot("sample")
    app.close_sample()

    app.browse_to("PAM: Undo a run")
    app.press("Undo")
    app.wait_for_end("is undone")
    assert contents(dataset) == before


def test_a_run_outlives_its_page_and_is_stopped_in_the_panel_of_runs(scenes, opened):
    from fiftyone_plugin.runs.records import list_runs

    dataset = scenes("stopped", *range(1, 9))
    app = opened(dataset)
    app.browse_to("PAM: Find regions")
    expect(app.page.get_by_text("Everything in 8 images will be looked for.")).to_be_visible()
    app.page.locator("[role=dialog] input[type=number]").first.fill("16")  # clicks along a side
    app.page.wait_for_timeout(1 * SECONDS)  # the form is drawn anew
    app.press("Run")
    expect(app.page.get_by_text("Find regions: everything")).to_be_visible()
    expect(app.page.get_by_role("dialog")).to_have_count(0)
    app.page.reload()
    expect(app.page.get_by_text("Find regions: everything")).to_be_visible()
    app.screenshot("runs")
    app.press("Stop")
    stopped = app.page.get_by_text(re.compile("stopped, [0-9]+ regions? found"))
    expect(stopped).to_be_visible(timeout=90 * SECONDS)
    (record,) = list_runs(dataset)
    assert (record.state, record.reason) == ("interrupted", "It was stopped.")
    assert record.counts.samples < 8

    app.browse_to("PAM: Find regions")
    expect(app.page.get_by_text("Continue everything: the run of")).to_be_visible()


def test_a_dataset_without_labels_is_led_to_find_regions(scenes, opened):
    dataset = scenes("bare", 1)
    dataset.delete_sample_field("ground_truth")
    app = opened(dataset)
    app.browse_to("PAM: Caption regions")
    expect(app.page.get_by_text("There are no labels here yet.")).to_be_visible()
    app.screenshot("no-labels")
    app.page.get_by_role("dialog").get_by_role("button", name="Find regions").click()
    expect(app.page.get_by_text("Everything in 1 image will be looked for.")).to_be_visible()
    expect(app.page.get_by_role("button", name="Run", exact=True).first).to_be_enabled()
    app.page.keyboard.press("Escape")
    expect(app.page.get_by_role("dialog")).to_have_count(0)
    app.open_from_button("find_regions")
    expect(app.page.get_by_text("Everything in 1 image will be looked for.")).to_be_visible()


def test_the_button_above_the_grid_leaves_a_run_to_a_worker(scenes, opened, worker):
    dataset = scenes("scheduled", 1, 2)
    regions = dataset.count("ground_truth.detections")
    app = opened(dataset)
    app.open_from_button("caption_regions")
    expect(app.page.get_by_text(f"{regions} regions in 2 images.")).to_be_visible()
    app.schedule()
    app.screenshot("scheduled")
    eventually(dataset, lambda: len(captions(dataset)) == regions, seconds=120)
    assert "caption_regions" in worker.log.read_text()


def test_the_selected_labels_of_the_open_sample_are_captioned_in_one_click(scenes, opened):
    dataset = scenes("selected", 12)
    label = dataset.first().ground_truth.detections[0]
    size = (dataset.first().metadata.width, dataset.first().metadata.height)
    app = opened(dataset)
    app.open_sample()
    app.page.mouse.click(*app.move_to(label.bounding_box, size))
    app.screenshot("selected")
    app.press_in_sample()
    said = app.page.get_by_text(re.compile('1 region written[.] ".+"')).first
    expect(said).to_be_visible(timeout=90 * SECONDS)
    told = said.text_content()
    eventually(dataset, lambda: bool(captions(dataset)))
    found = dataset.first().ground_truth.detections
    assert [one.id for one in found if one.has_field("caption") and one["caption"]] == [label.id]
    assert label.label in found[0]["caption"]
    assert told is not None
    assert f'"{found[0]["caption"]}"' in told


@pytest.fixture
def captioned(scenes):
    """Captioned from Python, as in a notebook, with a label that is wrong."""
    import fiftyone.operators as foo

    dataset = scenes("review", 8, 12, 18, 22)
    wrong = dataset.first().ground_truth.detections[0].id
    dataset.set_label_values("ground_truth.detections.label", {wrong: "banana"})
    caption = foo.get_operator("@pam-labeling/pam/caption_regions")
    classes = ["circle", "cross", "crescent", "heart", "star", "square", "triangle", "hexagon"]
    words = {"brief": "caption", "classes": classes, "score": "pam_score"}
    record = caption(dataset, field="ground_truth", mask="instance", progress=False, **words)
    assert record["counts"]["regions"] == dataset.count("ground_truth.detections")
    return dataset


def test_the_panel_beside_an_open_sample_reviews_its_regions(captioned, opened):
    first, *_ = captioned.sort_by("id").first().ground_truth.detections
    regions = captioned.count("ground_truth.detections")
    app = opened(captioned)
    app.open_sample()
    app.open_panel("Review regions")
    app.show_panel()
    expect(app.text).to_have_value(first["caption"])
    expect(app.page.get_by_alt_text("The region")).to_be_visible()
    app.wait_for_panel()
    app.screenshot("review-in-sample")
    app.press_in_panel("Reject")
    expect(app.page.get_by_text(f"1 of {regions} reviewed")).to_be_visible()
    app.close_sample()  # the App's server remembers it
    captioned.reload()
    kept = captioned.select_labels(ids=[first.id]).first().ground_truth.detections[0]
    assert kept["caption_reviewed"] == "rejected"
    assert captioned.count_values(VERDICT) == {"rejected": 1, None: regions - 1}


def test_captions_are_edited_accepted_and_rejected_in_the_panel(captioned, opened):
    first, second, third, *_ = (
        label
        for sample in captioned.sort_by("id").limit(2)
        for label in sample.ground_truth.detections
    )
    regions = captioned.count("ground_truth.detections")
    app = opened(captioned)
    app.open_panel("Review regions")
    expect(app.page.get_by_text(f"0 of {regions} reviewed")).to_be_visible()
    expect(app.text).to_have_value(first["caption"])
    expect(app.page.get_by_alt_text("The region")).to_be_visible()
    app.page.get_by_text(f"The model calls it {first['pam_label']}").click()
    expect(app.label).to_have_value(first["pam_label"])
    app.wait_for_panel()
    app.text.fill("a yellow heart, tilted to the left")
    app.screenshot("review")
    app.press("Accept")
    expect(app.text).to_have_value(second["caption"])
    expect(app.page.get_by_text(f"1 of {regions} reviewed")).to_be_visible()
    app.wait_for_panel()
    app.press("Next")
    expect(app.text).to_have_value(third["caption"])
    app.wait_for_panel()
    app.press("Reject")
    expect(app.page.get_by_text(f"2 of {regions} reviewed")).to_be_visible()

    captioned.reload()
    kept = captioned.select_labels(ids=[first.id]).first().ground_truth.detections[0]
    assert kept["caption"] == "a yellow heart, tilted to the left"
    assert kept.label == first["pam_label"]
    assert captioned.count_values(VERDICT) == {"edited": 1, "rejected": 1, None: regions - 2}


def test_keys_review_as_the_buttons_do_and_all_that_is_left_is_accepted(captioned, opened):
    labels = captioned.sort_by("id").values("ground_truth.detections", unwind=True)
    app = opened(captioned)
    app.open_panel("Review regions")
    expect(app.text).to_have_value(labels[0]["caption"])
    app.wait_for_panel()
    app.page.get_by_alt_text("The region").click()  # the keys are those of the panel
    for number, key in enumerate(["a", "r", "n"]):
        app.page.keyboard.press(key)
        expect(app.text).to_have_value(labels[number + 1]["caption"])
        app.wait_for_panel()
    app.screenshot("review-keys")
    app.page.keyboard.press("b")
    expect(app.text).to_have_value(labels[2]["caption"])
    app.wait_for_panel()
    app.page.keyboard.press("e")
    app.page.keyboard.type("a bar, not a ring")  # these letters are no commands here
    app.page.keyboard.press("Escape")
    app.wait_for_panel()
    app.page.keyboard.press("a")
    expect(app.page.get_by_text(f"3 of {len(labels)} reviewed")).to_be_visible()
    captioned.reload()
    found = captioned.sort_by("id").values("ground_truth.detections", unwind=True)
    assert [one["caption_reviewed"] for one in found[:3]] == ["accepted", "rejected", "edited"]
    assert found[2]["caption"] == "a bar, not a ring"

    app.wait_for_panel()
    for _ in range(2):
        app.press("Accept all shown")
        app.wait_for_panel()
    expect(app.page.get_by_text(f"{len(labels)} of {len(labels)} reviewed")).to_be_visible()
    captioned.reload()
    assert captioned.count_values(VERDICT)["accepted"] == len(labels) - 2


def test_the_filter_of_disagreements_shows_only_those(captioned, opened):
    labels = captioned.sort_by("id").values("ground_truth.detections", unwind=True)
    disagreeing = [one for one in labels if one["pam_label"] not in (None, one.label)]
    assert 0 < len(disagreeing) < len(labels)
    app = opened(captioned)
    app.open_panel("Review regions")
    expect(app.page.get_by_text(f"0 of {len(labels)} reviewed")).to_be_visible()
    app.wait_for_panel()
    app.page.get_by_label("Labels disagree").check()
    expect(app.page.get_by_text(f"0 of {len(disagreeing)} reviewed")).to_be_visible()
    for label in disagreeing:
        expect(app.text).to_have_value(label["caption"])
        app.wait_for_panel()
        app.press("Accept")
    expect(app.page.get_by_text("No region that matches the filters is left")).to_be_visible()
    app.screenshot("review-filtered")
    captioned.reload()
    found = captioned.values("ground_truth.detections", unwind=True)
    accepted = {
        label.id for label in found if getattr(label, "caption_reviewed", None) == "accepted"
    }
    assert accepted == {label.id for label in disagreeing}
