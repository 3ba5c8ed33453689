"""Which labels a region gets, and which tags are answered for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation.predictions import write_prediction
from label_studio_backend.translation.prompts import whole_image
from pam_labeling.regions import Provenance, Region, Scores
from pam_labeling.vocabulary import Choice
from tests.label_studio_backend.translation.written import (
    SIZE,
    again,
    blob,
    by_tag,
    clicked,
    config_of,
    predict,
    region,
)


@pytest.mark.parametrize("shape", ["RectangleLabels", "Rectangle"])
def test_a_region_somebody_pointed_at_stays_without_a_likely_label(shape):
    answer = (region(label=None), clicked())
    results = by_tag(predict(config_of(shape), answer))
    assert results["shape"]["value"].get("rectanglelabels", []) == []
    assert "labels" not in results


def test_a_found_region_without_a_likely_label_is_left_out():
    assert predict(config_of("BrushLabels"), (region(label=None), None))["result"] == []


def test_a_project_without_labels_keeps_what_is_found():
    config = LabelingConfig.parse(
        '<View><Image name="image" value="$image"/><Brush name="shape" toName="image"/></View>'
    )
    assert len(predict(config, (region(label=None), None))["result"]) == 1


def test_the_models_label_may_replace_the_persons():
    answer = (region(label="Dog"), clicked("Car"))
    results = by_tag(predict(config_of("BrushLabels"), answer, keep_label=False))
    assert results["shape"]["value"]["brushlabels"] == ["Dog"]


@pytest.mark.parametrize("label", ["Zebra", "Background"])
def test_a_label_that_this_tag_cannot_be_given_is_never_written(label):
    answer = (region(label=label), clicked(label))
    results = by_tag(predict(config_of("BrushLabels"), answer))
    assert results["shape"]["value"]["brushlabels"] == []


def test_all_labels_that_the_annotator_chose_stay_in_and_out():
    config = config_of("BrushLabels", "")
    prediction = predict(config, (region(), clicked("Dog", "Car")))
    assert by_tag(prediction)["shape"]["value"]["brushlabels"] == ["Dog", "Car"]
    (back,) = again(config, prediction)
    assert back.labels == ("Dog", "Car")


def test_a_chosen_label_that_the_tag_cannot_hold_stands_in_the_details():
    shape, _ = predict(
        config_of("BrushLabels", ""), (region(), clicked("Zebra")), (region(), clicked("Car"))
    )["result"]
    assert shape["value"]["brushlabels"] == ["Dog"]
    assert shape["meta"] == {"text": ["chosen: Zebra"]}


@pytest.mark.parametrize("tag", ["BrushLabels", "Labels"])
def test_a_list_in_task_data_keeps_every_label_that_the_annotator_chose(tag):
    shape = "" if tag == "BrushLabels" else '<Brush name="shape" toName="image"/>'
    config = LabelingConfig.parse(
        f'<View><Image name="image" value="$image"/>{shape}'
        f'<{tag} name="labels" toName="image" value="$nowhere"/></View>'
    )
    result = predict(config.for_task({}), (region(label=None), clicked("ring")))["result"][-1]
    assert result["value"][tag.lower()] == ["ring"]
    assert "meta" not in result


@pytest.mark.parametrize(
    ("label", "open_label", "details"),
    [
        ("Dog", None, None),
        ("Dog", "a wolf", ["PAM: a wolf"]),
        (None, "a wolf", ["PAM: a wolf"]),
    ],
)
def test_the_details_say_what_the_model_would_call_a_region_otherwise(label, open_label, details):
    answer = (replace(region(label=label), open_label=open_label), clicked())
    shape = by_tag(predict(config_of("BrushLabels"), answer))["shape"]
    assert shape.get("meta") == (details and {"text": details})


def test_the_details_of_the_open_mode_say_the_models_name_where_it_is_another():
    answers = [(region(label=label), clicked()) for label in ("a puppy", "car.", "zebra")]
    prediction = predict(
        config_of("BrushLabels", ""), *answers, labels="open", mapping={"A Puppy": "Dog"}
    )
    details = [result.get("meta", {}).get("text") for result in prediction["result"]]
    assert details == [["PAM: a puppy"], None, ["PAM: zebra"]]


CLASS = """<Choices name="{0}" toName="image" perRegion="true" pam="label" {1}>
  <Choice value="a ball" alias="x"/><Choice value="y"/></Choices>"""


@pytest.mark.parametrize(
    ("attributes", "is_answered"),
    [
        ('whenTagName="shape" whenLabelValue="Dog"', True),
        ('whenTagName="shape" whenLabelValue="Car"', False),
        ('whenLabelValue="Car,Dog"', True),
        ('visibleWhen="region-selected" whenTagName="shape"', True),
        ('visibleWhen="region-selected" whenTagName="another"', False),
        ('visibleWhen="region-selected" whenLabelValue="Car"', False),
        ('visibleWhen="no-region-selected"', False),
        ('visibleWhen="choice-selected"', True),
        ('visibleWhen="choice-selected" whenTagName="first" whenChoiceValue="x"', True),
        ('visibleWhen="choice-selected" whenTagName="first" whenChoiceValue="y"', False),
        ('visibleWhen="choice-selected" whenTagName="first" whenChoiceValue="a ball"', True),
        ('visibleWhen="choice-selected" whenTagName="another"', False),
        ('visibleWhen="choice-unselected" whenTagName="first" whenChoiceValue="y"', True),
        ('visibleWhen="choice-unselected" whenTagName="first" whenChoiceValue="x,y"', False),
        ('whenChoiceValue="x"', True),
        ('whenChoiceValue="y"', False),
    ],
)
def test_a_tag_is_answered_where_the_editor_shows_it(attributes, is_answered):
    chosen = {name: Choice("x", 0.9, np.array([0.9, 0.1]), 0.0) for name in ("first", "second")}
    answer = (replace(region(), choices=chosen), None)
    text = f'<TextArea name="caption" toName="image" perRegion="true" {attributes}/>'
    first = CLASS.format("first", "")
    around = f"<View {attributes}>{CLASS.format('second', '')}</View>"
    for tags in (CLASS.format("second", attributes), around, text):
        if tags is around and "visibleWhen" not in attributes and "Choice" not in attributes:
            continue  # a View heeds whenLabelValue only with visibleWhen
        names = set(by_tag(predict(config_of("BrushLabels", first + tags), answer)))
        assert names - {"shape", "first"} == (
            set() if not is_answered else {"caption"} if tags is text else {"second"}
        )


WHOLE = """
  <TextArea name="caption" toName="image"/>
  <Choices name="choice" toName="image"><Choice value="animal"/></Choices>
  <Taxonomy name="class" toName="image"><Choice value="dog"/></Taxonomy>
  <TextArea name="detailed" toName="image" perRegion="true"/>
  <Choices name="type" toName="image" visibleWhen="region-selected"><Choice value="x"/></Choices>
"""


def test_without_a_shape_the_whole_image_is_described_with_an_id_for_each_answer():
    config = LabelingConfig.parse(f'<View><Image name="image" value="$image"/>{WHOLE}</View>')
    names = {"choice": "animal", "class": "dog", "type": "x"}
    chosen = {name: Choice(label, 0.8, np.array([0.8]), 0.0) for name, label in names.items()}
    (prompt,) = whole_image(SIZE)
    assert prompt.prompt.mask.all()
    plan = map_outputs(config, Options())
    answers = [(replace(region(iou=1.0), choices=chosen), prompt)]
    prediction = write_prediction(answers, plan, Options(), model_version="nano")
    assert {result["from_name"]: result["value"] for result in prediction["result"]} == {
        "caption": {"text": ["a brown dog"]},
        "choice": {"choices": ["animal"]},
        "class": {"taxonomy": [["dog"]]},
    }
    assert len({result["id"] for result in prediction["result"]}) == 3
    assert config.errors_of(prediction) == []
    assert prediction["score"] == 0.8  # of the choices: words have none of their own


def test_open_labels_are_mapped_to_the_projects():
    answers = [(region(label=label), None) for label in ("a puppy", "car.", "zebra")]
    prediction = predict(
        config_of("BrushLabels", ""), *answers, labels="open", mapping={"A Puppy": "Dog"}
    )
    labels = [result["value"]["brushlabels"] for result in prediction["result"]]
    assert labels == [["Dog"], ["Car"]]


def test_found_regions_of_a_low_iou_are_left_out():
    answers = [(region(iou=0.3), None), (region(iou=0.3), clicked())]
    assert len(predict(config_of("BrushLabels", ""), *answers, iou_threshold=0.5)["result"]) == 1


def test_a_choice_that_is_not_likely_enough_is_not_written():
    unsure = Region.from_mask(
        blob(),
        Scores(0.9, 0.9, 0.5),
        Provenance("nano", "0"),
        label="Dog",
        choices={"category": Choice(None, 0.02, np.array([0.02], np.float32), 0.98)},
    )
    assert list(by_tag(predict(config_of("BrushLabels"), (unsure, None)))) == ["shape"]
