"""Embeddings on a real database: `embed_regions`, the zoo's `embed`, and fiftyone.brain."""

from __future__ import annotations

import logging

import fiftyone as fo
import fiftyone.brain as fob
import numpy as np
import pytest
from fiftyone import ViewField as F
from PIL import Image

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.zoo import load_model
from tests.fiftyone_plugin.app import FIELD, context, ended_run_of, form_of, messages_of
from tests.fiftyone_plugin.boxes import state
from tests.fiftyone_plugin.conftest import ground_truth, scene

LABELS = "ground_truth.detections"
VECTORS = f"{LABELS}.pam_embedding"


@pytest.fixture(scope="module")
def nano():
    return load_model("pam-nano", "")


@pytest.fixture
def embed(operator):
    return operator("embed_regions")


def vectors_of(dataset, path=VECTORS):
    return np.stack(dataset.values(path, unwind=True))


def test_each_region_gets_a_vector_and_undo_takes_all_of_them(embed, operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    before = state(dataset)
    record = embed(dataset, field=FIELD)
    assert record["counts"]["regions"] == dataset.count(LABELS)
    assert isinstance(dataset.get_field(VECTORS), fo.VectorField)
    vectors = vectors_of(dataset)
    assert (vectors.dtype, vectors.shape[1]) == (np.float32, 336)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert dataset.bounds(f"{LABELS}.pam_object")[0] > 0.5
    operator("undo_run")(dataset, record["key"])
    assert state(dataset) == before


def test_vectors_of_an_earlier_run_come_back(embed, operator, scene_dataset):
    dataset = scene_dataset(0)
    embed(dataset, field=FIELD, attribute="vector")
    before = state(dataset)
    own = vectors_of(dataset, f"{LABELS}.vector")
    again = embed(dataset.limit(1).to_patches(FIELD).limit(1), field=FIELD, attribute="vector")
    assert again["counts"]["regions"] == 1
    operator("undo_run")(dataset, again["key"])
    assert state(dataset) == before
    np.testing.assert_array_equal(vectors_of(dataset, f"{LABELS}.vector"), own)


def test_only_what_is_missing_is_embedded(embed, scene_dataset):
    dataset = scene_dataset(0)
    embed(dataset.select_labels(ids=[dataset.first()[FIELD].detections[0].id]), field=FIELD)
    mine = np.ones(3, np.float32)
    sample = dataset.first()
    sample[FIELD].detections[0].pam_embedding = mine
    sample.save()
    for only in ("missing", "empty"):
        count = embed(dataset, field=FIELD, only=only)["counts"]["regions"]
        assert count == (dataset.count(LABELS) - 1 if only == "missing" else 0)
    np.testing.assert_array_equal(dataset.first()[FIELD].detections[0].pam_embedding, mine)


def test_a_form_opens_ready_and_runs(embed, scene_dataset):
    dataset = scene_dataset(0)
    properties, refusals = form_of(embed, dataset)
    assert refusals == []
    assert {"field", "attribute", "only", "model"} <= properties.keys()
    filled = {"field": FIELD, "ask_object_score": properties["ask_object_score"].default}
    messages = messages_of(embed.execute(context(dataset, filled)))
    assert any(name.endswith("open_panel") for name, _ in messages)
    record = ended_run_of(dataset)
    assert (record.state, record.counts.regions) == ("finished", dataset.count(LABELS))


def test_what_cannot_be_embedded_is_refused_with_a_reason(embed, scene_dataset):
    dataset = scene_dataset(0)
    dataset.set_values("classes", [fo.Segmentation(mask=np.eye(4, dtype=np.uint8))])
    with pytest.raises(PluginError, match="let segment_regions make detections"):
        embed(dataset, field="classes")
    dataset.add_sample_field(f"{LABELS}.mood", fo.StringField)
    with pytest.raises(PluginError, match=r"is a StringField, but a vector would be written"):
        embed(dataset, field=FIELD, attribute="mood")
    with pytest.raises(PluginError, match="A field is missing"):
        embed(dataset, field=None)


def test_failures_cost_no_other_region(embed, scene_dataset):
    dataset = scene_dataset(0, 1)
    first, second = dataset
    first[FIELD].detections[0].bounding_box = [0.2, 0.2, 0, 0.1]
    first[FIELD].detections[0].mask = None
    first.save()
    second.filepath = "/nowhere.png"
    second.save()
    record = embed(dataset, field=FIELD)
    assert record["counts"]["failed"] == 2
    assert record["counts"]["regions"] == len(first[FIELD].detections) - 1
    assert "empty" in dataset.first().pam_error


@pytest.fixture
def with_duplicates(embed, scene_dataset, tmp_path):
    """Three scenes and two of them again as smaller JPEGs, all regions embedded."""
    dataset = scene_dataset(0, 1, 2)
    for seed in (0, 1):
        image = Image.fromarray(scene(seed).image)
        path = tmp_path / f"{seed}.jpg"
        image.resize([side * 4 // 5 for side in image.size]).save(path, quality=75)
        found = fo.Detections(detections=ground_truth(scene(seed)))
        dataset.add_sample(fo.Sample(filepath=str(path), tags=["copy"], ground_truth=found))
    embed(dataset, field=FIELD)
    return dataset


def test_a_planted_duplicate_is_the_most_similar_region(with_duplicates):
    dataset = with_duplicates
    index = fob.compute_similarity(
        dataset, patches_field=FIELD, embeddings="pam_embedding", brain_key="alike"
    )
    originals = dataset.match_tags("copy", bool=False)
    copies = dataset.match_tags("copy")
    assert copies.count(LABELS) > 5
    assert index.total_index_size == dataset.count(LABELS)
    with index.use_view(originals.to_patches(FIELD)):
        for original, copy in zip(originals.limit(2), copies, strict=True):
            for one, other in zip(original[FIELD].detections, copy[FIELD].detections, strict=True):
                near = index.sort_by_similarity(other.id, k=1)
                assert near.values("id") == [one.id]
    index.find_duplicates(thresh=0.03)
    assert len(index.duplicate_ids) >= 0.9 * copies.count(LABELS)


def test_pictures_and_regions_are_ranked_and_mapped(with_duplicates):
    dataset = with_duplicates
    fob.compute_uniqueness(dataset, roi_field=FIELD, embeddings="pam_embedding")
    found = dataset.values("uniqueness")
    assert all(0 <= value <= 1 for value in found), found
    mapped = fob.compute_visualization(
        dataset, patches_field=FIELD, embeddings="pam_embedding", method="pca"
    )
    assert mapped.points.shape == (dataset.count(LABELS), 2)


def test_regions_without_a_vector_are_left_out_by_the_brain(embed, scene_dataset):
    dataset = scene_dataset(0, 1)
    embed(dataset.limit(1), field=FIELD)
    index = fob.compute_similarity(dataset, patches_field=FIELD, embeddings="pam_embedding")
    assert index.total_index_size == len(dataset.first()[FIELD].detections)
    assert dataset.match(F(f"{FIELD}.detections.pam_embedding").exists())


def test_the_zoo_model_embeds_pictures(nano, scene_dataset, caplog):
    dataset = scene_dataset(0, 1)
    vectors = dataset.compute_embeddings(nano)
    assert (vectors.dtype, vectors.shape) == (np.float32, (2, 336))
    assert not nano.can_embed_prompts
    np.testing.assert_array_equal(nano.get_embeddings(), vectors[1:])
    second = dataset.last()
    second.filepath = "/nowhere.png"
    second.save()
    with caplog.at_level(logging.WARNING):
        dataset.compute_embeddings(nano, embeddings_field="looks")
    np.testing.assert_allclose(dataset.first().looks, vectors[0], atol=1e-6)
    assert dataset.last().looks is None
    assert second.id in caplog.text


def test_the_zoo_model_embeds_patches(nano, scene_dataset):
    dataset = scene_dataset(0)
    two = [one.id for one in dataset.first()[FIELD].detections[:2]]
    view = dataset.select_labels(ids=two)
    view.compute_patch_embeddings(nano, FIELD, embeddings_field="cut", skip_failures=False)
    index = fob.compute_similarity(dataset, patches_field=FIELD, embeddings="cut")
    assert sorted(index.label_ids) == sorted(two)
    assert index.embeddings.shape == (2, 336)


def test_many_pictures_at_once_are_as_one_by_one(nano):
    images = [scene(0).image, scene(1).image]
    with nano:
        together = nano.embed_all(images)
        np.testing.assert_allclose(nano.embed(images[1]), together[1], atol=1e-5)
    with pytest.raises(ValueError, match="uint8 array"):
        nano.embed(np.zeros((4, 4)))
