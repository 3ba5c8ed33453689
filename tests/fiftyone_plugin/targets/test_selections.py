"""The target of a run from the App: the view and the selection."""

from __future__ import annotations

import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.targets.target import TargetCounts, resolve_context, selected_fields
from tests.fiftyone_plugin.target_samples import add_images, context, label_ids, selection


@pytest.fixture
def dataset(new_dataset):
    return add_images(new_dataset())


def test_the_context_gives_the_dataset_or_the_view(dataset):
    ctx = context(dataset, dataset.limit(1))
    assert resolve_context(ctx, field="det", where="dataset").count() == TargetCounts(3, 6)
    assert resolve_context(ctx, field="det", where="view").count() == TargetCounts(1, 2)


def test_the_dataset_of_a_patches_view_is_the_view_it_was_made_of(dataset):
    view = dataset.limit(2).to_patches("det")
    ctx = context(dataset, view.limit(1))
    assert resolve_context(ctx, field="det", where="dataset").count() == TargetCounts(2, 4)


def test_selected_samples_are_those_of_the_view(dataset):
    view = dataset.filter_labels("det", F("label") == "a")
    ctx = context(dataset, view, selected=dataset.values("id")[1:])
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert target.count() == TargetCounts(2, 2)


def test_selected_patches_are_their_labels(dataset):
    view = dataset.to_patches("det")
    ctx = context(dataset, view, selected=view.values("id")[:1])
    target = resolve_context(ctx, field="det", where="selected_samples")
    assert list(label_ids(target)) == view.values("det.id")[:1]


def test_selected_labels_are_worked_on_whatever_the_view_filters(dataset):
    chosen = selection(dataset.limit(2), "det", "b")
    ctx = context(dataset, dataset.filter_labels("det", F("label") == "a"), selected_labels=chosen)
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}
    assert target.count() == TargetCounts(2, 2)


def test_selected_labels_of_a_patches_view(dataset):
    view = dataset.to_patches("det")
    chosen = selection(view.limit(3), "det", "a")
    ctx = context(dataset, view, selected_labels=chosen)
    target = resolve_context(ctx, field="det", where="selected_labels")
    assert set(label_ids(target)) == {item["label_id"] for item in chosen}


def test_nothing_selected_gets_a_sentence(dataset):
    ctx = context(dataset)
    with pytest.raises(PluginError, match="No sample is selected"):
        resolve_context(ctx, field="det", where="selected_samples")
    with pytest.raises(PluginError, match="no label is selected"):
        resolve_context(ctx, field="det", where="selected_labels")


def test_labels_selected_in_another_field_get_a_sentence(dataset):
    chosen = selection(dataset, "det", "a")
    with pytest.raises(PluginError, match="the selected labels are in 'det', not in 'other'"):
        resolve_context(
            context(dataset, selected_labels=chosen), field="other", where="selected_labels"
        )


def test_selected_labels_by_field_keep_their_order():
    chosen = [{"field": f, "label_id": i} for f, i in (("a", "1"), ("b", "2"), ("a", "3"))]
    assert selected_fields(chosen) == {"a": ["1", "3"], "b": ["2"]}
