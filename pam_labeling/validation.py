"""The base class of settings and options, and the messages about values that cannot be used.

A class of settings or options derives from `CheckedModel`. Pydantic checks the fields; this module
turns the first error into one sentence that says what is wrong and what is allowed:

    points_per_side must be a whole number from 1 to 128, not 129.
    There is no option "lable_fit". Did you mean "label_fit"? There are: language, ...

The field's type and limits say what is allowed. `Field(examples=[...])` adds "such as ...", and
`Field(json_schema_extra={"unit": "pixels"})` makes "a number of pixels". A validator that raises
ValueError writes the sentence itself.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, ValidationError

from pam_labeling.errors import InputError

__all__ = ["CheckedModel", "as_utf8", "listed", "shown", "unknown_name"]

_LONGEST = 60  # characters of a value in a sentence
_KINDS = {
    "array": "a list",
    "boolean": "true or false",
    "integer": "a whole number",
    "number": "a number",
    "object": "an object",
    "string": "a text",
}


class CheckedModel(BaseModel):
    """The base class of frozen models that refuse unknown names and values of another type.

    Raises:
        InputError: a value cannot be used; the error is an `error`, its message a sentence.
    """

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,  # neither true nor "5" is a number
        allow_inf_nan=False,
        protected_namespaces=(),  # fields may start with "model_"
        hide_input_in_errors=True,  # the input may be a password
    )

    error: ClassVar[type[InputError]] = InputError
    noun: ClassVar[str] = "option"
    """The word for a field in messages."""
    nothing: ClassVar[str] = ", or null"
    """What messages add about a field that may be None."""
    replaced: ClassVar[Mapping[str, str]] = {}
    """What messages say about fields of earlier versions."""

    def __init__(self, /, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise self.error(self._sentence(error)) from error

    @classmethod
    def spoken(cls, field: str) -> str:
        """The name of a field in messages."""
        return field

    @classmethod
    def _sentence(cls, error: ValidationError, names: Mapping[str, str] | None = None) -> str:
        """What is wrong; `names` has the fields that this message calls otherwise."""
        found = error.errors(include_url=False)[0]
        place = found["loc"]
        field = str(place[0]) if place else ""
        name = (names or {}).get(field) or (cls.spoken(field) if field else "")
        if found["type"] == "value_error":  # from our own validator: its message is a sentence
            sentence = str(found["ctx"]["error"])
            return f"{name} {sentence}" if sentence.startswith("must be ") else sentence
        if found["type"] == "extra_forbidden":
            return cls.replaced.get(str(place[0])) or unknown_name(
                cls.noun, place[0], map(cls.spoken, cls.model_fields)
            )
        # The JSON schema has the type and limits of every field in one uniform form.
        schema = cls.model_json_schema()
        expected = _expected(schema["properties"][place[0]], schema.get("$defs", {}), cls.nothing)
        if found["type"] == "missing":
            return f"{name} is missing; it must be {expected}."
        inside = "one with " if len(place) > 1 else ""  # the value is in a list or an object
        return f"{name} must be {expected}, not {inside}{shown(found['input'])}."


def unknown_name(noun: str, given: object, known: Iterable[str]) -> str:
    """A sentence about a name that does not exist, with the nearest one and all that do."""
    names = list(known)
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    guess = f' Did you mean "{near[0]}"?' if near else ""
    return f"There is no {noun} {shown(given)}.{guess} Use one of: {', '.join(names)}."


def shown(value: object) -> str:
    """A value in a sentence: as JSON, shortened, and always valid as UTF-8."""
    if isinstance(value, int) and abs(value) >= 10**20:
        return "a huge number"  # Python refuses to write a number of more than 4,300 digits
    text = as_utf8(json.dumps(value, ensure_ascii=False, default=repr))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def as_utf8(text: str) -> str:
    """The text with a question mark for each part that UTF-8 cannot encode.

    Python keeps invalid bytes of command lines and file names as lone surrogates.
    """
    return text.encode("utf-8", "replace").decode("utf-8")


def listed(values: Iterable[object]) -> str:
    """Values in a sentence, the last one after "or"."""
    *some, last = map(shown, values)
    return f"{', '.join(some)} or {last}" if some else last


def _expected(schema: dict[str, Any], definitions: dict[str, Any], nothing: str = "") -> str:
    """The values that a JSON schema of pydantic allows, in words."""
    if "anyOf" in schema:
        # Each part has its own limits; the field's unit and examples are beside the parts.
        about = {key: value for key, value in schema.items() if key != "anyOf"}
        parts = [about | part for part in schema["anyOf"] if part.get("type") != "null"]
        words = ", or ".join(_expected(part, definitions) for part in parts)
        return words if len(parts) == len(schema["anyOf"]) else words + nothing
    if "$ref" in schema:
        schema = schema | definitions[schema["$ref"].rpartition("/")[2]]
    if "enum" in schema:
        return listed(schema["enum"])
    if "const" in schema:
        return shown(schema["const"])
    words = _KINDS[schema["type"]]
    if "items" in schema:
        words += f" of {_expected(schema['items'], definitions)}"
    if schema.get("unit"):
        words += f" of {schema['unit']}"
    if "minimum" in schema and "maximum" in schema:
        words += f" from {schema['minimum']:,} to {schema['maximum']:,}"
    elif "minimum" in schema:
        words += f" of at least {schema['minimum']:,}"
    if "minLength" in schema:
        words += " that is not empty"
    if "examples" in schema:
        words += f" such as {listed(schema['examples'])}"
    return words
