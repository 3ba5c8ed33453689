"""The review panel in views: filters, open samples, patches, frames, and what is gone."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

from tests.fiftyone_plugin.review.app_panel import AppPanel, verdicts


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
