"""The operators called from Python, without the App."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs.records import list_runs
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import ground_truth, scene

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


def test_labels_of_an_own_list_and_a_view_of_suspects(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    wrong = sample.ground_truth.detections[0]
    truth, wrong.label = wrong.label, next(name for name in NAMES if name != wrong.label)
    sample.save()
    record = operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    assert suspects.first().ground_truth.detections[0].id == wrong.id
    found = dataset.first().ground_truth.detections[0]
    assert (found.label, found.pam_label) == (wrong.label, truth)
    assert 0 < found.pam_score <= 1
    with pytest.raises(PluginError, match="already has a saved view 'suspects'"):
        operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    operator("undo_run")(dataset, record["key"])
    assert not dataset.has_saved_view("suspects")
    assert dataset.get_field(f"{LABELS}.pam_label") is None


def boxes_with_nothing(new_dataset, images):
    """A scene with its boxes, and one with a box on plain background between two of its boxes."""
    dataset = new_dataset()
    for seed in (0, 1):
        found = ground_truth(scene(seed), masks=False)[:2]
        if seed == 1:
            found.insert(1, fo.Detection(label="circle", bounding_box=[0, 0, 0.05, 0.05]))
        sample = fo.Sample(filepath=str(images(seed)), **{FIELD: fo.Detections(detections=found)})
        dataset.add_sample(sample)
    return dataset


def test_a_box_on_nothing_is_an_answer_and_leads_the_suspects(operator, new_dataset, images):
    dataset = boxes_with_nothing(new_dataset, images)
    for detection in (samples := list(dataset))[0][FIELD].detections:
        detection.label = "no class of the list"
    samples[0].save()
    record = operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    assert record["counts"]["failed"] == 0
    assert record["counts"]["regions"] == 5
    nothing = dataset.last()[FIELD].detections[1]
    assert (nothing.pam_label, nothing.pam_open_label) == (None, None)
    assert 0 < nothing.pam_object <= 0.5
    seen = dataset.filter_labels(FIELD, F("pam_object") > 0.5)
    assert seen.count(f"{LABELS}.pam_object") == 4
    suspects = dataset.load_saved_view("suspects")
    assert [len(sample[FIELD].detections) for sample in suspects] == [1, 2]
    assert suspects.first()[FIELD].detections[0].id == nothing.id
    # It is not asked for again, except with everything else.
    again = operator("label_regions")(dataset, field=FIELD, classes=NAMES, only="missing")
    assert again["counts"]["regions"] == 0


def test_each_operator_says_where_it_sees_no_object(operator, new_dataset, images):
    dataset = boxes_with_nothing(new_dataset, images)
    captions = operator("caption_regions")(dataset, field=FIELD)
    operator("segment_regions")(dataset, field=FIELD)
    labels = operator("label_regions")(dataset, field=FIELD, classes=NAMES)
    nothing = dataset.last()[FIELD].detections[1]
    assert not nothing.has_mask
    assert not nothing.has_attribute("caption")
    assert not dataset.has_field("pam_error")
    # Runs that share only the probability are undone in any order.
    operator("undo_run")(dataset, captions["key"])
    assert dataset.count(f"{LABELS}.pam_object") == 5
    assert not dataset.has_field(f"{LABELS}.caption")
    operator("undo_run")(dataset, labels["key"])
    assert dataset.count(f"{LABELS}.pam_object") == 5
    made = operator("segment_regions")(dataset, field=FIELD, new_field="made")
    assert (made["counts"]["added"], made["counts"]["failed"]) == (4, 1)
    assert "no object here" in dataset.last().pam_error


def test_boxes_on_nothing_lead_the_suspects_of_frames(operator, video_dataset):
    dataset = video_dataset()
    sample = dataset.first()
    frame = sample.frames[2]
    frame.boxes.detections.append(fo.Detection(label="ring", bounding_box=[0, 0, 0.05, 0.05]))
    sample.save()
    operator("label_regions")(dataset, field="frames.boxes", classes=NAMES, saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    found = suspects.values("frames.boxes.detections.pam_object", unwind=True)
    assert min(found) <= 0.5


def test_a_label_of_the_list_that_does_not_fit_is_suspected(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    first, second, *_ = sample[FIELD].detections
    first.label, second.label = "Submarine", "not in the list"
    sample.save()
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=["submarine", "rocket"], saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    assert suspects.values(f"{LABELS}.id", unwind=True) == [first.id]
    found = dataset.first()[FIELD].detections[0]
    assert found.pam_label is None
    assert found.pam_open_label


def test_only_disagreeing_labels_are_written(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    wrong = sample.ground_truth.detections[0]
    wrong.label = next(name for name in NAMES if name != wrong.label)
    sample.save()
    operator("label_regions")(dataset, field=FIELD, classes=NAMES, only_disagreeing=True)
    labels = {
        one.id: one.pam_label
        for one in dataset.first().ground_truth.detections
        if one.has_field("pam_label")
    }
    assert labels[wrong.id]
    written = [label for label in labels.values() if label is not None]
    right = [one.label for one in sample.ground_truth.detections[1:]]
    assert len(written) < 1 + len(right)


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


def test_a_class_is_given_only_where_it_fits_unless_it_always_is_to_be(operator, scene_dataset):
    dataset = scene_dataset(0)
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=["thing"])
    assert dataset.distinct(f"{LABELS}.pam_label") == []
    assert dataset.bounds(f"{LABELS}.pam_score")[1] < 0.01
    label(dataset, field=FIELD, classes=["thing"], label_fit=0)
    assert set(dataset.distinct(f"{LABELS}.pam_label")) == {"thing"}


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


def test_suspects_are_shown_in_all_slices_of_groups(operator, new_dataset, scene_dataset):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    for name, sample in zip(("left", "right"), scene_dataset(0, 1), strict=True):
        wrong = fo.Detections(detections=[sample.ground_truth.detections[0].copy()])
        wrong.detections[0].label = "nothing of the kind"
        copy = fo.Sample(filepath=sample.filepath, ground_truth=wrong, group=group.element(name))
        dataset.add_sample(copy)
    operator("label_regions")(
        dataset, field=FIELD, classes=NAMES, all_slices=True, saved_view="suspects"
    )
    assert dataset.load_saved_view("suspects").count(LABELS) == 2
