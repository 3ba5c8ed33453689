"""Configs that are completed from task data: repeated tags, and labels."""

from __future__ import annotations

import pytest

from label_studio_backend.config.controls import ImageTag
from label_studio_backend.config.labeling_config import LabelingConfig
from pam_labeling.errors import InputError
from tests.label_studio_backend.config.configs import config_of

REPEATED = LabelingConfig.parse(
    """<View><Repeater on="$doc.pages">
    <Image name="page_{{idx}}" value="$doc.pages[{{idx}}].url"/>
    <View><RectangleLabels name="box_{{idx}}" toName="page_{{idx}}" value="$labels"/></View>
    </Repeater></View>"""
)


def test_a_repeater_repeats_its_tags_for_each_item_of_the_tasks_list():
    data = {"doc": {"pages": [{"url": "a"}, {"url": "b"}]}, "labels": [{"value": "ring"}]}
    config = REPEATED.for_task(data)
    assert config.images == (
        ImageTag("page_0", "$doc.pages[0].url"),
        ImageTag("page_1", "$doc.pages[1].url"),
    )
    assert [(one.name, one.to_name) for one in config.controls] == [
        ("box_0", "page_0"),
        ("box_1", "page_1"),
    ]
    assert [label.value for one in config.controls for label in one.labels] == ["ring", "ring"]


def test_repeaters_may_be_nested_with_indexes_of_their_own():
    config = LabelingConfig.parse(
        """<View><Repeater on="$docs" indexFlag="{{d}}"><Repeater on="$docs[{{d}}]">
        <Image name="i{{d}}{{idx}}" value="$docs[{{d}}][{{idx}}]"/></Repeater></Repeater></View>"""
    )
    images = config.for_task({"docs": [["a"], ["b", "c"]]}).images
    assert [(one.name, one.value) for one in images] == [
        ("i00", "$docs[0][0]"),
        ("i10", "$docs[1][0]"),
        ("i11", "$docs[1][1]"),
    ]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r'no list "\$doc.pages" in its data, as <Repeater>'),
        ({"doc": {"pages": "abc"}}, r'no list "\$doc.pages"'),
        ({"doc": {"pages": [0] * 100_000}}, "too long when <Repeater> repeats .* 100,000 times"),
        ({"doc": {"pages": []}}, "shows no image"),
    ],
)
def test_a_task_that_a_repeater_cannot_use_is_refused(data, message):
    with pytest.raises(InputError, match=message):
        REPEATED.for_task(data)


def test_visibility_does_not_hide_a_tag():
    config = config_of(
        '<View visibleWhen="region-selected"><TextArea name="caption" toName="image" '
        'perRegion="true" whenLabelValue="cat"/></View>'
    )
    assert config.control("caption") is not None


def test_labels_in_task_data_complete_the_config():
    config = config_of('<RectangleLabels name="r" toName="image" value="$brands"/>')
    assert config.controls[0].task_key == "$brands"
    assert config.controls[0].labels == ()
    brands = [{"value": "Big"}, {"value": "Green & co", "alias": "Eco"}, {"value": "背景"}]
    complete = config.for_task({"brands": brands})
    labels = complete.controls[0].labels
    assert [(label.value, label.background) for label in labels] == [
        ("Big", False),
        ("Eco", False),
        ("背景", True),
    ]
    value = {"x": 1, "y": 1, "width": 5, "height": 5, "rectanglelabels": ["Small"]}
    result = {"from_name": "r", "to_name": "image", "type": "rectanglelabels", "value": value}
    # The annotator may have a label that the list in task data does not.
    assert complete.errors_of({"result": [result]}) == []
    result["value"] = value | {"x": 101}
    assert complete.errors_of({"result": [result]}) != []


def test_choices_and_taxonomies_in_task_data_complete_the_config():
    config = config_of(
        '<Choices name="c" toName="image" value="$kinds"><Choice value="own"/></Choices>'
        '<Taxonomy name="t" toName="image" value="$tree"/>'
    )
    tree = [{"value": "A", "children": [{"value": "B"}]}]
    complete = config.for_task({"kinds": [{"value": "more"}], "tree": tree})
    assert [label.value for label in complete.controls[0].labels] == ["own", "more"]
    assert tuple(complete.controls[1].nodes) == (("A",), ("A", "B"))


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("$meta.brands", {"meta": {"brands": [{"value": "ring"}]}}),
        ("$lists[1]", {"lists": [[], [{"value": "ring"}]]}),
    ],
)
def test_labels_may_lie_deeper_in_the_data(value, data):
    config = config_of(f'<Labels name="l" toName="image" value="{value}"/>')
    assert [label.value for label in config.for_task(data).controls[0].labels] == ["ring"]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"brands": None},
        {"brands": "cat"},
        {"brands": ["cat", None, {"value": 3}, {"alias": "x"}, {"value": "\x00"}, {"value": ""}]},
    ],
)
def test_malformed_labels_in_task_data_are_left_out(data):
    config = config_of('<Labels name="l" toName="image" value="$brands"/>')
    assert config.for_task(data).controls[0].labels == ()


def test_endless_children_in_task_data_are_cut():
    deep: dict = {"value": "leaf"}
    for _ in range(300):
        deep = {"value": "node", "children": [deep]}
    config = config_of('<Taxonomy name="t" toName="image" value="$tree"/>')
    assert max(map(len, config.for_task({"tree": [deep]}).controls[0].nodes)) == 50


def test_a_config_without_labels_in_task_data_stays_itself():
    config = config_of('<Labels name="l" toName="image"><Label value="a"/></Labels>')
    assert config.for_task({"brands": [{"value": "b"}]}) is config
