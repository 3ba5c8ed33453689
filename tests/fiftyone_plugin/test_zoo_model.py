"""PAM of FiftyOne's model zoo, applied to real datasets."""

from __future__ import annotations

import logging
import sys

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.zoo import load_model
from pam_labeling.pipeline import Pipeline
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import scene

CLASSES = [shape.en for shape in SHAPES]


@pytest.fixture(scope="module")
def nano():
    return load_model("pam-nano", "")


def overlap(detection, truth):
    size = truth.shape[::-1]
    found = detection.to_segmentation(frame_size=size, target=1).mask.astype(bool)
    return (found & truth).sum() / (found | truth).sum()


def apply_to(model, image, values, field="prompts"):
    """Do what `apply_model` does with one image, without a dataset."""
    sample = fo.Sample(filepath="scene.png", **values)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model, "needs_fields", {"prompt_field": field})
        with model:
            return model.predict(image, sample=sample)


def test_torchvision_is_not_needed(nano, scene_dataset, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    dataset = scene_dataset(0)
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    assert dataset.count("pam.detections") > 0


def test_each_prompt_gets_a_detection_with_mask_and_words(nano, scene_dataset):
    dataset = scene_dataset(0, 1, masks=False)
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    for seed, sample in enumerate(dataset):
        prompts, found = sample.ground_truth.detections, sample.pam.detections
        assert [detection.prompt_id for detection in found] == [prompt.id for prompt in prompts]
        assert not {detection.id for detection in found} & {prompt.id for prompt in prompts}
        assert [detection.label for detection in found] == [prompt.label for prompt in prompts]
        for detection, item in zip(found, scene(seed).objects, strict=True):
            assert detection.label in detection.caption
            assert overlap(detection, item.mask) > 0.8
            assert 0.5 < detection.confidence <= 1
        assert not sample.pam.has_field("pam_errors")


def test_the_prompts_stay_as_they_are(nano, scene_dataset):
    dataset = scene_dataset(0)
    (sample,) = dataset
    sample.ground_truth.detections[0].index = 7
    sample.ground_truth.detections[0].tags = ["mine"]
    sample.save()
    before = [label.to_dict() for label in sample.ground_truth.detections]
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth")
    dataset.reload()
    assert [label.to_dict() for label in dataset.first().ground_truth.detections] == before
    assert dataset.first().pam.detections[0].index == 7
    assert dataset.first().pam.detections[0].tags == []


def test_an_instance_mask_is_taken_as_it_is_unless_told_otherwise(nano, scene_dataset):
    dataset = scene_dataset(0)
    detection = dataset.first().ground_truth.detections[0]
    box = detection.copy()
    box.mask = np.ones((8, 8), bool)
    sample = {"prompts": fo.Detections(detections=[box])}
    image = scene(0).image
    kept = apply_to(nano, image, sample)
    segmented = apply_to(load_model("pam-nano", "", use_masks=False), image, sample)
    assert kept.detections[0].mask.all()
    assert not segmented.detections[0].mask.all()


def test_labels_are_chosen_from_classes(scene_dataset):
    dataset = scene_dataset(0, masks=False)
    model = load_model("pam-nano", "", classes=CLASSES, texts=["label"])
    dataset.apply_model(model, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    (sample,) = dataset
    found = sample.pam.detections
    assert [d.label for d in found] == [d.label for d in sample.ground_truth.detections]
    assert not any(d.has_attribute("caption") for d in found)


def test_where_no_class_is_likely_enough_the_prompts_label_stays(scene_dataset):
    dataset = scene_dataset(0, masks=False)
    for sample in dataset.iter_samples(autosave=True):
        for detection in sample.ground_truth.detections:
            detection.label = "mine"
    model = load_model("pam-nano", "", classes=CLASSES, threshold=1.0, texts=[])
    dataset.apply_model(model, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    assert dataset.count_values("pam.detections.label").keys() == {"mine"}


def test_all_texts_in_chinese(nano, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    model = load_model("pam-nano", "", texts=["definition", "brief", "detailed"], language="zh")
    dataset.apply_model(model, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    detection = dataset.first().pam.detections[0]
    for name in ("definition", "caption", "detailed_caption"):
        assert any("\u4e00" <= letter <= "\u9fff" for letter in detection[name])


def test_without_prompts_everything_is_found(scene_dataset):
    dataset = scene_dataset(0)
    model = load_model("pam-nano", "", texts=["label"], points_per_side=8)
    dataset.apply_model(model, label_field="pam", skip_failures=False)
    found = dataset.first().pam.detections
    for item in scene(0).objects:
        assert max(overlap(detection, item.mask) for detection in found) > 0.8
    assert not any(detection.has_attribute("prompt_id") for detection in found)


def test_a_sample_without_prompts_is_done_and_empty(nano, scene_dataset):
    dataset = scene_dataset(0, 1)
    sample = dataset.first()
    sample.ground_truth = None
    sample.save()
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    assert len(dataset.exists("pam")) == 2
    assert dataset.first().pam.detections == []


def test_polylines_keypoints_and_classes_are_prompts(nano):
    drawn = scene(0)
    height, width = drawn.image.shape[:2]
    rows, columns = drawn.objects[0].mask.nonzero()
    middle = len(rows) // 2
    point = [(columns[middle] + 0.5) / width, (rows[middle] + 0.5) / height]
    detection = fo.Detection.from_mask(drawn.objects[0].mask, label="x")
    polyline = detection.to_polyline(filled=True)
    keypoint = fo.Keypoint(points=[point])
    classes = fo.Segmentation(mask=drawn.objects[0].mask.astype(np.uint8) * 3)
    prompts = [
        (detection, detection.id),
        (fo.Polylines(polylines=[polyline]), polyline.id),
        (fo.Keypoints(keypoints=[keypoint]), keypoint.id),
        (classes, f"{classes.id}:3"),
    ]
    for value, prompt_id in prompts:
        (found,) = apply_to(nano, drawn.image, {"prompts": value}).detections
        assert overlap(found, drawn.objects[0].mask) > 0.7
        assert found.prompt_id == prompt_id


def test_a_bad_region_costs_no_other(nano, scene_dataset, caplog):
    dataset = scene_dataset(0, 1, masks=False)
    sample = dataset.first()
    sample.ground_truth.detections[1].bounding_box = [0.2, 0.2, 0, 0.1]
    sample.save()
    bad = sample.ground_truth.detections[1].id
    with caplog.at_level(logging.WARNING):
        dataset.apply_model(
            nano, label_field="pam", prompt_field="ground_truth", skip_failures=False
        )
    first, second = dataset
    assert bad not in [detection.prompt_id for detection in first.pam.detections]
    assert len(first.pam.detections) == len(sample.ground_truth.detections) - 1
    (error,) = first.pam.pam_errors
    assert error.startswith(f"{bad}: ")
    assert "empty" in error
    assert any(bad in line and sample.id in line for line in caplog.messages)
    assert len(second.pam.detections) == len(second.ground_truth.detections)
    assert len(dataset.match(F("pam.pam_errors").exists())) == 1


def fails_on(monkeypatch, is_bad):
    """The model breaks at some requests, as it does where memory runs out."""
    annotate = Pipeline.annotate

    def failing(self, request, *args):
        if is_bad(request):
            raise RuntimeError("out of memory")
        return annotate(self, request, *args)

    monkeypatch.setattr(Pipeline, "annotate", failing)
    monkeypatch.setattr("tests.fiftyone_plugin.remembering.ANSWERS", {})


def test_regions_that_fail_together_are_tried_one_by_one(nano, scene_dataset, monkeypatch):
    fails_on(monkeypatch, lambda request: len(request.prompts) > 1)
    dataset = scene_dataset(0)
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    (sample,) = dataset
    assert len(sample.pam.detections) == len(sample.ground_truth.detections)


def test_a_region_that_breaks_the_model_is_named(nano, scene_dataset, monkeypatch):
    dataset = scene_dataset(0, masks=False)
    detections = dataset.first().ground_truth.detections
    width = scene(0).image.shape[1]
    left = min(detection.bounding_box[0] for detection in detections) * width
    fails_on(
        monkeypatch,
        lambda request: any(prompt.box[0] <= left + 0.01 for prompt in request.prompts),
    )
    dataset.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    answer = dataset.first().pam
    assert len(answer.detections) == len(detections) - 1
    (error,) = answer.pam_errors
    assert error.endswith("RuntimeError: out of memory")


def test_an_image_of_which_nothing_works_is_left_to_fiftyone(nano, scene_dataset, monkeypatch):
    fails_on(monkeypatch, lambda _: True)
    dataset = scene_dataset(0)
    options = {"label_field": "pam", "prompt_field": "ground_truth"}
    dataset.apply_model(nano, **options)
    assert len(dataset.exists("pam", bool=False)) == 1
    with pytest.raises(RuntimeError, match="out of memory"):
        dataset.apply_model(nano, **options, skip_failures=False)


def test_where_nothing_is_the_reason_is_given(nano):
    image = np.full((120, 160, 3), 120, np.uint8)
    prompts = fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.5, 0.5)])])
    answer = apply_to(nano, image, {"prompts": prompts})
    assert answer.detections == []
    (error,) = answer.pam_errors
    assert error.startswith(prompts.keypoints[0].id)


def test_an_unreadable_image_costs_no_other_of_its_batch(nano, scene_dataset, tmp_path):
    dataset = scene_dataset(0, 1, 2)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    second = list(dataset)[1]
    second.filepath = str(broken)
    second.save()
    dataset.apply_model(
        nano, label_field="pam", prompt_field="ground_truth", batch_size=3, num_workers=2
    )
    assert [sample.pam is not None for sample in dataset] == [True, False, True]


def test_a_view_limits_samples_and_prompts(nano, scene_dataset):
    dataset = scene_dataset(0, 1)
    chosen = dataset.first().ground_truth.detections[0].id
    view = dataset.select_labels(ids=[chosen], fields="ground_truth")
    view.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    assert dataset.values("pam.detections.prompt_id", unwind=True).count(chosen) == 1
    assert dataset.count("pam.detections") == 1
    assert dataset.count("ground_truth.detections") == sum(
        len(scene(seed).objects) for seed in (0, 1)
    )


def test_patches_are_answered_in_their_view(nano, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    patches = dataset.to_patches("ground_truth")
    patches.apply_model(nano, label_field="pam", prompt_field="ground_truth", skip_failures=False)
    for patch in patches:
        (detection,) = patch.pam.detections
        assert (detection.prompt_id, detection.label) == (patch.id, patch.ground_truth.label)
    assert not dataset.has_field("pam")


def test_frames_hold_prompts_under_their_own_name(nano):
    detection = fo.Detection.from_mask(scene(0).objects[0].mask, label="x")
    frame = fo.Frame(prompts=fo.Detections(detections=[detection]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nano, "needs_fields", {"prompt_field": "frames.prompts"})
        (found,) = nano.predict_all([scene(0).image], samples=[frame])
    assert found.detections[0].prompt_id == detection.id


def test_prompts_named_at_loading_serve_the_app(scene_dataset):
    dataset = scene_dataset(0)
    model = load_model("pam-nano", "", prompt_field="ground_truth", texts=["label"])
    dataset.apply_model(model, label_field="pam", skip_failures=False)
    assert dataset.count("pam.detections") == dataset.count("ground_truth.detections")
    assert model.needs_fields == {"prompt_field": "ground_truth"}


def test_images_that_fail_are_none_among_many(caplog):
    model = load_model("pam-nano", "", texts=["label"], points_per_side=4)
    with caplog.at_level(logging.WARNING):
        first, second = model.predict_all([np.zeros((4, 4), np.uint8), scene(0).image])
    assert first is None
    assert second.detections
    assert any("uint8 array (height, width, 3)" in line for line in caplog.messages)


def test_prompts_without_a_sample_are_refused(scene_dataset):
    model = load_model("pam-nano", "", prompt_field="ground_truth")
    with pytest.raises(ValueError, match="ground_truth of a sample"):
        model.predict(scene(0).image)


def test_a_field_without_regions_is_refused(nano, scene_dataset):
    dataset = scene_dataset(0)
    dataset.set_values("class", [fo.Classification(label="x")])
    with pytest.raises(ValueError, match="Classification has no regions"):
        dataset.apply_model(nano, label_field="pam", prompt_field="class", skip_failures=False)


def test_other_options_of_apply_model_are_refused(nano, scene_dataset):
    with pytest.raises(ValueError, match="takes only the option prompt_field of PAM, not prompts;"):
        scene_dataset(0).apply_model(nano, label_field="pam", prompts="ground_truth")
