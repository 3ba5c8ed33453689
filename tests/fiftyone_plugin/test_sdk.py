"""The operators called from Python, without the App."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs.records import list_runs
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import scene

FIELD = "ground_truth"
LABELS = "ground_truth.detections"
NAMES = [shape.en for shape in SHAPES]
UNKNOWN_MODEL = r"The model PAM3B cannot be used: no such folder; name [^:]*\.$"


def test_captions_with_their_record(operator, scene_dataset):
    dataset = scene_dataset(0)
    record = operator("caption_regions")(dataset, field=FIELD, model="nano")
    assert (record["operator"], record["model"], record["state"]) == (
        "caption_regions",
        "nano",
        "finished",
    )
    assert record["parameters"]["brief"] == "caption"
    assert record["counts"]["regions"] == len(scene(0).objects)
    assert operator("list_runs")(dataset) == [record]
    assert all(dataset.values(f"{LABELS}.caption")[0])
    lines = dataset.first()["ground_truth_captions"]
    first = dataset.first().ground_truth.detections[0]
    assert lines[0] == f"{first.label}: {first.caption}"
    assert dataset.get_field(f"{LABELS}.caption").description == "Brief caption, by PAM"


@pytest.mark.parametrize(
    ("name", "options", "counted"),
    [
        ("caption_regions", {"field": FIELD}, f"{len(scene(0).objects)} regions"),
        ("find_regions", {"field": "found", "points_per_side": 4}, "1 images"),
    ],
)
def test_the_progress_bar_says_what_it_counts(
    name, options, counted, operator, scene_dataset, monkeypatch
):
    bars = []

    class Bar(fo.ProgressBar):
        def __init__(self, total, progress, *, iters_str):
            super().__init__(total, progress, iters_str=iters_str)
            bars.append(f"{total} {iters_str}")

    monkeypatch.setattr(fo, "ProgressBar", Bar)
    operator(name)(scene_dataset(0), **options)
    assert bars == [counted]


def test_all_words_classes_score_and_masks_at_once(operator, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    operator("caption_regions")(
        dataset,
        field=FIELD,
        detailed="long",
        label="name",
        definition="meaning",
        classes="dataset",
        score="share",
        mask="instance",
        summary=False,
    )
    detection = dataset.first().ground_truth.detections[0]
    for attribute in ("caption", "long", "name", "meaning"):
        assert detection[attribute]
    assert detection.pam_label == detection.label
    assert 0 < detection.share <= 1
    assert detection.mask.any()
    assert not dataset.has_field("ground_truth_captions")


def test_chinese_captions(operator, scene_dataset):
    dataset = scene_dataset(0)
    operator("caption_regions")(dataset, field=FIELD, language="zh")
    assert not dataset.first().ground_truth.detections[0].caption.isascii()


def test_words_of_captions_are_found(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    operator("caption_regions")(dataset, field=FIELD)
    words = dataset.values(f"{LABELS}.caption")[0][0].split()
    found = dataset.filter_labels(FIELD, fo.ViewField("caption").contains_str(words[-1]))
    assert found.first().id == dataset.first().id


def test_masks_in_files(operator, scene_dataset, tmp_path):
    dataset = scene_dataset(0, masks=False)
    operator("segment_regions")(
        dataset, field=FIELD, mask="mask_path", mask_folder=str(tmp_path / "masks"), score="iou"
    )
    detections = dataset.first().ground_truth.detections
    assert {Path(one.mask_path) for one in detections} == set((tmp_path / "masks").iterdir())
    assert all(one.mask is None and one.get_mask().any() and 0 < one.iou <= 1 for one in detections)


def test_segmenting_keeps_what_detections_have(operator, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    before = dataset.first().ground_truth.detections
    operator("segment_regions")(dataset, field=FIELD)
    after = dataset.first().ground_truth.detections
    kept = [(one.id, one.label, one.bounding_box, one.tags) for one in before]
    assert [(one.id, one.label, one.bounding_box, one.tags) for one in after] == kept


def test_boxes_are_made_tight_if_asked(operator, scene_dataset):
    dataset = scene_dataset(0, masks=False)
    sample = dataset.first()
    loose = sample.ground_truth.detections[0]
    x, y, width, height = truth = loose.bounding_box
    loose.bounding_box = [x - 0.02, y - 0.02, width + 0.04, height + 0.04]
    sample.save()
    operator("segment_regions")(dataset, field=FIELD, tighten=True)
    tight = dataset.first().ground_truth.detections[0].bounding_box
    assert tight == pytest.approx(truth, abs=0.015)


def test_new_detections_from_another_field_declare_what_they_take_over(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.add_sample_field(f"{LABELS}.occluded", fo.BooleanField)
    dataset.set_label_values(
        f"{LABELS}.occluded", {dataset.first().ground_truth.detections[0].id: True}
    )
    operator("segment_regions")(dataset, field=FIELD, new_field="regions")
    assert isinstance(dataset.get_field("regions.detections.occluded"), fo.BooleanField)
    assert dataset.first().regions.detections[0].occluded is True
    assert dataset.count("regions.detections") == dataset.count(LABELS)


def test_everything_is_found_with_classes_of_the_dataset(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.default_classes = NAMES
    dataset.save()
    record = operator("find_regions")(
        dataset, field="found", classes="dataset", points_per_side=8, max_regions=3, brief="caption"
    )
    found = dataset.first().found.detections
    assert record["counts"]["added"] == len(found) == 3
    assert all(one.label in NAMES and one.caption and one.confidence for one in found)


def test_labels_can_be_replaced_and_brought_back(operator, scene_dataset):
    dataset = scene_dataset(0)
    before = dataset.values(f"{LABELS}.label")
    dataset.set_values(f"{LABELS}.label", [["?" for _ in one] for one in before])
    record = operator("label_regions")(
        dataset, field=FIELD, classes=NAMES, attribute="label", score=None
    )
    dataset.reload()
    assert set(dataset.values(f"{LABELS}.label")[0]) <= set(NAMES)
    operator("undo_run")(dataset, record["key"])
    dataset.reload()
    assert set(dataset.values(f"{LABELS}.label")[0]) == {"?"}


def test_two_runs_are_compared(operator, scene_dataset):
    dataset = scene_dataset(0)
    first = operator("caption_regions")(dataset, field=FIELD, brief="one")
    second = operator("caption_regions")(dataset, field=FIELD, brief=None, detailed="two")
    found = operator("compare_runs")(dataset, first["key"], second["key"])
    assert found["regions"] == len(found["rows"]) == len(scene(0).objects)
    assert found["view"].count(LABELS) == len(scene(0).objects)


def test_undoing_everything_leaves_the_dataset_as_it_was(operator, scene_dataset):
    dataset = scene_dataset(0, 1, masks=False)
    schema = list(dataset.get_field_schema(flat=True))
    before = [sample.to_mongo_dict() for sample in dataset]
    keys = [
        operator("caption_regions")(dataset, field=FIELD, score="share")["key"],
        operator("segment_regions")(dataset, field=FIELD, tighten=True)["key"],
        operator("find_regions")(dataset, field="found", points_per_side=4)["key"],
    ]
    for key in reversed(keys):
        assert operator("undo_run")(dataset, key)["undone"]["kept"] == 0
    assert list(dataset.get_field_schema(flat=True)) == schema
    dataset.reload()
    after = [sample.to_mongo_dict() for sample in dataset]
    for sample in [*before, *after]:
        del sample["last_modified_at"]
    assert after == before


def test_the_same_run_twice_is_undone_step_by_step(operator, scene_dataset):
    dataset = scene_dataset(0)
    schema = list(dataset.get_field_schema(flat=True))
    first = operator("caption_regions")(dataset, field=FIELD)["key"]
    second = operator("caption_regions")(dataset, field=FIELD)["key"]
    operator("undo_run")(dataset, second)
    assert all(dataset.values(f"{LABELS}.caption")[0])
    operator("undo_run")(dataset, first)
    assert list(dataset.get_field_schema(flat=True)) == schema


def test_progress_is_shown(operator, scene_dataset, capsys):
    dataset = scene_dataset(0)
    operator("caption_regions")(dataset, field=FIELD, progress=True)
    count = len(scene(0).objects)
    assert f"{count}/{count}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "options", "sentence"),
    [
        (
            "caption_regions",
            {"field": "nope"},
            r"is not a field with regions; use one of 'ground_truth'\.$",
        ),
        (
            "caption_regions",
            {"field": "ground_trut"},
            r"use one of 'ground_truth'\. Did you mean 'ground_truth'\?$",
        ),
        ("caption_regions", {"field": LABELS}, "Give 'ground_truth', without the part inside it"),
        ("find_regions", {"field": "f 2"}, "'f 2' cannot name a field"),
        ("caption_regions", {"field": FIELD, "model": "PAM3B"}, UNKNOWN_MODEL),
        ("caption_regions", {"field": FIELD, "model": "PAM3B", "delegate": True}, UNKNOWN_MODEL),
        (
            "caption_regions",
            {"field": FIELD, "brief": None, "mask": "instance"},
            "for masks only, use segment_regions",
        ),
        (
            "label_regions",
            {"field": FIELD, "classes": ["Car", "bus", "car"]},
            "a class in two spellings, 'Car' and 'car'",
        ),
        ("caption_regions", {"field": "filepath"}, "'filepath' is not a field with regions"),
        ("caption_regions", {"field": FIELD, "model": "/nowhere"}, "The model /nowhere cannot"),
        ("caption_regions", {"field": FIELD, "only": "new"}, 'only must be "all"'),
        ("label_regions", {"field": FIELD, "classes": ["\ud800"]}, "cannot be chosen from"),
        ("caption_regions", {"field": FIELD, "classes": []}, "classes has no name in it"),
        ("label_regions", {"field": FIELD, "classes": ["", " "]}, "classes has no name in it"),
        ("caption_regions", {"field": FIELD, "classes": ["a", " "]}, None),
        (
            "label_regions",
            {"field": FIELD, "label_fit": 7},
            "label_fit must be a number from 0 to 1",
        ),
        ("find_regions", {"field": FIELD}, "already has a field 'ground_truth'"),
        ("segment_regions", {"field": FIELD, "mask": "box"}, 'mask must be "instance"'),
    ],
)
def test_what_cannot_be_done_is_a_sentence_and_no_run(
    operator, scene_dataset, name, options, sentence
):
    dataset = scene_dataset(0)
    if sentence is None:
        assert operator(name)(dataset, **options)["state"] == "finished"
        return
    with pytest.raises(PluginError, match=sentence):
        operator(name)(dataset, **options)
    assert list_runs(dataset) == []
    assert not dataset.has_field(f"{LABELS}.caption")


def test_what_is_no_dataset_is_a_sentence(operator):
    with pytest.raises(PluginError, match="give a dataset or a view, not str"):
        operator("caption_regions")("quickstart", field=FIELD)


def test_looking_for_everything_in_patches_is_refused(operator, scene_dataset):
    patches = scene_dataset(0).to_patches(FIELD)
    with pytest.raises(PluginError, match="find_regions looks at whole images"):
        operator("find_regions")(patches, field="found")


def test_too_many_classes_are_refused(operator, scene_dataset, monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.plans.MOST_CLASSES", 1)
    with pytest.raises(PluginError, match="more than 1: give a list"):
        operator("label_regions")(scene_dataset(0), field=FIELD)


def test_classes_that_the_field_has_come_first(operator, scene_dataset):
    dataset = scene_dataset(0)
    dataset.default_classes = ["never"]
    dataset.classes = {FIELD: NAMES}
    dataset.save()
    operator("label_regions")(dataset, field=FIELD)
    assert "never" not in dataset.distinct(f"{LABELS}.pam_label")


def test_classes_of_a_segmentation_are_its_mask_targets(operator, new_dataset, images):
    dataset = new_dataset()
    mask = scene(0).objects[0].mask.astype("uint8") * 3
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=fo.Segmentation(mask=mask)))
    dataset.mask_targets = {"seg": dict(enumerate(NAMES, start=1))}
    dataset.save()
    operator("label_regions")(dataset, field="seg")
    assert dataset.first().seg.pam_label["3"] in NAMES
    with pytest.raises(PluginError, match="A Segmentation's classes have no labels of their own"):
        operator("label_regions")(dataset, field="seg", saved_view="suspects")
