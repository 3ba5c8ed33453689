"""The options of the operators: valid and invalid values."""

from __future__ import annotations

import inspect
import re

import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.operators.forms import params_of
from fiftyone_plugin.operators.options import (
    CaptionOptions,
    FindOptions,
    LabelOptions,
    SegmentOptions,
    names_in,
    text_of,
)
from fiftyone_plugin.operators.region_operators import CaptionRegions
from pam_model import Question, Task


def test_the_attributes_of_the_questions_that_are_asked():
    options = CaptionOptions(field="gt", detailed="long", language="zh")
    assert options.questions == {
        Question(Task.BRIEF, "zh"): "caption",
        Question(Task.DETAILED, "zh"): "long",
    }


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (" cat, dog ,cat\nbird", ("cat", "dog", "bird")),
        (["cat", "dog"], ("cat", "dog")),
        ("dataset", "dataset"),
        (
            '"hot dog, plain", 19" screen, "a ""b"", c"',
            ("hot dog, plain", '19" screen', 'a "b", c'),
        ),
        ({"cat": 1, "dog": 2}.keys(), ("cat", "dog")),
        (None, None),
        ("", None),
    ],
)
def test_classes_are_a_list_or_a_text(given, names):
    assert CaptionOptions(field="gt", classes=given).classes == names


@pytest.mark.parametrize(
    "options",
    [
        CaptionOptions(field="gt", classes=("a", "b"), batch_size=4),
        SegmentOptions(field="gt", new_field="other"),
        FindOptions(field="new", max_regions=3),
        LabelOptions(field="gt", classes=("a",), saved_view="suspects"),
    ],
)
def test_options_survive_json(options):
    assert type(options).from_params(options.to_params()) == options


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "A field is missing"),
        ({"field": " "}, "field must be a text"),
        ({"field": 3}, "field must be a text, not 3"),
        ({"field": "gt", "colour": 1}, 'There is no parameter "colour"'),
        ({"field": "gt", "only": "some"}, 'only must be "all", "missing" or "empty", not "some"'),
        ({"field": "gt", "language": "fr"}, 'language must be "en" or "zh"'),
        ({"field": "gt", "threshold": 0.5}, "label_fit replaces threshold"),
        ({"field": "gt", "label_fit": 2}, "label_fit must be a number from 0 to 1, not 2"),
        ({"field": "gt", "batch_size": 0}, "batch_size must be a whole number from 1 to 4,096"),
        ({"field": "gt", "batch_size": True}, "batch_size must be a whole number"),
        ({"field": "gt", "summary": "yes"}, 'summary must be true or false, not "yes"'),
        ({"field": "gt", "classes": []}, "classes has no name in it"),
        ({"field": "gt", "classes": ["", " "]}, "classes has no name in it"),
        ({"field": "gt", "classes": " , "}, "classes has no name in it"),
        ({"field": "gt", "classes": [1]}, "classes must be a list of names"),
        ({"field": "gt", "classes": 3}, "classes must be a list of names"),
        ({"field": "gt", "mask": "polygon"}, 'mask must be "instance" or "mask_path", or None'),
        ({"field": "gt", "mask": "mask_path"}, "Masks in files need a folder"),
        ({"field": "gt", "brief": ""}, "Nothing is asked"),
    ],
)
def test_what_cannot_be_used_is_a_sentence(params, sentence):
    with pytest.raises(PluginError, match=sentence):
        CaptionOptions.from_params(params)


@pytest.mark.parametrize(
    "names", [["cat", "dog"], ["hot dog, plain", "star"], ['"quoted"', 'a "b", c', "a、b"]]
)
def test_names_survive_as_a_text(names):
    assert [one.strip() for one in names_in(text_of(names))] == names


def test_none_in_a_call_means_none_and_not_the_default():
    assert params_of({"brief": None, "detailed": "x"}) == {"brief": "", "detailed": "x"}
    assert params_of({"ask_brief": True, "brief": None}) == {}


def test_a_segmentation_run_always_keeps_masks():
    with pytest.raises(PluginError, match='mask must be "instance" or "mask_path"'):
        SegmentOptions(field="gt", mask=None)


def test_limits_without_an_upper_end_are_said_so():
    with pytest.raises(
        PluginError, match="max_regions must be a whole number of at least 1, or None, not 0"
    ):
        FindOptions(field="new", max_regions=0)


def test_a_switch_that_is_off_takes_its_attribute_away():
    params = params_of({"ask_brief": False, "brief": "caption", "ask_label": True, "label": "x"})
    assert params == {"brief": "", "label": "x"}


@pytest.mark.parametrize(
    ("form", "classes"),
    [
        ({"classes_from": "none", "class_names": "a"}, None),
        ({"classes_from": "dataset"}, "dataset"),
        ({"classes_from": "list", "class_names": "a, b"}, "a, b"),
    ],
)
def test_where_classes_come_from(form, classes):
    assert params_of(form) == {"classes": classes}


def test_masks_that_are_not_kept_and_a_field_that_is_not_new():
    assert params_of({"keep_masks": "none"}) == {"mask": None}
    assert params_of({"write_to": "same", "new_field": "x"}) == {"new_field": None}


def test_what_the_app_adds_is_no_parameter():
    assert params_of({"panel_id": "1", "field": "gt"}) == {"field": "gt"}


def test_the_help_of_a_call_is_that_of_its_options():
    call = CaptionRegions.__call__
    parameters = inspect.signature(call).parameters
    assert list(parameters)[:2] == ["self", "collection"]
    assert parameters["brief"].default == "caption"
    assert parameters["field"].default is inspect.Parameter.empty
    assert set(parameters) - {"self"} == {
        *re.findall(r"^    (\w+): ", call.__doc__, re.MULTILINE),
    } - {"PluginError"}
    assert set(CaptionOptions.model_fields) - {"target"} < set(parameters)


def test_blank_numbers_are_the_defaults():
    options = FindOptions(field="new", label_fit="", points_per_side=None, max_regions="")
    assert (options.label_fit, options.points_per_side, options.max_regions) == (0.05, 32, None)
