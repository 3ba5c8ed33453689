from __future__ import annotations

import json

import pytest

from label_studio_backend.config.options import Options, OptionsError
from pam_model.tasks import Task

EVERYTHING = {
    "tasks": ["brief", "definition"],
    "language": "zh",
    "labels": "open",
    "mapping": {"puppy": "Dog"},
    "keep_label": False,
    "label_fit": 0.25,
    "iou_threshold": 0.5,
    "output": " mask ",
    "polygon_tolerance": 2,
    "max_regions": 20,
    "points_per_side": 16,
    "min_area": 0.001,
    "max_area": 0.5,
    "boxes": "detections",
}


@pytest.mark.parametrize("given", [None, "", "  ", "null", {}, "{}"])
def test_nothing_given_is_the_defaults(given):
    assert Options.read(given) == Options()


def test_every_option_is_read():
    assert set(EVERYTHING) == set(Options.model_fields)
    options = Options.read(EVERYTHING)
    expected = {**EVERYTHING, "tasks": (Task.BRIEF, Task.DEFINITION), "output": "mask"}
    assert {name: getattr(options, name) for name in EVERYTHING} == expected


def test_json_text_is_read_as_the_object_it_holds():
    assert Options.read(json.dumps(EVERYTHING)) == Options.read(EVERYTHING)


@pytest.mark.parametrize(
    ("given", "tasks"),
    [
        (None, None),
        ([], ()),
        ("", ()),
        ("brief, detailed", (Task.BRIEF, Task.DETAILED)),
        (["label", "label"], (Task.LABEL,)),
    ],
)
def test_tasks_are_a_list_or_a_text_with_commas(given, tasks):
    assert Options.read({"tasks": given}).tasks == tasks


@pytest.mark.parametrize("key", ["output", "max_regions", "boxes"])
def test_null_is_the_default_where_there_may_be_none(key):
    assert Options.read({key: None}) == Options()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[1]", r'^The extra parameters must be an object such as \{"tasks": .*, not \[1\]\.$'),
        (7, "must be an object such as .* not 7"),
        ("{", "^The extra parameters are not valid JSON: "),
        ("[" * 100_000, "not valid JSON|at most"),
        (" " + "x" * 2_000_000, "2,000,001 characters; at most 1,048,576"),
        ({"treshold": 1}, '^There is no extra parameter "treshold". Did you mean "'),
        ({"task": 1}, 'Did you mean "tasks"'),
        ({"preset": "large"}, '"preset".*Use one of: tasks, language, labels, mapping'),
        ({5: 1}, 'There is no extra parameter "5"'),
        ({"tasks": 5}, '^tasks must be a list of "label", .* or "detailed", or null, not 5.$'),
        ({"tasks": ["breif"]}, '^tasks must be a list of .*, not one with "breif".$'),
        ({"tasks": [["brief"]]}, "^tasks must be a list"),
        ({"language": "de"}, '^language must be "en" or "zh", not "de".$'),
        ({"language": ["en"]}, "^language must be"),
        ({"labels": "closed"}, '^labels must be "project" or "open", not "closed".$'),
        ({"labels": "open", "mapping": {"a": 1}}, "^mapping must be an object of texts"),
        ({"labels": "open", "mapping": {"": "a"}}, "^mapping must be an object of texts"),
        ({"labels": "open", "mapping": ["a"]}, "^mapping must be an object of texts"),
        ({"mapping": {"a": "b"}}, '^mapping works only with labels "open"'),
        ({"keep_label": "yes"}, '^keep_label must be true or false, not "yes".$'),
        ({"label_fit": 1.1}, "^label_fit must be a number from 0 to 1, not 1.1.$"),
        ({"label_threshold": 0.5}, "^label_fit replaces label_threshold: a region gets no label"),
        ({"label_fit": True}, "^label_fit must be a number"),
        ({"iou_threshold": "0.5"}, "^iou_threshold must be a number"),
        ({"iou_threshold": float("nan")}, "^iou_threshold must be a number"),
        ({"iou_threshold": 10**400}, "^iou_threshold must be a number.*not a huge number.$"),
        ({"polygon_tolerance": -1}, "^polygon_tolerance must be a number of pixels from 0 to 100"),
        ({"output": ""}, "^output must be a text that is not empty"),
        ({"boxes": 3}, "^boxes must be a text that is not empty, or null, not 3"),
        ({"max_regions": 0}, "^max_regions must be a whole number of at least 1, or null, not 0"),
        ({"max_regions": 2.0}, "^max_regions must be a whole number"),
        ({"points_per_side": 129}, "^points_per_side must be a whole number from 1 to 128"),
        ({"points_per_side": None}, "^points_per_side must be"),
        ({"min_area": 0.6, "max_area": 0.5}, "^min_area must be at most max_area .0.5., not 0.6"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(given, message):
    with pytest.raises(OptionsError, match=message):
        Options.read(given)


def test_a_refusal_can_be_written_as_utf8():
    with pytest.raises(OptionsError) as refusal:
        Options.read({"language": "\ud800"})
    assert str(refusal.value).encode("utf-8")


def test_the_mapping_cannot_be_changed():
    mapping = {"puppy": "Dog"}
    options = Options.read({"labels": "open", "mapping": mapping})
    mapping["kitten"] = "Cat"
    assert dict(options.mapping) == {"puppy": "Dog"}
