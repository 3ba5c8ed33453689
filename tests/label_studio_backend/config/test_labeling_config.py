""""""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.label_interface.interface import LabelInterface

from label_studio_backend.config.controls import ImageTag, LabelingConfigError, ProjectLabel
from label_studio_backend.config.labeling_config import MAX_BYTES, LabelingConfig
from tests.label_studio_backend.config.configs import IMAGE, config_of

FIXTURES = Path(__file__).parents[1] / "fixtures"


def only_control(tags: str):
    (control,) = config_of(tags).controls
    return control


def schema(name: str) -> str:
    return str(json.loads((FIXTURES / name).read_text())["json"]["schema"])


def test_reads_what_label_studio_sends_at_setup():
    config = LabelingConfig.parse(schema("setup_image_brush.json"))
    assert config.images == (ImageTag("image", "$image"),)
    kinds = [(control.name, control.type) for control in config.controls]
    assert kinds == [
        ("brush", "brushlabels"),
        ("kp", "keypointlabels"),
        ("rect", "rectanglelabels"),
        ("caption", "textarea"),
        ("category", "choices"),
    ]
    brush = config.control("brush")
    assert brush is not None
    assert [(label.value, label.background) for label in brush.labels] == [
        ("object", False),
        ("background", True),
    ]
    assert [control.per_region for control in config.controls] == [False, False, False, True, True]
    category = config.control("category")
    assert category is not None
    assert [label.value for label in category.labels] == ["good", "bad"]


def test_names_are_those_that_the_sdk_reads():
    xml = schema("setup_image_polygon.json")
    names = {control.name for control in LabelingConfig.parse(xml).controls}
    assert names == {control.name for control in LabelInterface(xml).controls}


def test_parses_equal_texts_once():
    xml = schema("setup_image_brush.json")
    assert LabelingConfig.parse(xml) is LabelingConfig.parse(str(xml))


def test_video_is_refused_with_a_sentence():
    with pytest.raises(LabelingConfigError, match="shows only video, which is not supported"):
        LabelingConfig.parse(schema("setup_video.json"))


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (None, "is empty; it must be XML"),
        ("  ", "is empty; it must be XML"),
        (42, "is empty; it must be XML"),
        ("<View>", "not valid XML: no element found: line 1"),
        ("<View>\x00</View>", "not valid XML"),
        ("<View>\ud800</View>", "not valid XML"),
        ("<View><a:Image name='i' value='$i'/></View>", "unbound prefix"),
        ("<View>" * 300 + "</View>" * 300, "SDK cannot read.*Excessive depth"),
        ("<View><?x name='a' toName='b'?></View>", r"processing instruction \(<\?x"),
        (f"<View xmlns='http://x'>{IMAGE}</View>", '<View> .* has the namespace "http://x"'),
        ("<View xmlns:a='u'><a:Image name='i' value='$i'/></View>", "<Image> .* the namespace"),
        ("<View/>", "shows no image; add a tag such as <Image"),
        ("<View><Image value='$i'/></View>", "it needs a name and a value"),
        ("<View><Image name='i'/></View>", 'or for pages valueList="\\$pages"'),
        ("<View><Image name='i' valueList='$图'/></View>", "must name a key .* in ASCII letters"),
        (
            "<View><Repeater on='$i'><Image name='i' value='$i'/></Repeater></View>",
            'The name "i" inside <Repeater> .*; put "{{idx}}" into it',
        ),
        (f"<View>{IMAGE}<Repeater><Text name='t{{idx}}'/></Repeater></View>", 'needs .* on="'),
        (f"<View>{IMAGE}<Brush name='image' toName='image'/></View>", 'are called "image"'),
    ],
)
def test_refuses_what_is_no_config_of_images(xml, message):
    with pytest.raises(LabelingConfigError, match=message):
        LabelingConfig.parse(xml)


def test_refuses_entity_bombs_without_expanding_them():
    entities = "".join(
        f"<!ENTITY {name} '{f'&{below};' * 10}'>" for below, name in pairwise("abcdefghijkl")
    )
    bomb = f"<!DOCTYPE View [<!ENTITY a 'aaaaaaaaaa'>{entities}]>"
    with pytest.raises(LabelingConfigError, match="document type"):
        LabelingConfig.parse(f"{bomb}<View>{IMAGE}&l;</View>")


def test_refuses_ten_megabytes_before_parsing():
    with pytest.raises(LabelingConfigError, match=f"at most {MAX_BYTES:,}"):
        LabelingConfig.parse("<View>" + " " * 10 * 1024 * 1024 + "</View>")


def test_an_xml_declaration_is_read_over():
    xml = f'<?xml version="1.0" encoding="ISO-8859-1"?>\n<View>{IMAGE}<!-- é --></View>'
    assert LabelingConfig.parse(xml).images == (ImageTag("image", "$image"),)


def test_escaped_and_chinese_texts_come_out_as_written():
    control = only_control(
        '<Labels name="l" toName="image"><Label value="a &quot;b&quot; &lt;&amp;"/>'
        '<Label value="小狗"/></Labels>'
    )
    assert [label.value for label in control.labels] == ['a "b" <&', "小狗"]


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ('value="cat"', ProjectLabel("cat", ("cat",))),
        ('value="Cat  of\nmine" alias=""', ProjectLabel("Cat  of mine", ("Cat of mine",))),
        ('value="Person" alias="PER"', ProjectLabel("PER", ("Person", "PER"))),
        (
            'value="Vehicle" predicted_values="car, truck,,bus,car"',
            ProjectLabel("Vehicle", ("car", "truck", "bus")),
        ),
        ('value="BackGround"', ProjectLabel("BackGround", ("BackGround",), background=True)),
        ('value="背景"', ProjectLabel("背景", ("背景",), background=True)),
        (
            'value="Rest" alias="background"',
            ProjectLabel("background", ("Rest", "background"), background=True),
        ),
    ],
)
def test_a_label_is_spelled_for_results_and_for_the_model(label, expected):
    control = only_control(f'<BrushLabels name="b" toName="image"><Label {label}/></BrushLabels>')
    assert control.labels == (expected,)


def test_results_may_have_the_alias_and_not_the_value_it_stands_for():
    config = config_of(
        '<RectangleLabels name="r" toName="image"><Label value="Person" alias="PER"/>'
        "</RectangleLabels>"
    )

    def errors(label):
        value = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": [label]}
        result = {"from_name": "r", "to_name": "image", "type": "rectanglelabels", "value": value}
        return config.errors_of({"result": [result]})

    assert errors("PER") == []
    assert errors("Person") != []


def test_empty_and_repeated_labels_are_left_out():
    control = only_control(
        '<Labels name="l" toName="image"><Label value=""/><Label/><Label value=" "/>'
        '<Label value="a"/><View><Label value="a"/><Label value="b"/></View></Labels>'
    )
    assert [label.value for label in control.labels] == ["a", "b"]


def test_a_choice_called_background_is_a_choice():
    control = only_control(
        '<Choices name="c" toName="image"><Choice value="background"/></Choices>'
    )
    assert control.labels == (ProjectLabel("background", ("background",)),)


def test_a_taxonomy_is_its_paths_from_the_root():
    control = only_control(
        '<Taxonomy name="t" toName="image"><Choice value="Animal"><Choice value="Dog" alias="dog"/>'
        '<Choice value="Other"/></Choice><Choice value="Other" predicted_values="thing"/>'
        '<View><Choice/><Choice value="Other" alias="Other"/></View>'
        "</Taxonomy>"
    )
    assert dict(control.nodes) == {
        ("Animal",): ("Animal",),
        ("Animal", "dog"): ("Dog", "dog"),
        ("Animal", "Other"): ("Other",),
        ("Other",): ("thing",),
    }
    assert control.labels == ()


@pytest.mark.parametrize(
    ("attributes", "smart", "per_region"),
    [
        ("", True, False),
        ('smart="true" perRegion="true"', True, True),
        ('smart="false" perRegion="false"', False, False),
        ('Smart="false" perregion="true"', False, True),
    ],
)
def test_truth_of_attributes_is_that_of_label_studios_editor(attributes, smart, per_region):
    control = only_control(f'<KeyPoint name="k" toName="image" {attributes}/>')
    assert (control.smart, control.per_region) == (smart, per_region)


def test_attributes_are_read_in_any_case_and_cannot_be_changed():
    control = only_control('<TextArea name="t" toName="image" PAM=" brief "/>')
    assert control.attribute("pam") == "brief"
    assert control.attribute("pam_language") is None
    with pytest.raises(TypeError):
        control.attributes["pam"] = "off"


@pytest.mark.parametrize(
    ("to_name", "on"),
    [
        ("image", ["image"]),
        ("other,image", ["image"]),
        (" image , image", ["image"]),
        ("other", []),
        ("second,image", ["second", "image"]),
    ],
)
def test_a_control_is_on_each_image_of_its_list(to_name, on):
    second = '<Image name="second" value="$b"/>'
    config = config_of(f'{second}<Brush name="b" toName="{to_name}"/>')
    assert [control.to_name for control in config.controls] == on
    assert [config.control("b", name).to_name for name in on] == on


def test_several_images_have_their_own_controls():
    config = config_of(
        '<Image name="second" value="$b"/><Brush name="b2" toName="second"/>'
        '<Brush name="b1" toName="image"/>'
    )
    assert [image.name for image in config.images] == ["image", "second"]
    assert config.images[1] == ImageTag("second", "$b")
    assert [(control.name, control.to_name) for control in config.controls] == [
        ("b2", "second"),
        ("b1", "image"),
    ]
    assert config.control("b3") is None


def test_too_many_tags_on_too_many_images_are_refused():
    names = [f"i{number}" for number in range(101)]
    images = "".join(f'<Image name="{name}" value="$x"/>' for name in names)
    brushes = "".join(f'<Brush name="b{n}" toName="{",".join(names)}"/>' for n in range(100))
    with pytest.raises(LabelingConfigError, match="more than 10,000 tags on images"):
        LabelingConfig.parse(f"<View>{images}{brushes}</View>")


def test_errors_name_what_the_config_does_not_have():
    errors = config_of("").errors_of({"result": [{"from_name": "x", "to_name": "image"}]})
    assert any("Missing required field" in error for error in errors)


NAMES = st.sampled_from(["image", "a", "b", "$a", "", "a,b", "true", '"<&', "標籤", "背景"])
TAGS = st.sampled_from(
    [
        *("View", "Image", "Video", "Repeater", "Chat", "ReactCode", "Filter", "TextArea"),
        *("Labels", "Label", "BrushLabels", "Choices", "Choice", "Taxonomy", "Relations"),
    ]
)
ATTRIBUTES = st.dictionaries(
    st.sampled_from(
        ["name", "toName", "value", "valueList", "alias", "smart", "perRegion", "predicted_values"]
    ),
    NAMES,
)


@st.composite
def elements(draw, depth: int = 3) -> str:
    tag, attributes = draw(TAGS), draw(ATTRIBUTES)
    inside = draw(st.lists(elements(depth=depth - 1), max_size=3)) if depth else []
    listed = "".join(f" {name}={quoteattr(text)}" for name, text in attributes.items())
    return f"<{tag}{listed}>{''.join(inside)}</{tag}>"


@settings(max_examples=150, deadline=None)
@given(elements())
def test_any_xml_is_read_or_refused(xml):
    try:
        config = LabelingConfig.parse(f"<View>{xml}</View>")
    except LabelingConfigError:
        return
    assert config.images
