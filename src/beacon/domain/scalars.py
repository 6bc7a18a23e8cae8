"""Scalar types of documents: names, texts, numbers and durations, each with its rule and its sentence."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any

import durationpy
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, StringConstraints
from pydantic.config import JsonDict

from beacon.domain.faults import refuse, show
from beacon.domain.regions import normalise
from beacon.errors import InputError

MAX_LINE = 200
MAX_TEXT = 20_000

_IDENTIFIER = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_MODEL_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/@+-]*$"
_LANGUAGE = r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$"
_ENVIRONMENT_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
_FUNCTION = r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$"
_HEADER = r"^[A-Za-z0-9!#$%&'*+.^_`|~-]+$"
# Narrower than durationpy, whose `mm` is a month and which passes over what stands between two parts.
_DURATION = r"^([0-9]+(\.[0-9]+)?(ms|s|m|h|d|w))+$"


def _form(pattern: str, what: str, todo: str) -> BeforeValidator:
    """Stands before the pattern that the published schema holds, to refuse with a sentence of its own."""
    form = re.compile(pattern)

    def check(value: Any) -> Any:
        if isinstance(value, str) and not form.fullmatch(value):
            raise refuse(f"{show(value)} is not {what}", todo)
        return value

    return BeforeValidator(check)


def _visible(*, allowed: str) -> Callable[[str], str]:
    """Refuses blank texts and control characters (Unicode category Cc, and line separators) but `allowed`."""

    def check(value: str) -> str:
        if not value.strip():
            raise refuse(f"must not be blank, found {show(value)}")
        for character in value:
            if character not in allowed and unicodedata.category(character) in {"Cc", "Zl", "Zp"}:
                raise refuse(f"the control character {character!r} is not allowed, found {show(value)}", "remove it")
        return value

    return check


Identifier = Annotated[
    str,
    StringConstraints(pattern=_IDENTIFIER, max_length=100),
    _form(
        _IDENTIFIER,
        "an id or name",
        "begin with a letter or digit and go on with letters, digits, dots, hyphens and underscores",
    ),
]
"""A name of a question, pack or provider."""

ModelName = Annotated[
    str,
    StringConstraints(pattern=_MODEL_NAME, max_length=MAX_LINE),
    _form(
        _MODEL_NAME,
        "a model name",
        "begin with a letter or digit and go on with letters, digits and . _ - : / @ +",
    ),
]
"""Beacon's name of a model, which may be the provider's own, such as `qwen/qwen2.5:1.5b`."""

Language = Annotated[
    str,
    StringConstraints(pattern=_LANGUAGE, max_length=35),
    _form(_LANGUAGE, "a language code", "write for example en, fi or zh, in lower case (BCP 47)"),
]

FunctionName = Annotated[
    str,
    StringConstraints(pattern=_FUNCTION, max_length=MAX_LINE),
    _form(_FUNCTION, "the name of a deployed function", "write APP/FUNCTION, for example beacon-functions/complete"),
]
"""A function of Modal, with its app."""

HeaderName = Annotated[
    str,
    StringConstraints(pattern=_HEADER, max_length=100),
    _form(_HEADER, "the name of an HTTP header", "write for example X-Region"),
]

Line = Annotated[str, Field(min_length=1, max_length=MAX_LINE), AfterValidator(_visible(allowed=""))]
"""One line of text that shows something."""

LongLine = Annotated[str, Field(min_length=1, max_length=2_000), AfterValidator(_visible(allowed=""))]
"""An address, a path, or a name that others have given."""

Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT), AfterValidator(_visible(allowed="\n\r\t"))]
"""Text of several lines that shows something."""

# For lists that name nothing twice; the published schema says so too.
UNIQUE: JsonDict = {"uniqueItems": True}

Whole = Annotated[int, Field(strict=True)]
Number = Annotated[float, Field(strict=True)]
YesOrNo = Annotated[bool, Field(strict=True)]


def _environment_variable(value: Any) -> Any:
    if isinstance(value, str) and not re.fullmatch(_ENVIRONMENT_VARIABLE, value):
        # The value is not shown: it may be the key itself.
        raise refuse("not the name of an environment variable", "name the variable that holds the key, never the key")
    return value


EnvironmentVariable = Annotated[
    str,
    StringConstraints(pattern=_ENVIRONMENT_VARIABLE, max_length=MAX_LINE),
    BeforeValidator(_environment_variable),
]


def canonical_region(name: str) -> str:
    """For validators: the canonical name, or the fault that refuses it."""
    try:
        return normalise(name)
    except InputError as error:
        raise refuse(error.what, error.todo) from None


RegionName = Annotated[str, AfterValidator(canonical_region)]
"""A region's canonical name; aliases are resolved as it is read."""


def _seconds(value: Any) -> Any:
    todo = "write for example 300s, 5m or 1h30m"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise refuse(f"not a duration: {show(value)}", todo)
    if isinstance(value, str):
        if not re.fullmatch(_DURATION, value):
            raise refuse(f"not a duration: {show(value)}", todo)
        try:
            return durationpy.from_str(value).total_seconds()
        except durationpy.DurationError:
            raise refuse(f"longer than any time: {show(value)}", todo) from None
    return value


def _duration_text(seconds: float) -> str:
    return f"{Decimal(repr(seconds)).normalize():f}s"


Seconds = Annotated[
    float,
    BeforeValidator(
        _seconds,
        json_schema_input_type=Annotated[str, Field(pattern=_DURATION)] | Annotated[float, Field(ge=0)],
    ),
    PlainSerializer(_duration_text, when_used="json"),
]
"""Seconds as a float; in documents a text such as `300s` or `5m`, or a plain number of seconds."""
