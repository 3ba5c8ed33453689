"""What a person wrote, accepted or edited stays when an operator runs."""

from __future__ import annotations

import logging

import fiftyone as fo
import pytest

from tests.fiftyone_plugin.conftest import documents, scene

FIELD = "ground_truth"
LABELS = "ground_truth.detections"
MINE = "a person's words"


def change(dataset, **values):
    """Sets attributes of the first label, as a person does from Python; the label's id."""
    sample = dataset.first()
    label = sample[FIELD].detections[0]
    for name, value in values.items():
        label[name] = value
    sample.save()
    return label.id


def first_label(dataset):
    dataset.reload()
    return dataset.first()[FIELD].detections[0]


def captions(dataset, name="caption"):
    return [one.get_attribute_value(name, None) for one in dataset.first()[FIELD].detections]


@pytest.fixture
def caption(operator):
    return operator("caption_regions")


@pytest.fixture
def dataset(scene_dataset):
    return scene_dataset(0, masks=False)


REGIONS = len(scene(0).objects)


@pytest.mark.parametrize("verdict", [None, "edited", "accepted", "rejected"])
def test_a_text_that_no_run_wrote_stays(caption, dataset, caplog, verdict):
    change(dataset, caption=MINE, reviewed=verdict)
    with caplog.at_level(logging.WARNING):
        record = caption(dataset, field=FIELD, model="nano")
    assert "1 answer by a person stays" in caplog.text
    assert "replace_human_work=True" in caplog.text
    first, *others = captions(dataset)
    assert first == MINE
    assert all(others)
    assert first_label(dataset).get_attribute_value("reviewed", None) == verdict
    assert (record["counts"]["regions"], record["counts"]["kept"]) == (REGIONS - 1, 1)


def test_a_text_that_was_edited_after_a_run_stays_and_the_others_are_renewed(caption, dataset):
    caption(dataset, field=FIELD)
    change(dataset, caption=MINE)
    record = caption(dataset, field=FIELD, language="zh")
    first, *others = captions(dataset)
    assert first == MINE
    assert not any(text.isascii() for text in others)
    assert record["counts"]["kept"] == 1


@pytest.mark.parametrize("mark", ["reviewed", "caption_reviewed"])
@pytest.mark.parametrize("verdict", ["accepted", "edited"])
def test_the_models_text_stays_once_a_person_accepted_it(caption, dataset, mark, verdict):
    caption(dataset, field=FIELD)
    before = captions(dataset)[0]
    change(dataset, **{mark: verdict})
    caption(dataset, field=FIELD, language="zh")
    assert captions(dataset)[0] == before
    assert first_label(dataset)[mark] == verdict


@pytest.mark.parametrize("mark", ["reviewed", "caption_reviewed"])
def test_a_rejected_text_is_replaced_with_its_mark(caption, operator, dataset, mark):
    caption(dataset, field=FIELD)
    change(dataset, **{mark: "rejected"})
    before = documents(dataset)
    record = caption(dataset, field=FIELD, language="zh")
    assert not captions(dataset)[0].isascii()
    assert first_label(dataset)[mark] is None
    operator("undo_run")(dataset, record["key"])
    assert documents(dataset) == before


def test_the_mark_of_another_text_does_not_keep_a_text(caption, dataset):
    caption(dataset, field=FIELD, detailed="story")
    change(dataset, caption_reviewed="accepted")
    kept = captions(dataset)[0]
    caption(dataset, field=FIELD, detailed="story", language="zh")
    assert captions(dataset)[0] == kept
    assert not captions(dataset, "story")[0].isascii()
    assert first_label(dataset).caption_reviewed == "accepted"


def test_a_persons_work_is_replaced_if_that_is_asked_for(caption, operator, dataset):
    change(dataset, caption=MINE, caption_reviewed="edited")
    before = documents(dataset)
    record = caption(dataset, field=FIELD, replace_human_work=True)
    label = first_label(dataset)
    assert label.caption not in (MINE, None)
    assert label.caption_reviewed is None
    assert record["counts"]["kept"] == 0
    operator("undo_run")(dataset, record["key"])
    assert first_label(dataset).caption == MINE
    assert documents(dataset) == before


def test_a_run_that_may_replace_nothing_changes_nothing(caption, operator, dataset):
    dataset.set_values(f"{LABELS}.caption", [[MINE] * REGIONS], dynamic=True)
    before = documents(dataset)
    record = caption(dataset, field=FIELD)
    assert record["counts"]["kept"] == REGIONS
    assert documents(dataset) == before
    assert operator("undo_run")(dataset, record["key"])["undone"]["restored"] == 0


NAMES = ["circle", "square", "triangle", "star", "ring", "cross", "heart", "crescent", "hexagon"]


@pytest.mark.parametrize(
    "mark", [{"label_reviewed": "edited"}, {"label_reviewed": "accepted"}, {"reviewed": "edited"}]
)
def test_a_label_that_was_corrected_in_the_review_stays(operator, dataset, mark):
    label = operator("label_regions")
    dataset.set_values(f"{LABELS}.label", [["thing"] * REGIONS])
    change(dataset, label="sun", **mark)
    record = label(dataset, field=FIELD, classes=NAMES, attribute="label")
    first, *others = captions(dataset, "label")
    assert first == "sun"
    assert not {"thing", "sun"} & {*others}
    assert record["counts"]["kept"] == 1
    # A class and its score are one answer.
    assert first_label(dataset).get_attribute_value("pam_score", None) is None


def test_a_label_that_was_changed_after_a_run_wrote_it_stays(operator, dataset):
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=NAMES, attribute="label")
    change(dataset, label="sun")
    record = label(dataset, field=FIELD, classes=[*NAMES, "arrow"], attribute="label")
    assert first_label(dataset).label == "sun"
    assert record["counts"]["kept"] == 1


def test_a_mask_that_a_person_drew_stays(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    sample[FIELD].detections[-1].mask = None
    sample.save()
    before = dataset.first()[FIELD].detections[0].mask
    record = operator("segment_regions")(dataset, field=FIELD, tighten=True)
    after = dataset.first()[FIELD].detections
    assert (after[0].mask == before).all()
    assert after[-1].mask.any()
    assert (record["counts"]["regions"], record["counts"]["kept"]) == (1, REGIONS - 1)


def test_what_a_run_found_is_the_runs_until_a_person_changes_it(operator, caption, dataset):
    options = {"points_per_side": 8, "max_regions": 3, "brief": "caption"}
    operator("find_regions")(dataset, field="found", **options)
    assert caption(dataset, field="found", language="zh")["counts"]["kept"] == 0
    sample = dataset.first()
    sample.found.detections[0].caption = MINE
    sample.save()
    assert caption(dataset, field="found")["counts"]["kept"] == 1
    assert dataset.first().found.detections[0].caption == MINE


def test_a_label_of_a_run_that_a_person_changed_before_other_runs_stays(operator, caption, dataset):
    options = {"points_per_side": 8, "max_regions": 2, "brief": "caption"}
    operator("find_regions")(dataset, field="found", **options)
    sample = dataset.first()
    sample.found.detections[0].caption = MINE
    sample.save()
    assert caption(dataset, field="found")["counts"]["kept"] == 1
    assert dataset.first().found.detections[0].caption == MINE


def test_a_list_with_a_persons_words_stays(caption, operator, scene_dataset, caplog):
    dataset = scene_dataset(0, 1, masks=False)
    dataset.add_sample_field("ground_truth_captions", fo.ListField, subfield=fo.StringField)
    sample = dataset.first()
    sample["ground_truth_captions"] = [MINE]
    sample.save()
    before = documents(dataset)
    record = caption(dataset, field=FIELD)
    assert "1 list of captions by a person stays" in caplog.text
    lists = dataset.values("ground_truth_captions")
    assert lists[0] == [MINE]
    assert len(lists[1]) == len(scene(1).objects)
    # The other list is the run's, so the next run renews it.
    second = caption(dataset, field=FIELD, language="zh")
    assert dataset.values("ground_truth_captions")[0] == [MINE]
    assert not dataset.values("ground_truth_captions")[1][0].isascii()
    for key in (second["key"], record["key"]):
        operator("undo_run")(dataset, key)
    assert documents(dataset) == before


def test_what_a_person_writes_while_the_run_is_going_on_stays(dataset, annotator):
    from fiftyone_plugin.runs.engine import run
    from tests.fiftyone_plugin.jobs import job_on, plan_of

    job = job_on(dataset)
    writer = plan_of(job).writer("nano")
    writes = writer.write

    def person_is_faster(*values):
        change(dataset, caption=MINE)
        writes(*values)

    writer.write = person_is_faster
    list(run(job, annotator, writer))
    assert captions(dataset)[0] == MINE
    assert all(captions(dataset))
    assert writer.record.counts.kept == 1


def test_the_texts_of_classes_are_a_persons_one_by_one(caption, new_dataset, images):
    dataset = new_dataset()
    mask = sum((i + 1) * one.mask.astype("uint8") for i, one in enumerate(scene(0).objects[:2]))
    segmentation = fo.Segmentation(mask=mask)
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=segmentation))
    caption(dataset, field="seg")
    sample = dataset.first()
    sample.seg.caption = {**sample.seg.caption, "1": MINE}
    sample.save()
    record = caption(dataset, field="seg", language="zh")
    found = dataset.first().seg.caption
    assert found["1"] == MINE
    assert not found["2"].isascii()
    assert record["counts"]["kept"] == 1


def test_labels_with_one_id_fail_and_keep_their_texts(caption, dataset):
    sample = dataset.first()
    first, second, *_ = sample[FIELD].detections
    second.id = first.id
    sample.save()
    record = caption(dataset, field=FIELD)
    dataset.reload()
    found = captions(dataset)
    assert found[:2] == [None, None]
    assert all(found[2:])
    assert "2 labels of the sample have this id" in dataset.first().pam_error
    assert record["counts"]["failed"] == 1


def test_what_a_killed_run_only_announced_is_no_persons(caption, dataset, monkeypatch):
    caption(dataset, field=FIELD)
    with monkeypatch.context() as patch:
        patch.setattr("fiftyone_plugin.runs.bulk_write.write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            caption(dataset, field=FIELD, language="zh")
    assert all(text.isascii() for text in captions(dataset))
    assert caption(dataset, field=FIELD, language="zh")["counts"]["kept"] == 0
    assert not any(text.isascii() for text in captions(dataset))


def test_a_view_of_one_region_counts_only_what_is_shown(caption, dataset, caplog):
    first = change(dataset, caption=MINE)
    others = dataset.exclude_labels(ids=[first])
    assert caption(others, field=FIELD)["counts"]["kept"] == 0
    assert "by a person" not in caplog.text
    assert captions(dataset)[0] == MINE


def test_the_form_says_how_many_stay_before_the_run(operator, dataset):
    from tests.fiftyone_plugin.app import amount_in, form_of

    change(dataset, caption=MINE)
    properties, refusals = form_of(operator("caption_regions"), dataset)
    assert refusals == []
    assert "1 answer by a person stays" in amount_in(properties)
    properties, _ = form_of(operator("caption_regions"), dataset, {"replace_human_work": True})
    assert "by a person" not in amount_in(properties)
