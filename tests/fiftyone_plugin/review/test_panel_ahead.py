"""The review panel: fetched ahead, all shown accepted, keys, and others who edit."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

from fiftyone_plugin.review import ahead
from fiftyone_plugin.review.panel import ReviewPanel
from fiftyone_plugin.review.queue import ReviewQueue
from tests.fiftyone_plugin.review.app_panel import CAPTION, AppPanel, verdicts


def test_a_step_reads_no_queue_and_draws_no_image_but_ahead(app, dataset, monkeypatch):
    read = []

    def recorded(function):
        def call(*given, **named):
            read.append((function.__name__, threading.current_thread()))
            return function(*given, **named)

        return call

    for name in ("after", "ahead", "tally"):
        monkeypatch.setattr(ReviewQueue, name, recorded(getattr(ReviewQueue, name)))
    monkeypatch.setattr(ahead, "draw", recorded(ahead.draw))
    labels = dataset.values("ground_truth.detections.id", unwind=True)
    shown = [app.state["item"]["label_id"]]
    for _, event in zip(labels[1:], itertools.cycle(["accept", "reject", "skip"]), strict=False):
        app.send(event)
        shown.append(app.state["item"]["label_id"])
    assert shown == labels
    assert {name for name, _ in read} <= {"ahead", "draw"}
    assert threading.current_thread() not in [thread for _, thread in read]
    # One read for many steps.
    assert len([name for name, _ in read if name == "ahead"]) <= 2


def test_all_that_is_shown_is_accepted_only_when_asked_twice(app, dataset):
    total = dataset.count(CAPTION)
    app.send("reject")
    app.fill(text="a person's words")
    app.send("accept")
    app.send("accept_all")
    [told] = app.operations("notify")
    assert f"accepts the texts of {total - 2} regions as they are" in told["message"]
    assert verdicts(dataset) == {"rejected": 1, "edited": 1, None: total - 2}
    app.send("accept_all")
    assert verdicts(dataset) == {"rejected": 1, "edited": 1, "accepted": total - 2}
    assert app.state["item"] is None
    assert app.state["progress"]["text"] == f"{total} of {total} reviewed"
    app.send("accept_all")
    assert "No region" in app.operations("notify")[0]["message"]


def test_all_that_is_shown_is_what_passes_the_filters(app, dataset):
    app.fill(filters__disagreeing=True)
    app.send("change_filters")
    app.send("accept_all")
    app.send("accept_all")
    assert verdicts(dataset)["accepted"] == 1


def test_beside_an_open_sample_all_that_is_shown_is_of_that_sample(dataset):
    last = dataset.last()
    app = AppPanel(dataset.view(), current_sample=last.id)
    app.send("accept_all")
    assert "of this sample" in app.operations("notify")[0]["message"]
    app.send("accept_all")
    assert verdicts(dataset)["accepted"] == len(last.ground_truth.detections)


def test_a_step_after_going_on_asks_again_before_all_is_accepted(app, dataset):
    app.send("accept_all")
    app.send("skip")
    app.send("accept_all")
    assert verdicts(dataset) == {}


def test_a_text_that_somebody_else_changed_is_shown_and_not_overwritten(app, dataset):
    first = app.state["item"]["label_id"]
    dataset.set_label_values(CAPTION, {first: "somebody else's words"})
    app.send("accept")
    assert "Somebody changed" in app.operations("notify")[0]["message"]
    assert app.state["text"] == "somebody else's words"
    assert verdicts(dataset) == {}
    app.send("accept")
    assert verdicts(dataset)["accepted"] == 1
    assert dataset.first().ground_truth.detections[0]["caption"] == "somebody else's words"


def test_going_back_to_an_edited_text_shows_it_and_accepts_it(app, dataset):
    app.fill(text="a person's words")
    app.send("accept")
    app.send("go_back")
    assert app.state["text"] == "a person's words"
    app.send("accept")
    assert app.state["text"] == "thing 1"
    assert app.state["progress"]["text"] == f"1 of {dataset.count(CAPTION)} reviewed"


def test_another_text_of_the_regions_is_not_reviewed(app, dataset):
    app.send("accept")
    app.fill(subject__text="pam_label")
    app.send("change_filters")
    total = dataset.count(CAPTION)
    assert app.state["progress"]["text"] == f"0 of {total} reviewed"
    assert "caption_reviewed" not in app.state["fields"]["ground_truth"][0]


def test_keys_do_what_buttons_do(app):
    methods = app.form["keys"]["view"]["methods"]
    assert {key: uri.rpartition("#")[2] for key, uri in methods.items()} == {
        "a": "accept",
        "r": "reject",
        "n": "skip",
        "b": "go_back",
    }
    assert all(hasattr(ReviewPanel, uri.rpartition("#")[2]) for uri in methods.values())
    script = Path(__file__).parents[3] / "fiftyone_plugin" / "assets" / "review_keys.js"
    assert f'name: "{app.form["keys"]["view"]["component"]}"' in script.read_text()
