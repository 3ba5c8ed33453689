from __future__ import annotations

from typing import Annotated, Literal

import pytest
from pydantic import Field, Strict, field_validator

from pam_labeling.errors import InputError, SettingsError
from pam_labeling.validation import CheckedModel, shown
from pam_model.tasks import Task


class Options(CheckedModel):
    error = SettingsError
    noun = "parameter"

    name: str = Field(min_length=1)
    language: Literal["en", "zh"] = "en"
    constant: Literal["one"] = "one"
    tasks: list[Annotated[Task, Strict(False)]] | None = None
    mapping: dict[str, str] = Field({}, examples=[{"puppy": "Dog"}])
    keep: bool = True
    share: float = Field(0.0, ge=0, le=1)
    most: int | None = Field(None, ge=1)
    tolerance: float = Field(1.0, ge=0, le=1000, json_schema_extra={"unit": "pixels"})
    even: int = 0

    @field_validator("even")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % 2:
            raise ValueError("even must be even.")
        return value

    @classmethod
    def spoken(cls, field):
        return f"the {field}"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({}, "the name is missing; it must be a text that is not empty."),
        ({"name": ""}, 'the name must be a text that is not empty, not "".'),
        ({"language": "de"}, 'the language must be "en" or "zh", not "de".'),
        ({"language": ["en"]}, 'the language must be "en" or "zh", not ["en"].'),
        ({"constant": 1}, 'the constant must be "one", not 1.'),
        (
            {"tasks": ["breif"]},
            'must be a list of "label", "definition", "brief" or "detailed", or null, not one with',
        ),
        ({"mapping": 1}, 'the mapping must be an object such as {"puppy": "Dog"}, not 1.'),
        ({"mapping": {"a": 1}}, "not one with 1."),
        ({"keep": "yes"}, 'the keep must be true or false, not "yes".'),
        ({"share": True}, "the share must be a number from 0 to 1, not true."),
        ({"share": float("nan")}, "the share must be a number from 0 to 1, not NaN."),
        ({"share": 10**400}, "the share must be a number from 0 to 1, not a huge number."),
        ({"most": 0}, "the most must be a whole number of at least 1, or null, not 0."),
        ({"most": 2.0}, "the most must be a whole number of at least 1, or null, not 2.0."),
        ({"tolerance": -1}, "must be a number of pixels from 0 to 1,000, not -1."),
        ({"even": 3}, "even must be even."),
        ({"langauge": "en"}, 'There is no parameter "langauge". Did you mean "the language"?'),
        ({"zzz": 1}, 'There is no parameter "zzz". Use one of: the name, the language, '),
    ],
)
def test_a_value_that_cannot_be_used_is_told_in_a_sentence(given, sentence):
    given = {"name": "x", **given} if given else given
    with pytest.raises(SettingsError) as refusal:
        Options(**given)
    assert sentence in str(refusal.value)


def test_what_may_be_given_is_kept_and_cannot_be_changed():
    options = Options(name="x", share=1, tasks=["brief"], most=3)
    assert (options.share, options.tasks, options.most) == (1.0, [Task.BRIEF], 3)
    with pytest.raises(ValueError, match="frozen"):
        options.most = 4


def test_a_refusal_is_of_the_tree_and_hides_the_value_from_the_log():
    with pytest.raises(InputError) as refusal:
        Options(name=b"s3cret", zzz=1)
    assert "s3cret" not in str(refusal.value.__cause__)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("é", '"é"'),
        ({1: None}, '{"1": null}'),
        ("\ud800", '"?"'),
        (-(10**99), "a huge number"),
        ("x" * 99, '"' + "x" * 56 + "..."),
    ],
)
def test_a_value_is_shown_as_json_short_and_fit_for_utf8(value, text):
    assert shown(value) == text
