from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_backend.config.controls import LabelingConfigError
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.lint import LintReport, check_config
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.config.template import GEOMETRIES, build_config
from pam_model.tasks import LANGUAGES, Task

AWKWARD = ["cat", "a \"b\" <&> 'c'", "小狗", "true", "12", "名]]>", "a,b", "x" * 200]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_template_is_valid_and_nothing_is_found_wrong_with_it(geometry, language):
    xml = build_config(AWKWARD, language=language, geometry=geometry)
    LabelInterface(xml).validate()
    assert check_config(LabelingConfig.parse(xml), Options()) == LintReport()


@pytest.mark.parametrize(
    ("geometry", "shape", "labels"),
    [
        ("brush", "BrushLabels", "BrushLabels"),
        ("polygon", "PolygonLabels", "PolygonLabels"),
        ("ellipse", "EllipseLabels", "EllipseLabels"),
        ("rectangle", "Rectangle", "Labels"),
    ],
)
def test_shapes_are_answered_in_the_geometry_that_was_asked_for(geometry, shape, labels):
    plan = map_outputs(LabelingConfig.parse(build_config(AWKWARD, geometry=geometry)), Options())
    assert plan.shape.tag == shape
    assert plan.labels is not None
    assert plan.labels.tag == labels
    assert plan.vocabulary is not None
    assert list(plan.vocabulary.labels) == AWKWARD


@pytest.mark.parametrize(("label", "asked_in"), [("a", "en"), ("狗", "zh")])
@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_asked_for_in_the_language_and_labels_in_their_own(language, label, asked_in):
    config = LabelingConfig.parse(build_config([label], language=language, texts=list(Task)))
    plan = map_outputs(config, Options())
    assert [text.question for text in plan.texts] == [(task, language) for task in Task]
    assert plan.vocabulary is not None
    assert plan.vocabulary.asked_in == asked_in


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_only_points_and_boxes_are_tools(geometry):
    config = LabelingConfig.parse(build_config(["a"], geometry=geometry))
    smart = {control.tag for control in config.controls if control.attribute("smart") == "true"}
    by_hand = {control.tag for control in config.controls if control.attribute("smartOnly") is None}
    assert smart == {"KeyPoint", "Rectangle"}
    # Label Studio shows no tool of a list of labels without smartOnly, but a brush.
    assert by_hand - {"PolygonLabels", "EllipseLabels"} == {"Labels", "TextArea"}


def test_hotkeys_belong_to_the_labels_that_are_clicked_with():
    root = ET.fromstring(build_config(["a", "b"]))
    keys = {tag.tag: [label.get("hotkey") for label in tag] for tag in root.iter() if len(tag)}
    assert keys["Labels"] == [None, None]  # Label Studio assigns 1, 2, ...
    assert keys["BrushLabels"] == ["–", "–"]


@pytest.mark.parametrize("label", ["Background", "背景"])
def test_a_label_called_background_is_refused(label):
    with pytest.raises(LabelingConfigError, match=f'"{label}" is never .* Alt\\+click'):
        build_config(["a", label])


def test_labels_next_to_each_other_have_different_colours():
    config = build_config([str(number) for number in range(50)])
    colours = [part[:7] for part in config.split('background="')[1:51]]
    assert len(set(colours)) == 50


def test_the_image_comes_from_the_given_key():
    config = LabelingConfig.parse(build_config(["a"], data_key="photo"))
    assert config.images[0].value == "$photo"


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([], "at least one label"),
        (["a", " "], "Label 2 is empty"),
        (["a", " a "], 'The label "a" is given twice'),
        (["$a"], 'starts with "\\$"'),
        (["a\x00"], "XML cannot hold a character of the label 'a\\\\x00'"),
        (["\ud800"], "XML cannot hold a character"),
    ],
)
def test_labels_that_cannot_be_are_refused(labels, message):
    with pytest.raises(LabelingConfigError, match=message):
        build_config(labels)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"language": "de"}, "The language must be one of en, zh, not de"),
        ({"geometry": "box"}, "The geometry must be one of brush, polygon, rectangle, ellipse"),
        ({"data_key": 'a"b'}, "The key of the image"),
    ],
)
def test_arguments_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(LabelingConfigError, match=message):
        build_config(["a"], **arguments)


@pytest.mark.parametrize("geometry", GEOMETRIES)
def test_one_row_of_labels_stands_above_the_image(geometry):
    root = ET.fromstring(build_config(["a"], geometry=geometry))
    kinds = [element.tag for element in root.iter()]
    labels = [index for index, kind in enumerate(kinds) if kind.endswith("Labels")]
    assert max(labels) < kinds.index("Image")
    shown = [view.get("visibleWhen") for view in root.iter("View") if view.get("visibleWhen")]
    lists = 1 if geometry == "rectangle" else 2
    assert len(labels) == lists
    assert shown == ["no-region-selected", "region-selected"] * (lists - 1)
