""""""

from __future__ import annotations

import base64
import io

from PIL import Image

from fiftyone_plugin import register
from fiftyone_plugin.review.panel import ReviewPanel
from tests.fiftyone_plugin.review.app_panel import CAPTION, verdicts


def test_the_panel_opens_with_the_first_region_its_texts_and_its_image(app, dataset):
    first = dataset.first().ground_truth.detections[0]
    assert app.state["subject"] == {
        "field": "ground_truth",
        "text": "caption",
        "model_label": "pam_label",
        "score": "pam_score",
    }
    assert (app.state["text"], app.state["name"]) == ("thing 0", first.label)
    assert app.state["item"]["label_id"] == first.id
    assert app.state["item"]["score"] == 0.5
    code = app.data["image"].removeprefix("data:image/jpeg;base64,")
    assert max(Image.open(io.BytesIO(base64.b64decode(code))).size) <= 480
    assert app.buttons == {"accept", "reject", "skip", "back", "open"}
    assert {"image", "name", "text", "model_label", "accept_all"} <= set(app.form)


def test_the_first_line_says_how_far_the_review_is(app, dataset):
    total = dataset.count(CAPTION)
    app.send("accept")
    assert f"**1 of {total} reviewed** · 1 accepted" in app.form["facts"]["default"]
    assert "score 0.50" in app.form["facts"]["default"]


def test_accept_writes_the_verdict_and_goes_on(app, dataset):
    app.send("accept")
    assert verdicts(dataset)["accepted"] == 1
    assert app.state["text"] == "thing 1"
    assert app.operations("reload_dataset")
    app.send("accept")
    assert verdicts(dataset)["accepted"] == 2
    # Nothing changed that the App draws on images.
    assert not app.operations("reload_samples")
    assert not app.operations("reload_dataset")
    app.fill(text="a person's words")
    app.send("accept")
    assert app.operations("reload_samples")


def test_accept_writes_what_was_typed(app, dataset):
    app.fill(text="a person's words")
    app.send("accept")
    assert dataset.first().ground_truth.detections[0]["caption"] == "a person's words"
    assert verdicts(dataset)["edited"] == 1


def test_reject_marks_the_region_and_keeps_its_text(app, dataset):
    app.send("reject")
    label = dataset.first().ground_truth.detections[0]
    assert (label["caption"], label["caption_reviewed"]) == ("thing 0", "rejected")


def test_the_models_label_is_taken_on_request(app, dataset):
    app.send("use_model_label")
    assert app.state["name"] == "zebra"
    app.send("accept")
    assert dataset.first().ground_truth.detections[0].label == "zebra"
    assert "model_label" not in app.form


def test_next_leaves_the_region_as_it_is(app, dataset):
    app.send("skip")
    assert app.state["text"] == "thing 1"
    assert verdicts(dataset) == {}


def test_next_drops_what_was_typed_only_when_asked_twice(app, dataset):
    app.fill(text="typed in vain")
    app.send("skip")
    [told] = app.operations("notify")
    assert "press Next again" in told["message"]
    assert app.state["text"] == "typed in vain"
    app.send("skip")
    assert app.state["text"] == "thing 1"
    assert dataset.first().ground_truth.detections[0]["caption"] == "thing 0"


def test_back_shows_the_region_before_with_its_verdict(app, dataset):
    app.send("reject")
    app.send("go_back")
    assert app.state["text"] == "thing 0"
    assert "this one: **rejected**" in app.form["facts"]["default"]
    app.send("accept")
    assert verdicts(dataset) == {"accepted": 1, None: dataset.count(CAPTION) - 1}
    app.send("go_back")
    app.send("go_back")
    [told] = app.operations("notify")
    assert "first region" in told["message"]


def test_the_sample_is_opened_with_its_region_selected(app, dataset):
    app.send("open_sample")
    first = dataset.first()
    assert app.operations("open_sample")[0]["id"] == first.id
    [selected] = app.operations("set_selected_labels")[0]["labels"]
    assert selected["label_id"] == first.ground_truth.detections[0].id
    assert (selected["sample_id"], selected["field"]) == (first.id, "ground_truth")


def test_what_is_wrong_is_told_and_nothing_written(app, dataset):
    app.fill(text="  ")
    app.send("accept")
    [told] = app.operations("notify")
    assert told["variant"] == "error"
    assert "An empty text" in told["message"]
    assert app.state["item"]["text"] == "thing 0"
    assert verdicts(dataset) == {}


def test_the_panel_is_registered_for_grid_and_modal():
    registered = []
    register(type("Plugin", (), {"register": staticmethod(registered.append)}))
    assert ReviewPanel in registered
    assert ReviewPanel().config.surfaces == "grid modal"
    assert ReviewPanel().config.name == "review_regions"
