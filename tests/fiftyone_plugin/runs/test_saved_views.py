"""Tests of the saved views that runs make, and that undo takes back."""

from __future__ import annotations

import pytest

FIELD = "ground_truth"


@pytest.fixture
def dataset(scene_dataset):
    return scene_dataset(0)


@pytest.fixture
def label(operator, dataset):
    """Labels the regions and saves the view of suspects; the run's key."""

    def run(**options):
        values = {"classes": ["circle", "star"], "saved_view": "suspects", **options}
        return operator("label_regions")(dataset, field=FIELD, progress=False, **values)["key"]

    return run


def test_the_view_goes_with_its_run(operator, dataset, label):
    key = label()
    assert key in dataset.get_saved_view_info("suspects")["description"]
    operator("undo_run")(dataset, key)
    assert not dataset.has_saved_view("suspects")


def test_a_clone_takes_back_its_own_view(operator, dataset, label):
    key = label()
    clone = dataset.clone()
    try:
        operator("undo_run")(clone, key)
        assert (clone.list_saved_views(), dataset.list_saved_views()) == ([], ["suspects"])
    finally:
        clone.delete()


def test_a_later_view_of_the_same_name_stays(operator, dataset, label):
    key = label()
    dataset.delete_saved_view("suspects")
    dataset.save_view("suspects", dataset.limit(1))
    operator("undo_run")(dataset, key)
    assert dataset.list_saved_views() == ["suspects"]


def test_a_view_of_another_run_stays(operator, dataset, label):
    first = label()
    dataset.delete_saved_view("suspects")
    second = label(attribute="other", score=None)
    operator("undo_run")(dataset, first)
    assert dataset.list_saved_views() == ["suspects"]
    operator("undo_run")(dataset, second)
    assert dataset.list_saved_views() == []


@pytest.mark.parametrize(
    "change", [{"name": "my suspects"}, {"description": "mine"}, {"color": "#FF0000"}]
)
def test_a_view_that_somebody_changed_stays(operator, dataset, label, change):
    key = label()
    dataset.update_saved_view_info("suspects", change)
    operator("undo_run")(dataset, key)
    assert dataset.list_saved_views() == [change.get("name", "suspects")]
