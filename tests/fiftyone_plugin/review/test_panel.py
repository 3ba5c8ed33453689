"""The review panel as the App talks to it: events in, state and operations out."""

from __future__ import annotations

import base64
import io
import itertools
import threading
from pathlib import Path

import fiftyone as fo
import fiftyone.operators as foo
import numpy as np
import pydash
import pytest
from PIL import Image

from fiftyone_plugin import register
from fiftyone_plugin.review import ahead
from fiftyone_plugin.review.panel import ReviewPanel
from fiftyone_plugin.review.queue import ReviewQueue

CAPTION = "ground_truth.detections.caption"


class AppPanel:
    """A panel that is open in an App: keeps the state as the App does."""

    def __init__(self, view, current_sample=None):
        self.view = view
        self.current_sample = current_sample
        self.state = {}
        self.data = {}
        self.triggered = []
        self._panel = ReviewPanel()
        self.send("on_load")

    def send(self, event, **params):
        """An event with the parameters that the App sends along."""
        executor = foo.executor.Executor()
        request = {
            "dataset_name": self.view._root_dataset.name,
            "view": self.view._serialize(),
            "current_sample": self.current_sample,
            "params": {
                "panel_id": "one",
                "panel_state": pydash.clone_deep(self.state),
                "__method__": event,
                **params,
            },
        }
        self._panel.execute(foo.ExecutionContext(request, executor))
        requests = executor.to_json()["requests"]
        self.triggered = [(one["operator_uri"], one["params"]) for one in requests]
        for name, told in self.triggered:
            kept = {"patch_panel_state": self.state, "patch_panel_data": self.data}.get(name, {})
            for key, value in (told.get("state") or told.get("data") or {}).items():
                pydash.set_(kept, key, value)

    def fill(self, **fields):
        """Type into fields or choose, where nothing listens."""
        for path, value in fields.items():
            pydash.set_(self.state, path.replace("__", "."), value)

    def operations(self, name):
        return [params for called, params in self.triggered if called == name]

    @property
    def form(self):
        """The names of what is shown, down to the single part."""
        [shown] = self.operations("show_panel_output")
        return shown["output"]["type"]["properties"]

    @property
    def buttons(self):
        return set(self.form["buttons"]["type"]["properties"])


@pytest.fixture
def dataset(scene_dataset):
    dataset = scene_dataset(0, 1)
    labels = [label for sample in dataset for label in sample.ground_truth.detections]
    for name, kind, values in (
        ("caption", fo.StringField, [f"thing {number}" for number in range(len(labels))]),
        ("pam_label", fo.StringField, ["zebra", *(label.label for label in labels[1:])]),
        ("pam_score", fo.FloatField, [0.5] * len(labels)),
    ):
        path = f"ground_truth.detections.{name}"
        dataset.add_sample_field(path, kind)
        found = dict(zip((label.id for label in labels), values, strict=True))
        dataset.set_label_values(path, found)
    return dataset


@pytest.fixture
def app(dataset):
    return AppPanel(dataset.view())


def verdicts(dataset):
    if dataset.get_field("ground_truth.detections.caption_reviewed") is None:
        return {}
    return dataset.count_values("ground_truth.detections.caption_reviewed")


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


def test_beside_an_open_sample_its_regions_come_first_and_the_next_sample_is_opened(dataset):
    last = dataset.last()
    app = AppPanel(dataset.view(), current_sample=last.id)
    assert app.state["item"]["sample_id"] == last.id
    for _ in last.ground_truth.detections:
        assert not app.operations("open_sample")
        app.send("accept")
    assert app.operations("open_sample")[0]["id"] == dataset.first().id
    assert app.state["item"]["sample_id"] == dataset.first().id


def test_the_panel_follows_the_sample_that_a_person_opens(dataset):
    app = AppPanel(dataset.view(), current_sample=dataset.first().id)
    app.send("skip")
    app.send("on_change_current_sample")
    assert app.state["text"] == "thing 1"
    app.current_sample = dataset.last().id
    app.send("on_change_current_sample")
    assert app.state["item"]["sample_id"] == dataset.last().id


def test_filters_change_what_is_shown(app, dataset):
    app.fill(filters__disagreeing=True)
    app.send("change_filters")
    assert app.state["progress"]["text"] == "0 of 1 reviewed"
    app.send("reject")
    assert app.state["item"] is None
    assert "done" in app.form
    app.fill(filters__disagreeing=False, filters__below=0.4)
    app.send("change_filters")
    assert app.state["progress"]["text"] == "0 of 0 reviewed"
    app.fill(filters__below=None, filters__show="rejected")
    app.send("change_filters")
    assert app.state["text"] == "thing 0"


@pytest.mark.parametrize("event", ["on_change_view", "on_change_dataset"])
def test_a_view_without_the_region_starts_anew(app, dataset, event):
    app.view = dataset.select(dataset.last().id)
    app.send(event)
    assert app.state["item"]["sample_id"] == dataset.last().id
    assert app.state["subject"]["text"] == "caption"


def test_what_was_typed_stays_while_the_view_has_the_region(app, dataset):
    app.send("use_model_label")
    app.fill(text="as I see it")
    total = dataset.count("ground_truth.detections")
    app.view = dataset.select(dataset.first().id)
    app.send("on_change_view")
    assert (app.state["text"], app.state["name"]) == ("as I see it", "zebra")
    shown = app.view.count("ground_truth.detections")
    assert shown < total
    assert app.state["progress"]["text"] == f"0 of {shown} reviewed"
    app.send("accept")
    assert dataset.first().ground_truth.detections[0]["caption"] == "as I see it"


def test_a_view_without_the_text_starts_anew(app, dataset):
    app.view = dataset.exclude_fields("ground_truth.detections.caption")
    app.send("on_change_view")
    assert app.state["subject"]["text"] == "pam_label"


def test_another_field_has_other_attributes(dataset):
    label = fo.Detection(label="all", bounding_box=[0, 0, 1, 1], remark="everything")
    dataset.set_values("other", [fo.Detections(detections=[label]), None], dynamic=True)
    app = AppPanel(dataset.view())
    assert app.state["subject"]["field"] == "ground_truth"
    app.fill(subject__field="other")
    app.send("change_field", value="other")
    assert app.state["subject"]["text"] == "remark"
    assert app.state["subject"]["model_label"] is None
    assert app.state["text"] == "everything"


def test_a_dataset_without_texts_is_said_to_have_none(scene_dataset):
    app = AppPanel(scene_dataset(0).view())
    assert set(app.form) == {"nothing"}
    app.send("accept")
    app.send("open_sample")
    assert not app.operations("open_sample")
    app.send("skip")
    assert "nothing to review" in app.operations("notify")[0]["message"]


@pytest.fixture
def video(video_dataset):
    dataset = video_dataset()
    dataset.add_frame_field("boxes.detections.caption", fo.StringField)
    captions = [[f"thing {number}, {index}" for index in range(2)] for number in (1, 2)]
    dataset.set_values("frames.boxes.detections.caption", [captions])
    return dataset


def test_texts_on_frames_are_said_to_be_there_and_the_view_of_frames_is_shown(video):
    app = AppPanel(video.view())
    assert set(app.form) == {"frames", "show_frames"}
    assert "on the frames of videos (boxes)" in app.form["frames"]["view"]["label"]
    app.send("show_frames")
    [shown] = app.operations("set_view")
    assert shown["view"][0]["_cls"] == "fiftyone.core.stages.ToFrames"


def test_frames_are_reviewed_in_their_view(video):
    frames = video.to_frames()
    app = AppPanel(frames)
    assert app.state["text"] == "thing 1, 0"
    assert app.state["problem"] is None
    assert {"image", "buttons"} <= set(app.form)
    app.fill(text="better words")
    app.send("accept")
    assert app.state["text"] == "thing 1, 1"
    app.send("reject")
    assert app.state["text"] == "thing 2, 0"
    assert app.state["progress"]["text"] == "2 of 4 reviewed"
    video.reload()
    path = "frames.boxes.detections"
    assert video.values(f"{path}.caption")[0][0] == ["better words", "thing 1, 1"]
    assert video.values(f"{path}.caption_reviewed")[0] == [["edited", "rejected"], [None, None]]
    assert frames.count_values("boxes.detections.caption_reviewed")["edited"] == 1


def test_patches_of_frames_are_reviewed(video):
    app = AppPanel(video.to_frames().to_patches("boxes"))
    app.send("accept")
    video.reload()
    assert video.count_values("frames.boxes.detections.caption_reviewed") == {
        "accepted": 1,
        None: 3,
    }


def test_frames_without_images_are_said_to_need_them(video):
    video.delete_frame_field("filepath")
    app = AppPanel(video.view())
    app.send("show_frames")
    assert "sample_frames=True" in app.operations("notify")[0]["message"]


def test_texts_of_classes_are_said_to_be_elsewhere(new_dataset, images):
    dataset = new_dataset()
    mask = np.ones((8, 8), np.uint8)
    segmentation = fo.Segmentation(mask=mask, caption={"1": "a thing"})
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=segmentation))
    assert set(AppPanel(dataset.view()).form) == {"nothing"}  # nothing is declared
    dataset.add_sample_field("seg.caption", fo.DictField)
    app = AppPanel(dataset.view())
    assert set(app.form) == {"classes"}
    assert "The texts in seg belong to a Segmentation" in app.form["classes"]["view"]["label"]


def test_an_image_that_is_gone_is_said_and_the_review_goes_on(dataset, tmp_path):
    dataset.set_values("filepath", [str(tmp_path / "gone.png"), dataset.last().filepath])
    app = AppPanel(dataset.view())
    assert "there is no such file" in app.state["problem"]
    assert {"problem_notice", "text"} <= set(app.form)
    assert "image" not in app.form
    app.send("accept")
    assert verdicts(dataset)["accepted"] == 1


def test_a_label_that_points_at_nothing_is_said(dataset):
    sample = dataset.first()
    sample.ground_truth.detections[0].bounding_box = [2, 2, 0.1, 0.1]
    sample.ground_truth.detections[0].mask = None
    sample.save()
    assert AppPanel(dataset.view()).state["problem"]


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
