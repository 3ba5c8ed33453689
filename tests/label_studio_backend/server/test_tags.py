"""Tags and labels that Label Studio accepts, answered over HTTP by the embedded model."""

from __future__ import annotations

import base64

import numpy as np
import pytest

from label_studio_backend.translation.bitmask import read_bitmask, write_bitmask
from tests.label_studio_backend.answers import clicked_object, size_of
from tests.label_studio_backend.conftest import iou, png

URI = "data:image/png;base64," + base64.b64encode(png()).decode()
CLICK = {"x": 100 * 116 / size_of()[0], "y": 100 * 340 / size_of()[1], "width": 0.5}


def config_of(tags):
    return f'<View><Image name="image" value="$image"/>{tags}</View>'


@pytest.fixture
def ask(client):
    """Asks for one task, by clicks if there are any; returns the results."""

    def send(tags, *clicks, **data):
        body = {
            "tasks": [{"id": 1, "data": {"image": URI, **data}}],
            "label_config": config_of(tags),
            "project": "1.1",
            "params": {"context": {"result": list(clicks)} if clicks else None},
        }
        setup = client.post("/setup", json={"project": "1.1", "schema": body["label_config"]})
        assert setup.status_code == 200, setup.json
        answer = client.post("/predict", json=body)
        assert answer.status_code == 200, answer.json
        [prediction] = answer.json["results"]
        return prediction["result"]

    return send


def point(tag, *labels, name="point"):
    value = CLICK | ({tag: list(labels)} if labels else {})
    frame = {"original_width": size_of()[0], "original_height": size_of()[1]}
    return {"from_name": name, "to_name": "image", "type": tag, "value": value, **frame}


POINTS = '<KeyPointLabels name="point" toName="image"><Label value="ring"/></KeyPointLabels>'
BITS = '<BitmaskLabels name="bits" toName="image"><Label value="ring"/></BitmaskLabels>'


def test_a_click_is_answered_with_a_bitmask(ask):
    (shape,) = ask(POINTS + BITS, point("keypointlabels", "ring"))
    assert (shape["type"], shape["value"]["bitmasklabels"]) == ("bitmasklabels", ["ring"])
    mask = read_bitmask(shape["value"]["imageDataURL"], size_of())
    assert iou(mask, clicked_object()) > 0.9


def test_a_bitmask_that_was_painted_is_the_object(ask):
    painted = point("bitmasklabels", "ring", name="bits")
    painted["value"] = {
        "imageDataURL": write_bitmask(clicked_object()),
        "bitmasklabels": ["ring"],
    }
    (shape, caption) = ask(
        BITS + '<TextArea name="caption" toName="image" perRegion="true"/>', painted
    )
    mask = read_bitmask(shape["value"]["imageDataURL"], size_of())
    assert np.array_equal(mask, clicked_object())
    assert caption["value"]["text"][0]


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$meta.brands", {"meta": {"brands": [{"value": "ring"}, {"value": "cross"}]}}),
        ("$meta.brands", {"meta": {"brands": [{"value": "cross"}]}}),  # the list lacks it
        ("$meta.brands", {}),
        ("$lists[1]", {"lists": [[], [{"value": "ring"}]]}),
    ],
)
def test_a_label_of_a_list_in_task_data_stays(ask, value, data):
    tags = f"""<Labels name="names" toName="image" value="{value}"/>
      <Brush name="brush" toName="image"/><KeyPoint name="point" toName="image"/>"""
    # Label Studio puts the label of `Labels` into the result of the point.
    click = point("keypoint")
    labels = {**click, "from_name": "names", "type": "labels"}
    labels["value"] = {**CLICK, "labels": ["ring"]}
    shape, label = ask(tags, {**click, "id": "a"}, {**labels, "id": "a"}, **data)
    assert shape["type"] == "brush"
    assert label["value"]["labels"] == ["ring"]


def test_all_labels_of_a_click_stay(ask):
    labels = '<Label value="ring"/><Label value="yellow thing"/>'
    tags = f"""<BrushLabels name="b" toName="image" choice="multiple">{labels}</BrushLabels>
      <KeyPointLabels name="point" toName="image" choice="multiple">{labels}</KeyPointLabels>"""
    (shape,) = ask(tags, point("keypointlabels", "ring", "yellow thing"))
    assert shape["value"]["brushlabels"] == ["ring", "yellow thing"]


@pytest.mark.parametrize("label", ["ring", "cross"])
def test_a_region_gets_the_attributes_of_its_class_only(ask, label):
    labels = '<Label value="ring"/><Label value="cross"/>'
    tags = f"""<BrushLabels name="mask" toName="image">{labels}</BrushLabels>
      <KeyPointLabels name="point" toName="image">{labels}</KeyPointLabels>"""
    for name in ("ring", "cross"):
        tags += f"""<Choices name="{name}_type" toName="image" perRegion="true" pam_label_fit="0"
          whenTagName="mask" whenLabelValue="{name}"><Choice value="a"/><Choice value="b"/>
          </Choices>"""
    names = [result["from_name"] for result in ask(tags, point("keypointlabels", label))]
    assert names == ["mask", f"{label}_type"]


def test_the_whole_image_is_captioned_and_classified(ask):
    tags = """<TextArea name="caption" toName="image" rows="5" maxSubmissions="1"/>
      <Choices name="choice" toName="image" pam_label_fit="0">
      <Choice value="picture"/><Choice value="Weapons"/></Choices>"""
    caption, choice = ask(tags)
    assert caption["value"]["text"][0]
    assert choice["value"]["choices"][0] in ("picture", "Weapons")
    assert caption["id"] != choice["id"]
