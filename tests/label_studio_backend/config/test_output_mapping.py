from __future__ import annotations

import pytest

from label_studio_backend.config.controls import ImageTag, LabelingConfigError
from label_studio_backend.config.labeling_config import LabelingConfig
from label_studio_backend.config.options import Options
from label_studio_backend.config.output_mapping import MAX_CHOICES, map_images, map_outputs
from pam_model.tasks import Question, Task

CLASSES = (
    '<Choices name="c" toName="image" perRegion="true" pam="label"><Choice value="a"/></Choices>'
)
LABELS = '<Label value="cat"/><Label value="dog"/><Label value="background"/>'
BRUSH = f'<BrushLabels name="brush" toName="image">{LABELS}</BrushLabels>'
BOX = f'<RectangleLabels name="box" toName="image">{LABELS}</RectangleLabels>'


def config_of(tags: str) -> LabelingConfig:
    return LabelingConfig.parse(f'<View><Image name="image" value="$image"/>{tags}</View>')


def plan_of(tags: str, prompt: str | None = None, **options):
    config = config_of(tags)
    control = None if prompt is None else config.control(prompt)
    return map_outputs(config, Options(**options), prompt_control=control)


@pytest.mark.parametrize(
    ("tags", "shape"),
    [
        (["KeyPointLabels", "BrushLabels", "RectangleLabels"], "BrushLabels"),
        (["RectangleLabels", "EllipseLabels", "PolygonLabels"], "PolygonLabels"),
        (["RectangleLabels", "EllipseLabels"], "EllipseLabels"),
        (["KeyPointLabels", "RectangleLabels"], "RectangleLabels"),
        (["KeyPoint", "Rectangle"], "Rectangle"),
        (["PolygonLabels", "Brush"], "Brush"),
        (["KeyPointLabels"], "KeyPointLabels"),
        (["Brush", "BrushLabels"], "Brush"),
        (["BrushLabels", "Brush"], "BrushLabels"),
    ],
)
def test_shapes_go_to_the_most_faithful_kind_of_tag(tags, shape):
    xml = "".join(f'<{tag} name="{tag}" toName="image"/>' for tag in tags)
    assert plan_of(xml).shape.tag == shape


def test_a_project_of_polygons_is_answered_in_polygons_when_asked_with_a_box():
    polygon = f'<PolygonLabels name="poly" toName="image">{LABELS}</PolygonLabels>'
    assert plan_of(BOX + polygon, prompt="box").shape.name == "poly"


def test_the_output_option_names_the_tag():
    assert plan_of(BRUSH + BOX, output="box").shape.name == "box"


def test_a_tag_that_is_off_is_not_answered_in():
    off = BRUSH.replace("<BrushLabels", '<BrushLabels pam="OFF"')
    assert plan_of(off + BOX).shape.name == "box"


@pytest.mark.parametrize("output", ["nothing", "caption", "brush"])
def test_an_output_that_cannot_hold_a_shape_is_refused(output):
    tags = BRUSH.replace("<BrushLabels", '<BrushLabels pam="off"') + BOX
    tags += '<TextArea name="caption" toName="image"/>'
    with pytest.raises(LabelingConfigError, match=f'output must .*"box".*not "{output}"'):
        plan_of(tags, output=output)


def test_a_config_without_shapes_is_refused():
    with pytest.raises(LabelingConfigError, match='No tag on the image "image" can hold a shape'):
        plan_of('<TextArea name="caption" toName="image" perRegion="true"/>')


@pytest.mark.parametrize(
    ("tags", "texts", "choices"),
    [  # Label Studio's templates "Image Captioning" and "Image Classification"
        ('<TextArea name="caption" toName="image" rows="5" maxSubmissions="1"/>', ["caption"], []),
        ('<Choices name="choice" toName="image"><Choice value="a"/></Choices>', [], ["choice"]),
        ('<Choices name="choice" toName="image" value="$options"/>', [], []),
    ],
)
def test_without_shapes_texts_and_choices_are_about_the_whole_image(tags, texts, choices):
    plan = plan_of(tags + CLASSES)
    assert (plan.shape, plan.labels, plan.vocabulary) == (None, None, None)
    assert [text.control.name for text in plan.texts] == texts
    assert [choice.control.name for choice in plan.choices] == choices


def test_with_shapes_the_whole_image_is_not_described():
    tags = '<TextArea name="caption" toName="image"/>'
    assert plan_of(BRUSH + tags).texts == ()
    with pytest.raises(LabelingConfigError, match='"image" can hold a shape'):
        plan_of(BRUSH.replace("<BrushLabels", '<BrushLabels pam="off"') + tags, prompt="brush")


TWO = (
    '<Image name="second" value="$second"/><RectangleLabels name="box2" toName="second">'
    f"{LABELS}</RectangleLabels>"
    '<TextArea name="caption2" toName="second" perRegion="true"/>'
    '<TextArea name="caption1" toName="image" perRegion="true"/>'
)


def test_the_image_that_was_asked_on_is_answered():
    plan = plan_of(BRUSH + TWO, prompt="box2")
    assert plan.image == ImageTag("second", "$second")
    assert plan.shape.name == "box2"
    assert [text.control.name for text in plan.texts] == ["caption2"]


def test_without_a_prompt_the_first_image_with_shapes_is_answered():
    assert plan_of(BRUSH + TWO).image.name == "image"
    assert plan_of(TWO).image.name == "second"


def test_an_output_on_another_image_leaves_this_one_its_own():
    assert plan_of(BRUSH + TWO, prompt="box2", output="brush").shape.name == "box2"
    assert plan_of(BRUSH + TWO, output="box2").image.name == "second"


def test_each_image_with_a_tag_for_shapes_is_answered_in_its_own_tags():
    alone = '<Image name="alone" value="$c"/><TextArea name="t" toName="alone"/>'
    mapped = map_images(config_of(BRUSH + BOX + TWO + alone), Options(output="box2"))
    assert [(one.image.name, one.shape.name) for one in mapped] == [
        ("image", "brush"),
        ("second", "box2"),
    ]


def test_a_tag_on_several_images_answers_on_each():
    config = config_of(TWO + BRUSH.replace('toName="image"', 'toName="image,second"'))
    mapped = map_images(config, Options(output="brush"))
    assert [(one.image.name, one.shape.name, one.shape.to_name) for one in mapped] == [
        ("image", "brush", "image"),
        ("second", "brush", "second"),
    ]


def test_a_shape_with_labels_holds_the_label():
    plan = plan_of(BRUSH)
    assert plan.labels is plan.shape
    assert plan.vocabulary is not None
    assert plan.vocabulary.labels == ("cat", "dog")
    assert plan.label_values == {"cat", "dog"}


def test_a_plain_shape_takes_its_label_from_separate_labels():
    labels = (
        f'<Labels name="none" toName="image"/><Labels name="names" toName="image">{LABELS}</Labels>'
    )
    plan = plan_of(f'<Brush name="brush" toName="image"/>{labels}')
    assert plan.labels is not None
    assert plan.labels.name == "names"


@pytest.mark.parametrize(
    "tags",
    [
        '<Brush name="brush" toName="image"/>',
        '<BrushLabels name="brush" toName="image"/>',
        '<BrushLabels name="brush" toName="image"><Label value="Background"/></BrushLabels>',
    ],
)
def test_without_labels_there_is_nothing_to_choose(tags):
    plan = plan_of(tags)
    assert plan.labels is None
    assert plan.vocabulary is None
    assert plan.label_values == frozenset()


def test_phrases_language_and_label_fit_come_from_the_tag():
    plan = plan_of(
        '<BrushLabels name="b" toName="image" pam_language="zh" pam_label_fit="0.4">'
        '<Label value="狗" predicted_values="小狗,犬"/></BrushLabels>',
        language="en",
        label_fit=0.1,
    )
    assert plan.vocabulary is not None
    assert plan.vocabulary.phrases == {"狗": ("小狗", "犬")}
    assert (plan.vocabulary.language, plan.vocabulary.label_fit) == ("zh", 0.4)


def test_label_fit_is_the_projects_where_the_tag_says_nothing_and_the_language_the_lists():
    plan = plan_of(BRUSH, language="zh", label_fit=0.1)
    assert plan.vocabulary is not None
    assert (plan.vocabulary.asked_in, plan.vocabulary.label_fit) == ("en", 0.1)


def test_the_threshold_of_version_0_1_is_refused_by_the_name_of_the_new_attribute():
    with pytest.raises(LabelingConfigError, match="pam_label_fit replaces pam_threshold"):
        plan_of(BRUSH.replace("<BrushLabels", '<BrushLabels pam_threshold="0.4"'))


def text_area(attributes: str) -> str:
    return f'{BRUSH}<TextArea toName="image" perRegion="true" {attributes}/>'


@pytest.mark.parametrize(
    ("attributes", "task"),
    [
        ('name="x" pam="brief"', Task.BRIEF),
        ('name="x" pam="Detailed"', Task.DETAILED),
        ('name="x" pam="label"', Task.LABEL),
        ('name="caption" pam="definition"', Task.DEFINITION),
        ('name="Definition"', Task.DEFINITION),
        ('name="label_definition"', Task.DEFINITION),
        ('name="detailed_caption"', Task.DETAILED),
        ('name="imageCaption"', Task.BRIEF),
        ('name="description"', Task.BRIEF),
        ('name="brief"', Task.BRIEF),
        ('name="open_label"', Task.LABEL),
        ('name="名词解释"', Task.DEFINITION),
        ('name="详细描述"', Task.DETAILED),
        ('name="描述"', Task.BRIEF),
        ('name="标签"', Task.LABEL),
    ],
)
def test_a_text_area_gets_what_its_attribute_or_name_asks_for(attributes, task):
    plan = plan_of(text_area(attributes))
    assert [text.question for text in plan.texts] == [Question(task)]
    assert plan.questions == (Question(task),)


@pytest.mark.parametrize(
    "tag",
    [
        '<TextArea name="notes" toName="image" perRegion="true"/>',
        '<TextArea name="caption" toName="image" perRegion="true" pam="off"/>',
        '<TextArea name="caption" toName="image"/>',
        '<Choices name="caption" toName="image" perRegion="true"/>',
    ],
)
def test_other_tags_get_no_text(tag):
    assert plan_of(BRUSH + tag).texts == ()


def test_two_text_areas_with_one_task_are_asked_once():
    both = text_area('name="caption"') + text_area('name="caption2"').removeprefix(BRUSH)
    plan = plan_of(both)
    assert len(plan.texts) == 2
    assert plan.questions == (Question(Task.BRIEF),)


def test_each_text_area_may_have_its_language():
    tags = text_area('name="caption"') + text_area('name="描述" pam_language="zh"').removeprefix(
        BRUSH
    )
    assert plan_of(tags).questions == (Question(Task.BRIEF, "en"), Question(Task.BRIEF, "zh"))


@pytest.mark.parametrize(
    ("tasks", "kept"), [(None, 2), ((), 0), ((Task.BRIEF,), 1), ((Task.LABEL,), 0)]
)
def test_tasks_say_which_texts_are_generated_at_most(tasks, kept):
    tags = text_area('name="caption"') + text_area('name="definition"').removeprefix(BRUSH)
    assert len(plan_of(tags, tasks=tasks).texts) == kept


CHOICES = '<Choice value="cat"/><Choice value="background"/>'


@pytest.mark.parametrize(
    ("attributes", "filled"),
    [
        ('name="category" perRegion="true"', True),
        ('name="ObjectType" perRegion="true"', True),
        ('name="类别" perRegion="true"', True),
        ('name="x" pam="label" perRegion="true"', True),
        ('name="quality" perRegion="true"', False),
        ('name="category" pam="off" perRegion="true"', False),
        ('name="category"', False),
        ('name="category" perRegion="true" allowNested="true"', False),
    ],
)
def test_choices_are_filled_only_if_they_ask_for_what_the_object_is_called(attributes, filled):
    plan = plan_of(f'{BRUSH}<Choices toName="image" {attributes}>{CHOICES}</Choices>')
    assert bool(plan.choices) is filled


def test_choices_have_their_own_list():
    plan = plan_of(
        f'{BRUSH}<Choices name="class" toName="image" perRegion="true" pam_label_fit="0.3">'
        '<Choice value="Pet" alias="P"/><Choice value="background"/></Choices>'
    )
    (target,) = plan.choices
    assert target.control.name == "class"
    assert target.vocabulary.labels == ("P", "background")
    assert target.vocabulary.phrases["P"] == ("Pet", "P")
    assert target.vocabulary.label_fit == 0.3
    assert dict(target.paths) == {"P": ("P",), "background": ("background",)}


def test_the_leaves_of_a_taxonomy_are_scored_and_their_paths_sent():
    plan = plan_of(
        f'{BRUSH}<Taxonomy name="class" toName="image" perRegion="true">'
        '<Choice value="Animal"><Choice value="Dog" alias="d"/><Choice value="Other"/></Choice>'
        '<Choice value="Tool"><Choice value="Other"/></Choice></Taxonomy>'
    )
    (target,) = plan.choices
    assert dict(target.paths) == {
        "Animal > d": ("Animal", "d"),
        "Animal > Other": ("Animal", "Other"),
        "Tool > Other": ("Tool", "Other"),
    }
    assert target.vocabulary.phrases == {
        "Animal > d": ("Dog", "d"),
        "Animal > Other": ("Other",),
        "Tool > Other": ("Other",),
    }


@pytest.mark.parametrize("count", [0, MAX_CHOICES + 1])
def test_empty_and_endless_choices_are_left_alone(count):
    listed = "".join(f'<Choice value="c{number}"/>' for number in range(count))
    tag = f'<Choices name="class" toName="image" perRegion="true">{listed}</Choices>'
    assert plan_of(BRUSH + tag).choices == ()


def test_too_many_labels_are_refused_with_what_to_do():
    listed = "".join(f'<Label value="l{number}"/>' for number in range(MAX_CHOICES + 1))
    tag = f'<BrushLabels name="b" toName="image">{listed}</BrushLabels>'
    with pytest.raises(LabelingConfigError, match=r'2,000 labels, not 2,001;.*labels to "open"'):
        plan_of(tag)
    assert plan_of(tag, labels="open").vocabulary is None


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (
            '<TextArea name="t" toName="image" perRegion="true" pam="breif"/>',
            (
                'In TextArea "t", pam must be one of label, definition, brief, detailed, off, '
                'not "breif".'
            ),
        ),
        (
            '<TextArea name="t" toName="image" perRegion="true" pam="brief" pam_language="de"/>',
            'In TextArea "t", pam_language must be one of en, zh, not "de".',
        ),
        (
            '<Choices name="c" toName="image" perRegion="true" pam="brief"/>',
            'In Choices "c", pam must be one of label, off, not "brief".',
        ),
        (
            CLASSES.replace("<Choices", '<Choices pam_label_fit="nan"'),
            'Choices "c" has pam_label_fit="nan"; it may be: a number from 0 to 1.',
        ),
        (
            CLASSES.replace("<Choices", '<Choices pam_label_fit="high"'),
            'Choices "c" has pam_label_fit="high"; it may be: a number from 0 to 1.',
        ),
    ],
)
def test_attributes_with_unknown_values_are_named(tag, message):
    with pytest.raises(LabelingConfigError) as refusal:
        plan_of(BRUSH + tag)
    assert str(refusal.value) == message


def test_open_labels_are_asked_for_and_become_labels_of_the_project():
    tags = (
        '<BrushLabels name="b" toName="image" pam_language="zh"><Label value="Dog" alias="D"/>'
        '<Label value="Vehicle" predicted_values="car,truck"/><Label value="background"/>'
        "</BrushLabels>"
    )
    plan = plan_of(tags, labels="open", mapping={"Puppy": "D", "CAR": "D"})
    assert plan.vocabulary is None
    assert plan.questions == (Question(Task.LABEL, "zh"),)
    called = ["dog", "D", " puppy.", "Truck", "car", "vehicle", "background", "tree", ""]
    expected = ["D", "D", "D", "Vehicle", "D", "Vehicle", None, None, None]
    assert [plan.project_label(text) for text in called] == expected


def test_a_labels_own_name_wins_over_the_mapping():
    plan = plan_of(BRUSH, labels="open", mapping={"Cat": "dog", "puma": "cat"})
    assert plan.project_label("cat") == "cat"
    assert plan.project_label("puma") == "cat"


def test_projects_of_their_own_labels_map_nothing():
    assert plan_of(BRUSH).project_label("cat") is None


def test_open_labels_are_not_asked_for_without_a_place_for_them():
    assert plan_of('<Brush name="b" toName="image"/>', labels="open").questions == ()


@pytest.mark.parametrize("target", ["bird", "background"])
def test_a_mapping_to_no_label_is_refused(target):
    message = f'"puppy" into "{target}", which is not a label of BrushLabels "brush"'
    with pytest.raises(LabelingConfigError, match=message):
        plan_of(BRUSH, labels="open", mapping={"puppy": target})
