"""Tests of what may be written where, and of how it is declared."""

from __future__ import annotations

import fiftyone as fo
import pytest
from bson import ObjectId

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import (
    Attribute,
    declare,
    label_field,
    short_text,
    undeclared,
    undeclared_labels,
)

CAPTION = Attribute("caption", "text", "What the region is.")
LABELS = {
    "detections": fo.Detections(detections=[fo.Detection(label="a", bounding_box=[0, 0, 1, 1])]),
    "detection": fo.Detection(label="a", bounding_box=[0, 0, 1, 1]),
    "polylines": fo.Polylines(polylines=[fo.Polyline(points=[[(0, 0), (1, 1)]])]),
    "keypoints": fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.5, 0.5)])]),
    "segmentation": fo.Segmentation(mask_path="/nowhere.png"),
}


@pytest.fixture
def dataset(new_dataset):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath="/nowhere.png", **LABELS))
    return dataset


@pytest.mark.parametrize(
    ("name", "root", "label_class"),
    [
        ("detections", "detections.detections", fo.Detection),
        ("detection", "detection", fo.Detection),
        ("polylines", "polylines.polylines", fo.Polyline),
        ("keypoints", "keypoints.keypoints", fo.Keypoint),
        ("segmentation", "segmentation", fo.Segmentation),
    ],
)
def test_finds_the_labels_of_every_type(dataset, name, root, label_class):
    place = label_field(dataset, name)
    assert (place.root, place.label_class, place.in_list) == (root, label_class, "." in root)
    assert place.list_name == (root.split(".")[1] if place.in_list else root)


def test_a_view_of_patches_points_to_its_source(dataset):
    place = label_field(dataset.to_patches("detections"), "detections")
    assert place.dataset is dataset
    assert place.root == "detections.detections"


def test_a_field_of_frames_is_declared_on_frames(new_dataset):
    dataset = new_dataset()
    sample = fo.Sample(filepath="/nowhere.mp4")
    sample.frames[1] = fo.Frame(boxes=LABELS["detections"].copy())
    dataset.add_sample(sample)
    place = label_field(dataset, "frames.boxes")
    missing = undeclared(place, [CAPTION])
    assert list(missing) == ["frames.boxes.detections.caption"]
    declare(dataset, missing)
    assert dataset.get_field("frames.boxes.detections.caption").description == CAPTION.description


def test_declares_with_description_and_type_and_leaves_documents_alone(dataset):
    before = dataset._sample_collection.find_one()
    place = label_field(dataset, "detections")
    declare(dataset, undeclared(place, [CAPTION, Attribute("words", "texts")]))
    field = dataset.get_field("detections.detections.caption")
    assert isinstance(field, fo.StringField)
    assert field.description == "What the region is."
    words = dataset.get_field("detections.detections.words")
    assert isinstance(words, fo.ListField)
    assert isinstance(words.field, fo.StringField)
    assert dataset._sample_collection.find_one() == before


@pytest.mark.parametrize("name", ["detections", "detection", "polylines", "keypoints"])
def test_what_is_declared_once_is_not_missing_again(dataset, name):
    place = label_field(dataset, name)
    declare(dataset, undeclared(place, [CAPTION]))
    assert undeclared(place, [CAPTION]) == {}


def test_what_labels_have_by_themselves_needs_no_declaration(dataset):
    own = [Attribute("label"), Attribute("mask"), Attribute("confidence", "number")]
    assert undeclared(label_field(dataset, "detections"), own) == {}


@pytest.mark.parametrize(
    ("field", "attribute", "sentence"),
    [
        ("detections", "id", "means something else to FiftyOne's Detection"),
        ("detections", "tags", "means something else"),
        ("detections", "copy", "means something else"),
        ("detections", "to_polyline", "means something else"),
        ("polylines", "mask", "A Polyline has no 'mask'"),
        ("detections", "a.b", "cannot name an attribute"),
        ("detections", "_cls", "cannot name an attribute"),
        ("detections", "", "cannot name an attribute"),
        ("detections", "7th", "cannot name an attribute"),
        ("detections", "two words", "cannot name an attribute"),
        ("detections", "self", "means something else to Python"),
        ("detections", "class", "means something else to Python"),
        ("detections", "attributes", "means something else to FiftyOne's Detection"),
    ],
)
def test_refuses_names_that_are_not_free(dataset, field, attribute, sentence):
    with pytest.raises(PluginError, match=sentence):
        undeclared(label_field(dataset, field), [Attribute(attribute)])


@pytest.mark.parametrize("name", ["filepath", "tags", "id", "save", "frames", "sample_id"])
def test_refuses_fields_that_samples_have(dataset, name):
    with pytest.raises(PluginError, match="means something else to FiftyOne"):
        undeclared(label_field(dataset, "detections"), [Attribute(name)], on_samples=True)


def test_refuses_an_attribute_that_is_declared_as_another_type(dataset):
    dataset.add_sample_field("detections.detections.caption", fo.FloatField)
    with pytest.raises(PluginError, match="is a FloatField, but text would be written"):
        undeclared(label_field(dataset, "detections"), [CAPTION])


def test_refuses_a_read_only_attribute(dataset):
    dataset.add_sample_field("detections.detections.caption", fo.StringField, read_only=True)
    with pytest.raises(PluginError, match="read-only"):
        undeclared(label_field(dataset, "detections"), [CAPTION])


@pytest.mark.parametrize(
    ("path", "attribute"),
    [
        ("detections.detections.label", "label"),
        ("detections.detections", "caption"),
        ("detections", "caption"),
        ("detections", "label"),
    ],
)
def test_refuses_what_is_read_only_by_itself_or_by_what_it_is_in(dataset, path, attribute):
    field = dataset.get_field(path)
    field.read_only = True
    field.save()
    with pytest.raises(PluginError, match=f"'{path}'.* read-only: write to another name, or make"):
        undeclared(label_field(dataset, "detections"), [Attribute(attribute)])


def test_refuses_a_read_only_field_of_samples(dataset):
    dataset.add_sample_field("summary", fo.StringField, read_only=True)
    with pytest.raises(PluginError, match="'summary' is read-only"):
        undeclared(label_field(dataset, "detections"), [Attribute("summary")], on_samples=True)


def test_refuses_values_that_do_not_fit_what_labels_have_by_themselves(dataset):
    place = label_field(dataset, "keypoints")
    with pytest.raises(PluginError, match="The 'confidence' of a Keypoint cannot be a number"):
        undeclared(place, [Attribute("confidence", "number")])
    assert undeclared(place, [Attribute("label")]) == {}


@pytest.mark.parametrize("name", ["detections", "detection"])
def test_refuses_undeclared_values_of_another_type(dataset, name):
    root = label_field(dataset, name).root
    path = f"{root}.0.caption" if "." in root else f"{root}.caption"
    dataset._sample_collection.update_one({}, {"$set": {path: 7}})
    with pytest.raises(PluginError, match="schema does not list and that is not text"):
        undeclared(label_field(dataset, name), [CAPTION])


@pytest.mark.parametrize("value", ["words", None])
def test_takes_undeclared_values_of_the_same_type(dataset, value):
    path = "detections.detections.0.caption"
    dataset._sample_collection.update_one({}, {"$set": {path: value}})
    assert undeclared(label_field(dataset, "detections"), [CAPTION])


def test_fields_of_samples_are_declared(dataset):
    place = label_field(dataset, "detections")
    declare(
        dataset, undeclared(place, [Attribute("summary", "text", "In short.")], on_samples=True)
    )
    assert dataset.get_field("summary").description == "In short."
    assert undeclared(place, [Attribute("summary")], on_samples=True) == {}


def test_makes_a_new_field_of_labels(dataset):
    place = label_field(dataset, "found", create=fo.Detections)
    missing = {**undeclared_labels(place, fo.Detections, "By PAM."), **undeclared(place, [CAPTION])}
    declare(dataset, missing)
    assert dataset.get_field("found").document_type is fo.Detections
    assert dataset.get_field("found").description == "By PAM."
    assert dataset.get_field("found.detections.caption") is not None
    assert undeclared_labels(place, fo.Detections) == {}


def test_refuses_a_field_that_is_missing_or_holds_something_else(dataset):
    with pytest.raises(PluginError, match="has no field 'nothing'; it has 'detections'"):
        label_field(dataset, "nothing")
    with pytest.raises(PluginError, match="holds no labels"):
        label_field(dataset, "filepath")
    with pytest.raises(PluginError, match="holds Polylines, not Detections"):
        label_field(dataset, "polylines", create=fo.Detections)
    with pytest.raises(PluginError, match="cannot name"):
        label_field(dataset, "not a name", create=fo.Detections)
    with pytest.raises(PluginError, match="means something else"):
        label_field(dataset, "save", create=fo.Detections)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("a red circle", "a red circle"),
        ("a red\n  circle ", "a red circle"),
        ("a red circle, left of two blue squares", "a red circle, left…"),
        ("x" * 30, "x" * 19 + "…"),
        ("", ""),
    ],
)
def test_short_texts_end_between_words(text, short):
    assert short_text(text, 20) == short
    assert len(short_text(text, 20)) <= 20


def test_ids_are_those_of_the_documents(dataset):
    place = label_field(dataset, "detections")
    assert place.documents.find_one({"_id": ObjectId(dataset.first().id)}) is not None
