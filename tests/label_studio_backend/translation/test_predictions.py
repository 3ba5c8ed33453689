"""Regions as results in a project's own tags, and what is never sent."""

from __future__ import annotations

import base64
import copy
import io
import itertools
import json
import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation.predictions import PredictionError, write_prediction
from label_studio_backend.translation.prompts import RegionPrompt, task_prompts, whole_image
from pam_labeling.formats.brush_rle import encode
from pam_labeling.regions import Provenance, Region, Scores
from pam_labeling.vocabulary import Choice
from pam_model.prompts import Prompt
from pam_model.tasks import Task
from tests.label_studio_backend.prediction_check import check_prediction

FIXTURES = Path(__file__).parents[1] / "fixtures"
SIZE = (64, 48)
LABELS = '<Label value="Car"/><Label value="Dog"/><Label value="Background"/>'
WORDS = """
  <TextArea name="caption" toName="image" perRegion="true"/>
  <TextArea name="definition" toName="image" perRegion="true"/>
  <Choices name="category" toName="image" perRegion="true">
    <Choice value="animal"/><Choice value="machine"/>
  </Choices>
  <Taxonomy name="class" toName="image" perRegion="true">
    <Choice value="living"><Choice value="dog"/></Choice><Choice value="dead"/>
  </Taxonomy>
"""
SHAPES = ["Brush", "Bitmask", "Polygon", "Ellipse", "Rectangle", "KeyPoint"]


def config_of(shape, words=WORDS):
    separate = f'<Labels name="labels" toName="image">{LABELS}</Labels>'
    inside, beside = (LABELS, "") if shape.endswith("Labels") else ("", separate)
    return LabelingConfig.parse(
        f'<View><Image name="image" value="$image"/>'
        f'<{shape} name="shape" toName="image">{inside}</{shape}>{beside}{words}</View>'
    )


def blob(x=20, y=12, radius=8):
    mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    cv2.circle(mask, (x, y), radius, 1, -1)
    return mask.astype(bool)


def region(mask=None, label="Dog", iou=0.9, share=0.5, choices=True):
    chosen = {
        "category": Choice("animal", 0.75, np.array([0.75, 0.25], np.float32), 0.0),
        "class": Choice("living > dog", 0.5, np.array([0.5, 0.5], np.float32), 0.0),
    }
    return Region.from_mask(
        blob() if mask is None else mask,
        Scores(iou=iou, object=0.9, label=share),
        Provenance("nano", "0"),
        label=label,
        texts={(Task.BRIEF, "en"): "a brown dog", (Task.DEFINITION, "en"): ""},
        choices=chosen if choices else {},
    )


def clicked(*labels, region_id=None, prompt=None):
    return RegionPrompt(prompt or Prompt.from_points([(20, 12)]), labels, "kp", region_id)


def predict(config, *answers, **options):
    options = Options(**options)
    plan = map_outputs(config, options)
    prediction = write_prediction(answers, plan, options, model_version="nano (pam-labeling 0)")
    check_prediction(prediction, config, SIZE)
    json.dumps(prediction, allow_nan=False)
    return prediction


def by_tag(prediction):
    return {result["from_name"]: result for result in prediction["result"]}


# --- what is written


def test_a_note_about_the_image_is_in_the_details_of_the_first_region():
    config = LabelingConfig.parse(
        '<View><Image name="image" value="$image"/><BrushLabels name="brush" toName="image">'
        '<Label value="Dog"/></BrushLabels></View>'
    )
    prediction = write_prediction(
        [(region(), None), (region(), None)],
        map_outputs(config, Options()),
        Options(),
        model_version="nano",
        note="This is a photograph.",
    )
    check_prediction(prediction, config, SIZE)
    details = [result.get("meta") for result in prediction["result"]]
    assert details == [{"text": ["This is a photograph."]}, None]


@pytest.mark.parametrize("shape", [*SHAPES, *(f"{shape}Labels" for shape in SHAPES)])
def test_every_shape_is_written_with_its_label_texts_and_choices_under_one_id(shape):
    prediction = predict(config_of(shape), (region(), None))
    results = by_tag(prediction)
    kind = shape.lower()
    assert results["shape"]["type"] == kind
    assert results["caption"]["value"] == {"text": ["a brown dog"]}
    assert results["category"]["value"] == {"choices": ["animal"]}
    assert results["class"]["value"] == {"taxonomy": [["living", "dog"]]}
    assert "definition" not in results  # its text is empty
    label = results["shape" if kind.endswith("labels") else "labels"]["value"]
    assert label[kind if kind.endswith("labels") else "labels"] == ["Dog"]
    (region_id,) = {result["id"] for result in prediction["result"]}
    assert len(region_id) == 10  # as Label Studio's own, whose panels cut longer ones
    for result in prediction["result"]:
        assert (result["original_width"], result["original_height"]) == SIZE
        assert (result["image_rotation"], result["to_name"]) == (0, "image")
    assert prediction["model_version"] == "nano (pam-labeling 0)"


def test_results_have_the_form_of_those_that_label_studio_showed():
    path = FIXTURES / "response_brush_caption_choices.json"
    shown = json.loads(path.read_text(encoding="utf-8"))["results"][0]
    written = by_tag(predict(config_of("BrushLabels"), (region(), None)))
    for name, theirs in zip(("shape", "caption", "category"), shown["result"], strict=True):
        assert set(theirs) | {"score"} == set(written[name])
        assert theirs["type"] == written[name]["type"]
        assert set(theirs["value"]) == set(written[name]["value"])


def test_a_brush_is_the_mask():
    value = by_tag(predict(config_of("BrushLabels"), (region(), None)))["shape"]["value"]
    theirs = decode_rle(value["rle"]).reshape(SIZE[1], SIZE[0], 4)[:, :, 3] > 0
    assert np.array_equal(theirs, blob())


def test_a_bitmask_is_a_png_of_black_pixels_on_transparent_ones():
    value = by_tag(predict(config_of("BitmaskLabels"), (region(), None)))["shape"]["value"]
    head, _, content = value["imageDataURL"].partition(",")
    assert head == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(content)))
    pixels = np.asarray(image.convert("RGBA"))
    assert not pixels[..., :3].any()
    assert np.array_equal(pixels[..., 3], np.where(blob(), 255, 0))


def test_the_result_of_labels_repeats_the_geometry():
    results = by_tag(predict(config_of("Rectangle"), (region(), None)))
    value = results["labels"]["value"]
    assert {key: value[key] for key in results["shape"]["value"]} == results["shape"]["value"]


def test_a_rectangle_is_turned_as_the_box_that_was_drawn():
    corners = Prompt.from_box((15, 20, 45, 30), angle=25).box_corners
    mask = Prompt.from_polygon(corners.tolist(), SIZE).mask
    prompt = Prompt.from_box((14, 19, 46, 31), angle=25)
    answer = (region(mask), clicked(prompt=prompt))
    value = by_tag(predict(config_of("RectangleLabels"), answer))["shape"]["value"]
    assert value["rotation"] == 25


def test_parts_of_a_polygon_are_regions_of_their_own_and_complete():
    answer = (region(blob() | blob(48, 36)), clicked(region_id="region-on-the-task"))
    prediction = predict(config_of("PolygonLabels"), answer)
    regions = {
        region_id: [result["from_name"] for result in results]
        for region_id, results in itertools.groupby(
            prediction["result"], key=lambda result: result["id"]
        )
    }
    assert list(regions.values()) == [["shape", "caption", "category", "class"]] * 2
    assert next(iter(regions)) == "region-on-the-task"


@pytest.mark.parametrize("region_id", [None, "r1", "region-on-the-task"])
def test_ids_are_unique_and_that_of_a_region_on_the_task_stays(region_id):
    answers = [(region(), clicked(region_id=region_id)) for _ in range(3)]
    prediction = predict(config_of("BrushLabels", ""), *answers)
    ids = [result["id"] for result in prediction["result"]]
    assert len(set(ids)) == 3
    assert {len(one) for one in ids if one != "region-on-the-task"} == {10}
    assert ids.count("region-on-the-task") == (region_id == "region-on-the-task")


def test_scores_say_how_sure_the_model_is():
    prediction = predict(config_of("Brush"), (region(iou=0.8, share=0.5), None))
    scores = {name: result["score"] for name, result in by_tag(prediction).items()}
    assert scores == {"shape": 0.4, "labels": 0.5, "caption": 0.8, "category": 0.75, "class": 0.5}
    assert prediction["score"] == 0.4


def test_a_persons_label_takes_nothing_from_the_score():
    answer = (region(iou=0.8, share=0.1), clicked("Car"))
    results = by_tag(predict(config_of("Brush"), answer))
    assert (results["shape"]["score"], results["labels"]["score"]) == (0.8, 0.8)
    assert results["labels"]["value"]["labels"] == ["Car"]


def test_a_predictions_score_is_the_mean_of_its_regions():
    answers = [(region(iou=iou, share=None), clicked("Car")) for iou in (0.5, 0.9)]
    assert predict(config_of("BrushLabels"), *answers)["score"] == pytest.approx(0.7)


def test_a_score_outside_its_range_is_moved_to_its_edge():
    answer = (region(iou=1.02, share=None), clicked("Car"))
    assert predict(config_of("BrushLabels"), answer)["score"] == 1.0


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(PredictionError, match="finite"):
        predict(config_of("BrushLabels"), (region(iou=math.nan), None))


def test_nothing_found_is_an_empty_prediction():
    assert predict(config_of("BrushLabels")) == {
        "result": [],
        "score": 0.0,
        "model_version": "nano (pam-labeling 0)",
    }


# --- labels


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


# --- tags for some regions, and for the whole image


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


# --- there and back

_MASKS = arrays(np.bool_, (SIZE[1], SIZE[0]), elements=st.booleans(), fill=st.just(False)).filter(
    np.any
)


def again(config, prediction):
    task = {"predictions": [{"result": prediction["result"], "model_version": "another"}]}
    return task_prompts(task, config, SIZE, options=Options(), image="image")


@settings(deadline=None)
@given(_MASKS)
@pytest.mark.parametrize("shape", ["BrushLabels", "Brush", "BitmaskLabels", "Bitmask"])
def test_a_brush_comes_back_exactly(shape, mask):
    config = config_of(shape)
    (back,) = again(config, predict(config, (region(mask), None)))
    assert np.array_equal(back.prompt.mask, mask)
    assert back.labels == ("Dog",)


@settings(deadline=None)
@given(_MASKS)
@pytest.mark.parametrize("shape", ["RectangleLabels", "Rectangle"])
def test_a_rectangle_comes_back_exactly(shape, mask):
    config = config_of(shape)
    (back,) = again(config, predict(config, (region(mask), None)))
    assert back.prompt.box == pytest.approx(region(mask).box, abs=1e-9)
    assert back.labels == ("Dog",)


@settings(deadline=None, max_examples=30)
@given(st.integers(12, 50), st.integers(12, 36), st.integers(5, 11))
def test_a_polygon_comes_back_closely(x, y, radius):
    config = config_of("PolygonLabels")
    mask = blob(x, y, radius)
    answer = (region(mask), None)
    (back,) = again(config, predict(config, answer, polygon_tolerance=0.5))
    both = np.count_nonzero(back.prompt.mask & mask)
    assert both / np.count_nonzero(back.prompt.mask | mask) > 0.85


@settings(deadline=None, max_examples=40)
@given(_MASKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_every_mask_makes_a_prediction_that_may_be_sent(shape, mask):
    config = config_of(f"{shape}Labels")
    assert again(config, predict(config, (region(mask), None)))


# --- the check


def brush_prediction():
    return predict(config_of("BrushLabels"), (region(), None))


def change(prediction, path, value):
    *way, last = path
    target = prediction
    for key in way:
        target = target[key]
    target[last] = value


SHAPE = ("result", 0)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ((*SHAPE, "value", "rle"), [0, 1, 2, 3], "run lengths"),
        ((*SHAPE, "value", "rle"), encode(blob())[:-4], "cut off"),
        ((*SHAPE, "value", "rle"), encode(np.ones((64, 64), np.bool_)), "4,096 pixels"),
        ((*SHAPE, "value", "rle"), encode(np.zeros((48, 64), np.bool_)), "empty"),
        ((*SHAPE, "value", "rle"), None, "run lengths"),
        ((*SHAPE, "value", "brushlabels"), ["Zebra"], "no \\['Zebra'\\]"),
        ((*SHAPE, "value", "brushlabels"), ["Background"], "no \\['Background'\\]"),
        ((*SHAPE, "value"), {}, "brushlabels"),
        ((*SHAPE, "from_name"), "brush", 'no tag "brush"'),
        ((*SHAPE, "to_name"), "photo", "is not on 'photo'"),
        ((*SHAPE, "type"), "brush", "no results of type 'brush'"),
        ((*SHAPE, "original_width"), 63, "original size"),
        ((*SHAPE, "original_height"), None, "original size"),
        ((*SHAPE, "image_rotation"), 90, "not turned"),
        ((*SHAPE, "id"), "regA", "10 characters"),
        ((*SHAPE, "id"), None, "10 characters"),
        ((*SHAPE, "id"), "another-region", "0 shapes"),
        ((*SHAPE, "score"), math.nan, "score"),
        ((*SHAPE, "score"), "0.5", "score"),
        ((*SHAPE, "score"), True, "score"),
        (("score",), 1.5, "score"),
        (("score",), None, "score"),
        (("model_version",), "", "model_version"),
        (("result",), [None], "form"),
        (("result",), None, "form"),
        (("result", 1, "value", "text"), [" "], "no text"),
        (("result", 1, "value", "text"), [], "no text"),
        (("result", 2, "value", "choices"), ["plant"], "no \\['plant'\\]"),
        (("result", 2, "value", "choices"), [], "nothing is chosen"),
        (("result", 3, "value", "taxonomy"), [["dog"]], "no \\[\\('dog',\\)\\]"),
    ],
)
def test_what_is_wrong_is_never_sent(path, value, message):
    prediction = brush_prediction()
    change(prediction, path, value)
    with pytest.raises(PredictionError, match=message):
        check_prediction(prediction, config_of("BrushLabels"), SIZE)


@pytest.mark.parametrize(
    ("shape", "key", "value", "message"),
    [
        ("RectangleLabels", "x", -1, "x is -1"),
        ("RectangleLabels", "x", math.nan, "x is nan"),
        ("RectangleLabels", "width", 95, "ends outside"),
        ("RectangleLabels", "height", 0, "height is 0"),
        ("RectangleLabels", "rotation", 400, "rotation is 400"),
        ("EllipseLabels", "radiusX", 101, "radiusX is 101"),
        ("EllipseLabels", "radiusX", 60, "label_studio_sdk refuses"),
        ("KeyPointLabels", "y", math.inf, "y is inf"),
        ("PolygonLabels", "points", [[1, 1], [2, 2]], "3 points or more"),
        ("PolygonLabels", "points", [[1, 1], [2, 2], [3, 101]], "outside 0 to 100"),
        ("PolygonLabels", "points", [[1, 1], [2, 2], [3, math.nan]], "outside 0 to 100"),
        ("PolygonLabels", "points", [1, 2, 3], "form"),
    ],
)
def test_geometry_outside_the_image_is_never_sent(shape, key, value, message):
    config = config_of(shape)
    prediction = predict(config, (region(), None))
    change(prediction, (*SHAPE, "value", key), value)
    with pytest.raises(PredictionError, match=message):
        check_prediction(prediction, config, SIZE)


def test_an_id_shared_by_two_regions_is_never_sent():
    config = config_of("BrushLabels")
    prediction = predict(config, (region(), None), (region(), None))
    for result in prediction["result"]:
        result["id"] = "the-same-for-all"
    with pytest.raises(PredictionError, match="more than one region"):
        check_prediction(prediction, config, SIZE)


def test_an_empty_label_of_labels_is_never_sent():
    config = config_of("Brush")
    prediction = predict(config, (region(), None))
    by_tag(prediction)["labels"]["value"]["labels"] = []
    with pytest.raises(PredictionError, match="no label"):
        check_prediction(prediction, config, SIZE)


def test_tags_that_are_not_answered_in_are_never_sent():
    config = config_of("BrushLabels", '<Rating name="stars" toName="image" perRegion="true"/>')
    prediction = predict(config, (region(), None))
    rating = copy.deepcopy(prediction["result"][0])
    rating |= {"from_name": "stars", "type": "rating", "value": {"rating": 3}}
    prediction["result"].append(rating)
    with pytest.raises(PredictionError, match="not a tag that is answered in"):
        check_prediction(prediction, config, SIZE)
