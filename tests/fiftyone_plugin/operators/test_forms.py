"""The operators' forms as the App shows them: defaults, amounts and refusals."""

from __future__ import annotations

from contextlib import closing

import fiftyone as fo
import fiftyone.operators as foo
import pytest
from fiftyone.operators.executor import ExecutionContext, Executor

from fiftyone_plugin.operators.execution_store import recall, remember
from fiftyone_plugin.operators.forms import params_of
from fiftyone_plugin.operators.model_operator import collection_target, progress_of
from fiftyone_plugin.operators.options import FindOptions
from tests.fiftyone_plugin.app import FIELD, amount_in, context, ended_run_of, form_of, selected

FORMS = ["caption_regions", "segment_regions", "find_regions", "label_regions"]


@pytest.mark.parametrize("name", FORMS)
def test_a_form_opens_with_defaults_that_can_be_run(operator, scene_dataset, name):
    dataset = scene_dataset(0, 1)
    properties, refusals = form_of(operator(name), dataset)
    assert refusals == []
    regions = dataset.count("ground_truth.detections")
    if name == "find_regions":
        assert amount_in(properties) == "Everything in 2 images will be looked for."
    elif name == "segment_regions":  # the drawn masks are not PAM's
        assert amount_in(properties).startswith(
            f"{regions} regions in 2 images. {regions} answers by a person stay"
        )
    else:
        assert amount_in(properties) == f"{regions} regions in 2 images."
    assert next(iter(properties)) == "amount"
    assert properties["object_score"].default == "pam_object"


def test_the_form_counts_what_is_selected(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    first, second = dataset
    caption = operator("caption_regions")
    properties, _ = form_of(caption, dataset, selected=[second.id])
    count = len(second.ground_truth.detections)
    assert amount_in(properties) == f"{count} regions in 1 image."
    labels = selected(first, first.ground_truth.detections[0])
    properties, _ = form_of(caption, dataset, selected_labels=labels)
    assert properties["target"].default == "selected_labels"
    assert amount_in(properties) == "1 region in 1 image."
    properties, _ = form_of(caption, dataset, {"target": "dataset"}, selected_labels=labels)
    assert amount_in(properties).endswith("in 2 images.")


def test_the_form_offers_the_sample_that_is_open_and_the_view(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    sample = dataset.last()
    view = dataset.select(sample.id)._serialize()
    properties, _ = form_of(
        operator("caption_regions"), dataset, view=view, current_sample=sample.id
    )
    assert properties["target"].type.values == ["dataset", "view", "current_sample"]
    assert amount_in(properties).endswith("in 1 image.")


def test_the_form_offers_all_slices_of_a_grouped_dataset(operator, new_dataset, images):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    for name in ("left", "right"):
        label = fo.Detections(
            detections=[fo.Detection(label="a", bounding_box=[0.1, 0.1, 0.5, 0.5])]
        )
        sample = fo.Sample(filepath=str(images(0)), group=group.element(name), ground_truth=label)
        dataset.add_sample(sample)
    caption = operator("caption_regions")
    properties, _ = form_of(caption, dataset, group_slice="left")
    assert amount_in(properties) == "1 region in 1 image."
    properties, _ = form_of(caption, dataset, {"all_slices": True}, group_slice="left")
    assert amount_in(properties) == "2 regions in 2 images."


def test_the_form_counts_only_what_is_missing(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    for detection in sample.ground_truth.detections:
        detection["caption"] = "there"
    sample.save()
    properties, refusals = form_of(operator("caption_regions"), dataset, {"only": "missing"})
    assert refusals == []
    assert amount_in(properties).startswith("There is nothing to do")


@pytest.mark.parametrize(
    ("name", "params", "sentence"),
    [
        ("caption_regions", {"ask_brief": False}, "Nothing is asked"),
        ("caption_regions", {"brief": "9lives"}, "'9lives' cannot name an attribute"),
        ("caption_regions", {"brief": "tags"}, "'tags'"),
        ("caption_regions", {"ask_detailed": True, "detailed": "caption"}, "Two answers"),
        ("caption_regions", {"classes_from": "list"}, "classes has no name in it"),
        ("caption_regions", {"keep_masks": "mask_path"}, "Masks in files need a folder"),
        (
            "caption_regions",
            {"keep_masks": "mask_path", "mask_folder": "masks"},
            "The folder of the masks must be an absolute path",
        ),
        ("caption_regions", {"more": True, "device": "tpu"}, 'device must be a text such as "cpu"'),
        ("find_regions", {"field": "ground_truth"}, "already has a field 'ground_truth'"),
        ("find_regions", {"classes_from": "dataset"}, "has no classes"),
        (
            "segment_regions",
            {"write_to": "new", "new_field": "ground_truth"},
            "already has a field 'ground_truth'",
        ),
        (
            "label_regions",
            {"attribute": "label", "ask_saved_view": True, "saved_view": "x"},
            "A view of disagreements compares the label",
        ),
    ],
)
def test_the_form_refuses_the_impossible_with_a_sentence(
    operator, scene_dataset, name, params, sentence
):
    properties, refusals = form_of(operator(name), scene_dataset(0), params)
    assert len(refusals) == 1
    assert sentence in refusals[0]
    assert next(iter(properties)) == "refusal"  # above all fields
    assert properties["refusal"].view.label == refusals[0]
    assert properties["refusal"].invalid


def test_a_field_that_does_not_exist_is_refused(operator, scene_dataset):
    _, refusals = form_of(operator("caption_regions"), scene_dataset(0), {"field": "gone"})
    assert any(
        "'gone' is not a field with regions; use one of 'ground_truth'" in r for r in refusals
    )


@pytest.mark.parametrize("name", ["caption_regions", "segment_regions", "label_regions"])
def test_a_dataset_without_labels_is_led_to_find_regions(operator, new_dataset, images, name):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath=str(images(0))))
    properties, refusals = form_of(operator(name), dataset)
    ((first, view), (second, button)) = ((name, one.view) for name, one in properties.items())
    assert (first, second) == ("refusal", "find")
    assert refusals == [view.label]
    assert "no labels here yet. Find regions" in view.label
    assert (button.operator, button.prompt) == ("@pam-labeling/pam/find_regions", True)
    assert form_of(operator("find_regions"), dataset)[1] == []
    find = operator("find_regions").resolve_placement(context(dataset)).to_json()
    assert (find["place"], find["view"]["label"]) == (
        "samples-grid-secondary-actions",
        "Find regions",
    )
    assert operator("caption_regions").resolve_placement(context(dataset)) is None


def test_masks_onto_polylines_are_refused(operator, new_dataset, images):
    dataset = new_dataset()
    lines = fo.Polylines(polylines=[fo.Polyline(points=[[(0.1, 0.1), (0.4, 0.4), (0.1, 0.4)]])])
    dataset.add_sample(fo.Sample(filepath=str(images(0)), lines=lines))
    _, refusals = form_of(operator("segment_regions"), dataset)
    assert "Polylines keep no instance masks" in refusals[0]
    params = {"write_to": "new", "new_field": "regions"}
    assert form_of(operator("segment_regions"), dataset, params)[1] == []


def test_without_a_dataset_there_is_no_form(operator):
    ctx = ExecutionContext(request_params={}, executor=Executor())
    assert operator("caption_regions").resolve_input(ctx) is None


def test_the_form_starts_with_the_last_settings_of_the_dataset(operator, scene_dataset):
    dataset = scene_dataset(0)
    caption = operator("caption_regions")
    params = {
        "field": FIELD,
        "brief": None,
        "detailed": "long",
        "classes": ["cat, plain", "dog"],
        "mask": "instance",
        "only": "missing",
    }
    remember(context(dataset), "caption_regions", params)
    properties, refusals = form_of(caption, dataset)
    assert refusals == []
    starts = {name: each.default for name, each in properties.items()}
    assert (starts["ask_brief"], starts["ask_detailed"], starts["detailed"]) == (
        False,
        True,
        "long",
    )
    assert (starts["classes_from"], starts["class_names"]) == ("list", '"cat, plain", dog')
    assert (starts["keep_masks"], starts["only"]) == ("instance", "all")
    assert recall(context(scene_dataset(1)), "caption_regions") == {}


def test_a_script_does_not_change_how_a_form_starts(operator, scene_dataset):
    dataset = scene_dataset(0)
    operator("caption_regions")(dataset, field=FIELD, brief=None, detailed="x", device="cpu")
    foo.execute_operator(
        operator("caption_regions").uri, {"dataset": dataset}, params={"field": FIELD, "brief": "y"}
    )
    assert recall(context(dataset), "caption_regions") == {}
    properties, _ = form_of(operator("caption_regions"), dataset)
    assert properties["brief"].default == "caption"


def test_what_is_chosen_in_a_form_is_remembered_for_its_user(operator, scene_dataset, monkeypatch):
    dataset = scene_dataset(0)
    ctx = context(dataset, {"field": FIELD, "ask_brief": True, "brief": "mine"})
    operator("caption_regions").execute(ctx)
    ended_run_of(dataset)
    assert recall(ctx, "caption_regions")["brief"] == "mine"
    monkeypatch.setattr(ExecutionContext, "user_id", "somebody else")
    assert recall(ctx, "caption_regions") == {}


def test_the_model_of_a_new_form_is_that_of_the_environment(operator, scene_dataset, monkeypatch):
    monkeypatch.setenv("PAM_MODEL", "PAM-3B")
    properties, _ = form_of(operator("caption_regions"), scene_dataset(0))
    assert properties["model"].default == "PAM-3B"


def test_pams_own_words_beside_a_class_can_be_chosen(operator, scene_dataset):
    dataset = scene_dataset(0)
    label = operator("label_regions")
    properties, _ = form_of(label, dataset)
    assert (properties["ask_open_label"].default, properties["open_label"].default) == (
        True,
        "pam_open_label",
    )
    params = params_of({"field": FIELD, "ask_open_label": False, "ask_object_score": False})
    options = label.options_type.from_params(params)
    assert (options.open_label, options.object_score) == (None, None)


# Names that exist by now


def find_some(operator, dataset, **params):
    """A run of find_regions, as a form begins it."""
    return operator("find_regions")(dataset, points_per_side=4, **params)


def test_a_second_visit_proposes_the_next_free_names(operator, scene_dataset):
    dataset = scene_dataset(0)
    find_some(operator, dataset, field="everything")
    remember(context(dataset), "find_regions", {"field": "everything"})
    properties, refusals = form_of(operator("find_regions"), dataset)
    assert (properties["field"].default, refusals) == ("everything_2", [])
    dataset.clone_sample_field("everything", "everything_2")
    assert form_of(operator("find_regions"), dataset)[0]["field"].default == "everything_3"

    params = {"write_to": "new"}
    operator("segment_regions")(dataset, field=FIELD, new_field="pam_regions")
    properties, refusals = form_of(operator("segment_regions"), dataset, params)
    assert (properties["new_field"].default, refusals) == ("pam_regions_2", [])

    classes = ["circle", "square"]
    operator("label_regions")(
        dataset, field=FIELD, classes=classes, saved_view="Suspected mistakes"
    )
    remember(context(dataset), "label_regions", {"saved_view": "Suspected mistakes"})
    properties, refusals = form_of(operator("label_regions"), dataset)
    assert (properties["saved_view"].default, refusals) == ("Suspected mistakes 2", [])


def test_a_run_that_was_stopped_is_continued(operator, scene_dataset, monkeypatch):
    monkeypatch.setattr("fiftyone_plugin.operators.model_operator._SECONDS_BETWEEN", 0.0)
    dataset = scene_dataset(0, 1)
    find = operator("find_regions")
    options = FindOptions(field="found", points_per_side=4)
    with closing(progress_of(find.plan(options, collection_target(dataset, options)))) as steps:
        next(step for step in steps if step.done)
    properties, refusals = form_of(find, dataset)
    assert (properties["field"].default, refusals) == ("found", [])
    assert properties["continues"].view.label.startswith("Continue found: the run of ")
    assert amount_in(properties) == "Everything in 1 image will be looked for."
    params = {"field": "found", "continues": True, "points_per_side": 4}
    find.execute(context(dataset, params))
    assert ended_run_of(dataset, 2).counts.added
    dataset.reload()
    assert dataset.count("found") == 2
    properties, refusals = form_of(find, dataset, {"field": "found", "continues": False})
    assert len(refusals) == 1
    assert form_of(find, dataset)[0]["field"].default == "found_2"  # with the last settings


def test_no_open_sample_is_a_sentence(operator, scene_dataset):
    _, refusals = form_of(
        operator("caption_regions"), scene_dataset(0), {"target": "current_sample"}
    )
    assert "No sample is open: open one, or choose the view." in refusals
