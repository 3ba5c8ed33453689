"""Regions as results in a project's own tags."""

from __future__ import annotations

import base64
import io
import itertools
import json
import math
from pathlib import Path

import numpy as np
import pytest
from label_studio_sdk.converter.brush import decode_rle
from PIL import Image

from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.translation.predictions import PredictionError, write_prediction
from pam_model.prompts import Prompt
from tests.label_studio_backend.prediction_check import check_prediction
from tests.label_studio_backend.translation.written import (
    SHAPES,
    SIZE,
    blob,
    by_tag,
    clicked,
    config_of,
    predict,
    region,
)

FIXTURES = Path(__file__).parents[1] / "fixtures"


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
