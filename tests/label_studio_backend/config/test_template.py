from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_backend.config.labeling_config import LabelingConfig, LabelingConfigError
from label_studio_backend.config.lint import check_config
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import map_outputs
from label_studio_backend.config.template import GEOMETRIES, build_config
from pam_model.tasks import LANGUAGES, Task

AWKWARD = ["cat", "a \"b\" <&> 'c'", "小狗", "true", "12", "名]]>", "a,b", "x" * 200]


@pytest.mark.parametrize("geometry", GEOMETRIES)
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("background", [True, False])
def test_a_template_is_valid_and_nothing_is_found_wrong_with_it(geometry, language, background):
    xml = build_config(AWKWARD, language=language, geometry=geometry, background=background)
    LabelInterface(xml).validate()
    findings = check_config(LabelingConfig.parse(xml), Options())
    # The one thing to know of a background is that Label Studio sends its clicks alone.
    assert findings.errors == ()
    assert ["Alt+click instead" in hint for hint in findings.hints] == [True] * background


@pytest.mark.parametrize(
    ("geometry", "tag"),
    [
        ("brush", "BrushLabels"),
        ("polygon", "PolygonLabels"),
        ("ellipse", "EllipseLabels"),
        ("rectangle", "RectangleLabels"),
    ],
)
def test_shapes_are_answered_in_the_geometry_that_was_asked_for(geometry, tag):
    config = LabelingConfig.parse(build_config(AWKWARD, geometry=geometry))
    plan = map_outputs(config, Options())
    assert plan.shape.tag == tag
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


def test_points_and_boxes_are_smart():
    config = LabelingConfig.parse(build_config(["a"], geometry="polygon"))
    smart = {control.tag for control in config.controls if control.attribute("smart") == "true"}
    assert smart == {"KeyPointLabels", "RectangleLabels"}


@pytest.mark.parametrize(
    ("labels", "language", "background"),
    [
        (["a"], "en", "background"),
        (["a"], "zh", "背景"),
        (["Background", "a"], "en", "Background"),
    ],
)
def test_points_and_brushes_can_have_a_background(labels, language, background):
    config = LabelingConfig.parse(build_config(labels, language=language, background=True))
    for control in config.controls:
        values = [label.value for label in control.labels]
        if control.tag in ("KeyPointLabels", "BrushLabels"):
            assert values == ["a", background]
        elif control.tag.endswith("Labels"):
            assert values == ["a"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_label_is_called_background_unless_it_is_asked_for(language):
    config = LabelingConfig.parse(build_config(["a"], language=language))
    assert {label.value for control in config.controls for label in control.labels} == {"a"}


def test_a_background_in_the_list_is_refused_unless_it_is_asked_for():
    with pytest.raises(LabelingConfigError, match=r'"Background" is never .*--background'):
        build_config(["a", "Background"])


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
        ([], "at least one label besides the background"),
        (["background"], "at least one label besides the background"),
        (["a", " "], "Label 2 is empty"),
        (["a", " a "], 'The label "a" is given twice'),
        (["a", "背景", "背景"], 'The label "背景" is given twice'),
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


@pytest.mark.parametrize(
    ("language", "titles"), [("en", "Mask Click Box"), ("zh", "掩码 点击 方框")]
)
def test_rows_of_labels_have_a_title_and_stand_above_the_image(language, titles):
    root = ET.fromstring(build_config(["a"], language=language))
    kinds = [element.tag for element in root.iter()]
    labels = [index for index, kind in enumerate(kinds) if kind.endswith("Labels")]
    assert max(labels) < kinds.index("Image")
    assert [header.get("value") for header in root.iter("Header")] == titles.split()
    assert [kinds[index - 1] for index in labels] == ["Header"] * 3
