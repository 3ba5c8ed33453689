"""The target of a run, in a real database."""

from __future__ import annotations

import re
import tempfile
from collections import Counter

import fiftyone as fo
import numpy as np
import pytest
from bson import ObjectId
from fiftyone import ViewField as F
from PIL import ExifTags, Image

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.regions import LabelRegion, UnusableLabel
from fiftyone_plugin.targets.listing import listing
from fiftyone_plugin.targets.missing import AnswerGroup, OverwritePolicy
from fiftyone_plugin.targets.target import TargetCounts, resolve
from fiftyone_plugin.targets.views import label_fields
from pam_labeling import Request, read_image
from tests.fiftyone_plugin.conftest import ground_truth, scene
from tests.fiftyone_plugin.target_samples import (
    BOX,
    SIZE,
    add_images,
    address,
    detections,
    label_ids,
    works_of,
)


@pytest.fixture
def dataset(new_dataset):
    return add_images(new_dataset())


def policy(only, *names):
    return OverwritePolicy(
        only, tuple(AnswerGroup((name,), (name,)) for name in names or ("caption",))
    )


def test_all_labels_of_a_dataset_are_worked_on_in_its_order(scene_dataset):
    dataset = scene_dataset(0, 1, 2)
    target = resolve(dataset, field="ground_truth")
    works = works_of(target, 2)
    assert [work.sample_id for work in works] == dataset.values("id")
    assert [work.filepath for work in works] == dataset.values("filepath")
    assert target.path == "ground_truth.detections"
    for work, sample in zip(works, dataset, strict=True):
        found = work.regions((512, 512))
        assert all(isinstance(region, LabelRegion) for region in found)
        assert [region.label_id for region in found] == [
            d.id for d in sample.ground_truth.detections
        ]


def test_chunks_have_at_most_the_size_asked_for(dataset):
    target = resolve(dataset, field="det")
    assert [len(chunk) for chunk in target.chunks(2)] == [2, 1]


def test_labels_come_with_all_their_attributes(dataset):
    sample = dataset.first()
    sample.det.detections[0]["note"] = "mine"
    sample.det.detections[0].tags.append("checked")
    sample.save()
    label = works_of(resolve(dataset, field="det"))[0].label.detections[0]
    assert (label.note, label.tags, label.label) == ("mine", ["checked"], "a")


def test_counting_is_what_is_worked_on(dataset):
    dataset.add_sample(fo.Sample(filepath="/images/none.png"))
    dataset.add_sample(fo.Sample(filepath="/images/empty.png", det=fo.Detections()))
    target = resolve(dataset, field="det")
    assert target.count() == TargetCounts(3, 6)
    assert len(works_of(target)) == 3


def test_nothing_to_do_counts_nothing(dataset):
    target = resolve(dataset.match(F("det.detections").length() > 5), field="det")
    assert target.count() == TargetCounts(0, 0)
    assert works_of(target) == []


def test_whole_images_are_all_samples(dataset):
    dataset.add_sample(fo.Sample(filepath="/images/none.png"))
    target = resolve(dataset.skip(1), field=None)
    assert target.count() == TargetCounts(3, 0)
    works = works_of(target)
    assert [work.sample_id for work in works] == dataset.skip(1).values("id")
    assert works[0].regions(SIZE) == []


@pytest.mark.parametrize(
    "stages",
    [
        lambda view: view.filter_labels("det", F("label") == "a"),
        lambda view: view.match_labels(filter=F("label") == "a").select_fields("det"),
        lambda view: view.sort_by("filepath", reverse=True).limit(2),
        lambda view: view.shuffle(seed=3),
        lambda view: view.select_labels(fields="det", ids=view.values("det.detections.id")[1]),
        lambda view: view.exists("det").skip(1),
    ],
)
def test_a_view_gives_exactly_the_labels_that_it_shows(dataset, stages):
    view = stages(dataset.view())
    target = resolve(view, field="det")
    assert [work.sample_id for work in works_of(target)] == view.values("id")
    assert label_ids(target) == Counter(view.values("det.detections.id", unwind=True))
    assert target.count() == TargetCounts(len(view), view.count("det.detections"))


def test_what_a_run_writes_moves_nothing_out_of_its_view(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    view = dataset.filter_labels("det", ~F("caption").exists())
    target = resolve(view, field="det")
    done = 0
    for chunk in target.chunks(1):
        for work in chunk:
            values = [address(work, label_id, "done") for label_id in work.label_ids]
            dataset.set_label_values("det.detections.caption", values)
            done += len(values)
    assert done == 6
    assert target.count() == TargetCounts(0, 0)


def test_samples_deleted_meanwhile_are_left_out(dataset):
    chunks = resolve(dataset, field="det").chunks(1)
    first = next(chunks)
    dataset.delete_samples(dataset.skip(1).limit(1))
    assert [work.sample_id for work in first] + [
        work.sample_id for chunk in chunks for work in chunk
    ] == dataset.values("id")


def test_only_labels_where_an_attribute_is_missing_or_empty(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    ids = dataset.values("det.detections.id", unwind=True)
    dataset.set_label_values(
        "det.detections.caption", {ids[0]: "a cat", ids[1]: "", ids[2]: " \n", ids[3]: None}
    )
    missing = resolve(dataset, field="det", policy=policy("missing"))
    empty = resolve(dataset, field="det", policy=policy("empty"))
    assert set(label_ids(missing)) == set(ids[3:])
    assert set(label_ids(empty)) == set(ids[1:])
    assert missing.count() == TargetCounts(2, 3)
    assert empty.count() == TargetCounts(3, 5)
    every = resolve(dataset, field="det", policy=policy("all"))
    assert set(label_ids(every)) == set(ids)


def test_a_label_with_one_open_attribute_is_a_prompt_for_that_attribute_alone(dataset):
    for name, kind in (("caption", fo.StringField), ("score", fo.FloatField)):
        dataset.add_sample_field(f"det.detections.{name}", kind)
    ids = dataset.values("det.detections.id", unwind=True)
    dataset.set_label_values("det.detections.caption", dict.fromkeys(ids[:4], "x"))
    dataset.set_label_values("det.detections.score", dict.fromkeys(ids[:2], 0.5))
    for only in ("missing", "empty"):
        target = resolve(dataset, field="det", policy=policy(only, "caption", "score"))
        assert set(label_ids(target)) == set(ids[2:])
        open_names = {
            region.label_id: set(work.writable(region))
            for work in works_of(target)
            for region in work.regions(SIZE)
        }
        assert open_names == {
            label: {"score"} if label in ids[:4] else {"caption", "score"} for label in ids[2:]
        }


def test_patches_are_labels_of_their_samples(dataset):
    view = dataset.to_patches("det").match(F("det.label") == "b")
    target = resolve(view, field="det")
    assert target.count() == TargetCounts(3, 3)
    works = works_of(target)
    assert [work.sample_id for work in works] == dataset.values("id")
    assert label_ids(target) == Counter(view.values("det.id"))
    assert (target.dataset, target.path) == (dataset, "det.detections")


def test_patches_of_one_image_are_one_piece_of_work(dataset):
    works = works_of(resolve(dataset.to_patches("det"), field="det"))
    assert [len(work.regions(SIZE)) for work in works] == [2, 2, 2]


def test_a_patches_view_shows_what_was_written_once_refreshed(dataset):
    dataset.add_sample_field("det.detections.caption", fo.StringField)
    view = dataset.to_patches("det")
    target = resolve(view, field="det")
    work = works_of(target)[0]
    values = [address(work, label_id, "seen") for label_id in work.label_ids]
    dataset.set_label_values("det.detections.caption", values)
    target.refresh()
    assert view.count_values("det.caption") == {"seen": 2, None: 4}


def test_refreshing_an_ordinary_view_changes_nothing(dataset):
    view = dataset.limit(1)
    resolve(view, field="det").refresh()
    assert view.values("id") == dataset.limit(1).values("id")


def test_evaluation_patches_are_labels_of_the_chosen_field(dataset):
    dataset.clone_sample_field("det", "predicted")
    dataset.evaluate_detections("predicted", gt_field="det", eval_key="eval")
    view = dataset.to_evaluation_patches("eval")
    target = resolve(view, field="predicted")
    assert label_ids(target) == Counter(dataset.values("predicted.detections.id", unwind=True))
    assert {work.sample_id for work in works_of(target)} == set(dataset.values("id"))


def test_single_labels_are_worked_on(new_dataset):
    dataset = new_dataset()
    dataset.add_samples(
        [
            fo.Sample(filepath="/images/0.png", one=fo.Detection(bounding_box=BOX)),
            fo.Sample(filepath="/images/1.png", one=None),
        ]
    )
    dataset.add_sample_field("one.caption", fo.StringField)
    target = resolve(dataset, field="one", policy=policy("missing"))
    assert (target.path, target.count()) == ("one", TargetCounts(1, 1))
    (work,) = works_of(target)
    (region,) = work.regions(SIZE)
    dataset.set_label_values("one.caption", [address(work, region.label_id, "x")])
    assert dataset.values("one.caption") == ["x", None]
    assert target.count() == TargetCounts(0, 0)


@pytest.mark.parametrize(
    ("field", "label"),
    [
        ("lines", fo.Polylines(polylines=[fo.Polyline(points=[[(0.1, 0.1), (0.4, 0.4)]])])),
        ("line", fo.Polyline(points=[[(0.1, 0.1), (0.4, 0.1), (0.4, 0.4)]], filled=True)),
        ("points", fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.1, 0.1), (float("nan"),) * 2])])),
        ("point", fo.Keypoint(points=[(0.1, 0.1)])),
        ("classes", fo.Segmentation(mask=np.eye(10, dtype=np.uint8))),
        ("masked", fo.Detection(bounding_box=BOX, mask=np.eye(10, dtype=bool))),
    ],
)
def test_every_label_type_is_read_back_from_the_database(new_dataset, field, label):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath="/images/0.png", **{field: label}))
    target = resolve(dataset, field=field)
    assert target.count() == TargetCounts(1, 1)
    (region,) = works_of(target)[0].regions(SIZE)
    assert isinstance(region, LabelRegion)


def test_a_field_inside_a_document_gets_a_sentence_that_helps(new_dataset):
    dataset = new_dataset()
    meta = fo.DynamicEmbeddedDocument(det=detections("a"))
    dataset.add_sample(fo.Sample(filepath="/images/0.png", meta=meta), dynamic=True)
    assert label_fields(dataset) == {}
    with pytest.raises(PluginError, match="'meta.det' is inside another field") as refusal:
        resolve(dataset, field="meta.det")
    advice = re.search(r"dataset\.clone_sample_field\(.*?\)", str(refusal.value))
    exec(advice[0], {"dataset": dataset})
    assert resolve(dataset, field="det").count() == TargetCounts(1, 1)


def test_classes_are_named_by_the_dataset_and_chosen_one_by_one(new_dataset):
    dataset = new_dataset()
    mask = np.zeros((8, 10), np.uint8)
    mask[:2], mask[2:4], mask[4:6] = 1, 2, 3
    dataset.add_sample(fo.Sample(filepath="/images/0.png", classes=fo.Segmentation(mask=mask)))
    dataset.default_mask_targets = {1: "sky"}
    (work,) = works_of(resolve(dataset, field="classes"))
    assert [region.label for region in work.regions(SIZE)] == ["sky", None, None]
    dataset.mask_targets = {"classes": {2: "road"}}
    dataset.add_sample_field("classes.caption", fo.DictField)
    (work,) = works_of(resolve(dataset, field="classes"))
    assert [region.label for region in work.regions(SIZE)] == [None, "road", None]
    label_id = next(iter(work.label_ids))
    captions = {"1": "blue", "2": " "}
    dataset.set_label_values("classes.caption", [address(work, label_id, captions)])
    for only, values in (("all", "123"), ("missing", "3"), ("empty", "23")):
        target = resolve(dataset, field="classes", policy=policy(only))
        regions = works_of(target)[0].regions(SIZE)
        assert [region.label_id for region in regions] == [f"{label_id}:{v}" for v in values]


def test_classes_without_any_attribute_yet_are_missing(new_dataset):
    dataset = new_dataset()
    mask = np.ones((8, 10), np.uint8)
    dataset.add_sample(fo.Sample(filepath="/images/0.png", classes=fo.Segmentation(mask=mask)))
    dataset.add_sample(
        fo.Sample(filepath="/images/1.png", classes=fo.Segmentation(mask_path="/nowhere.png"))
    )
    target = resolve(dataset, field="classes", policy=policy("missing"))
    found = [region for work in works_of(target) for region in work.regions(SIZE)]
    assert [type(region) for region in found] == [LabelRegion, UnusableLabel]


def test_an_empty_dataset_says_so(new_dataset):
    dataset = new_dataset()
    with pytest.raises(PluginError, match="is empty: add samples first"):
        resolve(dataset, field=None)
    dataset.add_sample_field("det", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
    with pytest.raises(PluginError, match="is empty: add samples first"):
        resolve(dataset, field="det")


@pytest.mark.parametrize("field", ["nothing", "det.detections", "tags", "filepath", "kind"])
def test_a_field_without_regions_gets_a_sentence_with_those_that_have(dataset, field):
    dataset.add_sample_field("kind", fo.EmbeddedDocumentField, embedded_doc_type=fo.Classification)
    with pytest.raises(PluginError, match="is not a field with regions; use one of 'det'"):
        resolve(dataset, field=field)


def test_a_dataset_without_labels_says_so(new_dataset):
    with pytest.raises(PluginError, match="this dataset or view has none"):
        resolve(new_dataset(), field="det")


def test_a_field_that_the_view_hides_gets_a_sentence(dataset):
    with pytest.raises(PluginError, match="is not a field with regions"):
        resolve(dataset.exclude_fields("det"), field="det")


def test_a_field_added_to_patches_alone_is_not_in_the_dataset(dataset):
    view = dataset.to_patches("det")
    view.set_values("extra", [detections("a") for _ in view])
    with pytest.raises(PluginError, match="is not in the view's dataset"):
        resolve(view, field="extra")


def test_what_is_no_collection_is_refused():
    with pytest.raises(PluginError, match="give a dataset or a view, not list"):
        resolve([], field="det")


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_boxes_are_those_of_the_upright_image(new_dataset, annotator, tmp_path, suffix):
    drawn = scene(4)
    turned, path = np.rot90(drawn.image), tmp_path / f"turned.{suffix}"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # stored a quarter turn counter-clockwise
    Image.fromarray(turned).save(path, exif=exif, quality=95)
    dataset = new_dataset()
    truth = fo.Detections(detections=ground_truth(drawn, masks=False))
    dataset.add_sample(fo.Sample(filepath=str(path), truth=truth))
    (work,) = works_of(resolve(dataset, field="truth"))
    image = read_image(work.filepath)
    assert image.size == drawn.image.shape[1::-1]
    prompts = [region.prompt for region in work.regions(image.size)]
    answer = annotator.annotate(Request(image, prompts=prompts, questions=()))
    best = max(
        (region.mask & item.mask).sum() / (region.mask | item.mask).sum()
        for region, item in zip(answer.results, drawn.objects, strict=True)
    )
    assert best > 0.8


def test_a_listing_closes_its_file_where_the_database_fails(monkeypatch):
    def rows():
        yield {"_id": ObjectId(), "labels": []}
        raise ConnectionError("gone")

    files = []
    make = tempfile.TemporaryFile
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: files.append(make()) or files[-1])
    with pytest.raises(ConnectionError):
        next(listing(rows()))
    assert files[0].closed


def test_a_listing_gives_what_the_database_gave(dataset):
    found = list(listing(resolve(dataset, field="det")._rows([])))
    assert [str(entry.document_id) for entry in found] == dataset.values("id")
    assert [[str(i) for i in e.label_ids] for e in found] == dataset.values("det.detections.id")


def test_a_listing_reads_everything_before_it_gives_the_first():
    rows = iter([{"_id": ObjectId(), "labels": [ObjectId()] * count} for count in range(3)])
    entries = listing(rows)
    assert next(entries).label_ids == ()
    assert next(rows, None) is None
    assert [len(entry.label_ids) for entry in entries] == [1, 2]
