"""The queue of regions that a person reviews."""

from __future__ import annotations

import fiftyone as fo
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.review.fields import declare, subjects_of
from fiftyone_plugin.review.queue import Filters, Place, ReviewQueue, Subject

SUBJECT = Subject("ground_truth", "caption", "pam_label", "pam_score")
VERDICTS = "ground_truth.detections.caption_reviewed"


@pytest.fixture
def dataset(scene_dataset):
    """Three scenes; the first region of each disagrees and has the lowest score, the last none."""
    dataset = scene_dataset(0, 1, 2, masks=False)
    for name, kind in (
        ("caption", fo.StringField),
        ("pam_label", fo.StringField),
        ("pam_score", fo.FloatField),
    ):
        dataset.add_sample_field(f"ground_truth.detections.{name}", kind)
    for sample in dataset:
        *captioned, _ = labels = sample.ground_truth.detections
        for number, label in enumerate(captioned):
            label["caption"] = f"thing {number}"
            label["pam_label"] = label.label.upper() if number else "zebra"
            label["pam_score"] = (number + 1) / len(labels)
        sample.save()
    return dataset


def queue_of(collection, **filters):
    return ReviewQueue(collection, SUBJECT, Filters(**filters))


def walk(queue, most=100):
    """Every region in turn, until the queue begins anew."""
    found = []
    item = queue.after()
    while item is not None and item.place not in found:
        found.append(item.place)
        assert len(found) < most
        item = queue.after(item.place)
    return found


def captioned_places(dataset):
    return [
        Place(sample.id, label.id)
        for sample in dataset.sort_by("id")
        for label in sample.ground_truth.detections
        if label.has_field("caption") and label["caption"]
    ]


def test_every_region_with_a_text_comes_once_in_order(dataset):
    assert walk(queue_of(dataset)) == captioned_places(dataset)


def test_an_item_says_what_its_label_says(dataset):
    item = queue_of(dataset).after()
    assert (item.text, item.model_label, item.verdict) == ("thing 0", "zebra", None)
    assert item.name == dataset.first().ground_truth.detections[0].label
    assert item.filepath == dataset.first().filepath
    assert 0 < item.score < 0.5
    assert item.disagrees


def test_labels_that_differ_in_case_only_agree(dataset):
    queue = queue_of(dataset)
    assert not queue.after(queue.after().place).disagrees


def test_an_accepted_region_changes_nothing_but_its_verdict(dataset):
    queue = queue_of(dataset)
    before = dataset.first().ground_truth.detections[0].to_dict()
    queue.decide(queue.after(), "accepted", text=" thing 0 ")
    after = dataset.reload() or dataset.first().ground_truth.detections[0].to_dict()
    # Who accepts a text accepts the label that is shown with it.
    assert after == {**before, "caption_reviewed": "accepted", "label_reviewed": "accepted"}


def test_an_accepted_change_counts_as_edited_and_is_written(dataset):
    queue = queue_of(dataset)
    item = queue.after()
    queue.decide(item, "accepted", text=" a sun\n", name="sun")
    found = queue.at(item.place)
    assert (found.text, found.name, found.verdict) == ("a sun", "sun", "edited")


def test_a_rejected_text_is_kept_and_marked(dataset):
    queue = queue_of(dataset)
    item = queue.after()
    queue.decide(item, "rejected", text="not to be written")
    found = queue.at(item.place)
    assert (found.text, found.verdict) == ("thing 0", "rejected")


@pytest.mark.parametrize("change", [{"text": " "}, {"name": ""}])
def test_an_empty_text_or_label_is_not_accepted(dataset, change):
    queue = queue_of(dataset)
    with pytest.raises(PluginError, match="An empty (text|label) cannot be accepted"):
        queue.decide(queue.after(), "accepted", **change)
    assert queue.tally().reviewed == 0


def test_the_attribute_is_declared_with_a_description_once(dataset):
    queue = queue_of(dataset)
    assert queue.decide(queue.after(), "accepted")
    assert not queue.decide(queue.after(), "accepted")
    field = dataset.get_field(VERDICTS)
    assert isinstance(field, fo.StringField)
    assert "verdict" in field.description


def test_an_attribute_of_that_name_and_another_type_is_left_alone(dataset):
    dataset.add_sample_field(VERDICTS, fo.BooleanField)
    with pytest.raises(PluginError, match="not a BooleanField"):
        declare(dataset, "ground_truth", "caption")


def test_the_tally_counts_verdicts_and_what_is_left(dataset):
    queue = queue_of(dataset)
    total = len(captioned_places(dataset))
    assert str(queue.tally()) == f"0 of {total} reviewed"
    queue.decide(queue.after(), "accepted")
    queue.decide(queue.after(), "rejected")
    queue.decide(queue.after(), "accepted", text="changed")
    tally = queue.tally()
    assert (tally.accepted, tally.edited, tally.rejected, tally.total) == (1, 1, 1, total)
    assert tally.reviewed == 3


def test_reviewed_regions_leave_the_queue_and_are_shown_by_verdict(dataset):
    queue = queue_of(dataset)
    first, second, *others = captioned_places(dataset)
    queue.decide(queue.at(first), "accepted")
    queue.decide(queue.at(second), "rejected")
    assert walk(queue) == others
    assert walk(queue_of(dataset, show="accepted")) == [first]
    assert walk(queue_of(dataset, show="rejected")) == [second]
    assert walk(queue_of(dataset, show="edited")) == []
    assert walk(queue_of(dataset, show="all")) == [first, second, *others]


def test_the_queue_goes_on_after_a_region_that_was_just_reviewed(dataset):
    queue = queue_of(dataset)
    places = captioned_places(dataset)
    queue.decide(queue.at(places[1]), "accepted")
    assert queue.after(places[1]).place == places[2]


def test_the_queue_begins_anew_after_the_last_region(dataset):
    places = captioned_places(dataset)
    assert queue_of(dataset).after(places[-1]).place == places[0]


def test_nothing_comes_after_the_only_region(dataset):
    queue = queue_of(dataset)
    first, *others = captioned_places(dataset)
    for place in others:
        queue.decide(queue.at(place), "accepted")
    assert queue.after(first) is None
    assert queue.after().place == first
    queue.decide(queue.at(first), "accepted")
    assert queue.after() is None


def test_low_scores_are_those_below_the_threshold(dataset):
    queue = queue_of(dataset, below=0.5)
    scores = [queue.at(place).score for place in walk(queue)]
    assert scores
    assert max(scores) < 0.5
    assert len(scores) == queue.tally().total < queue_of(dataset).tally().total


def test_disagreements_are_labels_that_the_model_calls_otherwise(dataset):
    queue = queue_of(dataset, disagreeing=True)
    assert [queue.at(place).model_label for place in walk(queue)] == ["zebra"] * 3


def test_the_queue_can_keep_to_one_sample(dataset):
    last = dataset.last()
    queue = queue_of(dataset, sample_id=last.id)
    assert {place.sample_id for place in walk(queue)} == {last.id}
    assert queue.tally().total == len(last.ground_truth.detections) - 1


def test_a_view_is_reviewed_alone(dataset):
    view = dataset.match(fo.ViewField("filepath") == dataset.last().filepath)
    assert {place.sample_id for place in walk(queue_of(view))} == {dataset.last().id}


def test_verdicts_on_patches_reach_the_dataset(dataset):
    patches = dataset.to_patches("ground_truth")
    queue = queue_of(patches)
    item = queue.after()
    queue.decide(item, "accepted", text="by its patch")
    label = dataset.first().ground_truth.detections[0]
    assert (label["caption"], label["caption_reviewed"]) == ("by its patch", "edited")
    assert queue.at(item.place).verdict == "edited"
    assert queue.tally().edited == 1
    assert item.place not in walk(queue)


@pytest.mark.parametrize(
    ("kind", "single", "name"),
    [
        (fo.Polylines, fo.Polyline(label="a", points=[[(0.1, 0.1), (0.5, 0.5)]]), "polylines"),
        (fo.Keypoints, fo.Keypoint(label="a", points=[(0.1, 0.1)]), "keypoints"),
    ],
)
def test_polylines_and_keypoints_are_reviewed(scene_dataset, kind, single, name):
    dataset = scene_dataset(0)
    single["caption"] = "a line or so"
    dataset.set_values("drawn", [kind(**{name: [single]})], dynamic=True)
    queue = ReviewQueue(dataset, Subject("drawn", "caption"))
    queue.decide(queue.after(), "accepted")
    assert dataset.count_values(f"drawn.{name}.caption_reviewed") == {"accepted": 1}


def test_a_single_detection_is_reviewed(scene_dataset):
    dataset = scene_dataset(0)
    label = fo.Detection(label="a", bounding_box=[0, 0, 1, 1], caption="everything")
    dataset.set_values("whole", [label], dynamic=True)
    queue = ReviewQueue(dataset, Subject("whole", "caption"))
    queue.decide(queue.after(), "accepted")
    assert queue.after() is None
    assert dataset.first().whole["caption_reviewed"] == "accepted"


def test_a_region_that_was_deleted_is_said_to_be_gone_and_passed(dataset):
    queue = queue_of(dataset)
    first, second, *_ = captioned_places(dataset)
    item = queue.at(first)
    dataset.delete_labels(ids=[first.label_id])
    with pytest.raises(PluginError, match="somebody deleted it"):
        queue.decide(item, "accepted")
    assert queue.after(first).place == second


def test_fields_that_can_be_reviewed_have_texts(dataset):
    dataset.add_sample_field("other", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    dataset.add_sample_field("kind", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    texts, numbers = subjects_of(dataset)["ground_truth"]
    assert set(subjects_of(dataset)) == {"ground_truth"}
    assert texts == ["caption", "pam_label"]
    assert "pam_score" in numbers


@pytest.mark.parametrize(
    ("subject", "filters", "said"),
    [
        (Subject("nothing", "caption"), Filters(), "'nothing' is not a field with regions"),
        (Subject("filepath", "caption"), Filters(), "'filepath' is not a field with regions"),
        (Subject("ground_truth", "poem"), Filters(), "no attribute 'poem'; use one of .*caption"),
        (Subject("ground_truth", "caption"), Filters(below=0.5), "attribute with the score"),
        (Subject("ground_truth", "caption"), Filters(disagreeing=True), "the model's label"),
    ],
)
def test_impossible_queues_are_refused_with_a_sentence(dataset, subject, filters, said):
    with pytest.raises(PluginError, match=said):
        ReviewQueue(dataset, subject, filters)


@pytest.mark.parametrize(
    ("texts", "reviewed"), [(["caption"], 1), (["story", "caption"], 1), (["caption", "pam"], 1)]
)
def test_an_old_mark_counts_for_the_text_that_was_shown_first(dataset, texts, reviewed):
    sample = dataset.first()
    label = sample.ground_truth.detections[0]
    for text in texts:
        dataset.add_sample_field(f"ground_truth.detections.{text}", fo.StringField)
        label[text] = "words"
    label["reviewed"] = "accepted"
    sample.save()
    for text in texts:
        queue = ReviewQueue(dataset, Subject("ground_truth", text))
        is_first = text == "caption"
        assert queue.tally().accepted == (reviewed if is_first else 0)
        assert (queue.at(Place(sample.id, label.id)).verdict == "accepted") == is_first


def test_a_new_mark_counts_before_an_old_one(dataset):
    queue = queue_of(dataset)
    item = queue.after()
    sample = dataset.first()
    sample.ground_truth.detections[0]["reviewed"] = "accepted"
    sample.save()
    queue.decide(item, "rejected")
    assert queue.at(item.place).verdict == "rejected"
    assert (queue.tally().accepted, queue.tally().rejected) == (0, 1)
    assert walk(queue_of(dataset, show="rejected")) == [item.place]


def test_a_label_that_is_changed_is_marked_and_not_its_text(dataset):
    queue = queue_of(dataset)
    item = queue.after()
    queue.decide(item, "accepted", name="sun")
    label = dataset.first().ground_truth.detections[0]
    assert (label.label, label.label_reviewed, label.caption_reviewed) == (
        "sun",
        "edited",
        "accepted",
    )


def test_labels_with_one_id_are_not_reviewed(dataset):
    sample = dataset.first()
    first, second, *_ = sample.ground_truth.detections
    second.id = first.id
    sample.save()
    with pytest.raises(PluginError, match="2 labels of this sample have the id"):
        queue_of(dataset).at(Place(sample.id, first.id))
