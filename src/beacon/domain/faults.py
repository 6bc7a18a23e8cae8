"""Faults: what a validator finds wrong, as sentences for a person, each with the path of the field.

A path is the one that the person wrote: `questions[1].text`, `regions[2]`, `echoes["llama3.2-1b"][0]`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from functools import reduce
from reprlib import Repr
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from beacon.domain.frozen import Frozen
from beacon.domain.names import suggest
from beacon.errors import InputError

Location = Sequence[int | str]

_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*\Z")
_KEY_MARK = "[key]"
_QUOTE = "put it in quotes, so that it is read as text"

_SENTENCES = MappingProxyType(
    {
        "string_type": "expected text",
        "string_unicode": "expected text that has a form in UTF-8",
        "int_type": "expected a whole number",
        "float_type": "expected a number",
        "finite_number": "expected a finite number",
        "bool_type": "expected true or false",
        "tuple_type": "expected a list",
        "dict_type": "expected a map",
        "model_type": "expected a map of fields",
        "invalid_key": "expected a name as key",
    }
)
_BOUNDS = MappingProxyType(
    {
        "greater_than": "more than",
        "greater_than_equal": "at least",
        "less_than": "less than",
        "less_than_equal": "at most",
    }
)


def refuse(what: str, todo: str | None = None, *, at: Location = ()) -> PydanticCustomError:
    """An error for validators to raise; `at` continues the path of the field that is being validated."""
    return PydanticCustomError("beacon", "{what}", {"what": what, "todo": todo, "at": tuple(at)})


def no_repetition(values: Sequence[str]) -> None:
    """Raises the fault that names the first of `values` that stands twice."""
    seen: set[str] = set()
    for index, value in enumerate(values):
        if value in seen:
            raise refuse(f"{value!r} stands twice", "keep one of the two", at=(index,))
        seen.add(value)


def show(value: Any) -> str:
    """`value` in at most about 80 characters on one line, whatever it is."""
    brief = Repr()
    brief.maxstring = brief.maxother = 60
    brief.maxlevel, brief.maxlist, brief.maxtuple, brief.maxdict, brief.maxlong = 2, 4, 4, 3, 40
    text = brief.repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def field_path(loc: Location) -> str:
    """`("questions", 1, "id")` as `questions[1].id`; a key that is no plain name is quoted in brackets."""
    path = ""
    for part in loc:
        if isinstance(part, int):
            path += f"[{part}]"
        elif _PLAIN_KEY.match(part) and len(part) <= 100:
            path += f".{part}" if path else part
        else:
            path += f"[{json.dumps(part[:60], ensure_ascii=True)}]"
    return path


def faults_of(error: ValidationError, model: type[BaseModel], document: Any, tags: Collection[str]) -> list[InputError]:
    """Every fault of `document`, which is no `model`.

    `tags` are the names of union members that stand in locations and in no path.
    """
    details = error.errors(include_url=False)
    spoilt = {tuple(detail["loc"][:end]) for detail in details for end in range(len(detail["loc"]))}
    return [
        _fault(detail, model, document, tags)
        for detail in details
        # A list of which all items are faulty is not, on top of that, empty.
        if not (detail["type"] == "too_short" and tuple(detail["loc"]) in spoilt)
    ]


def _fault(detail: ErrorDetails, model: type[BaseModel], document: Any, tags: Collection[str]) -> InputError:
    kind, value, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    loc = list(detail["loc"])
    unknown = str(loc.pop()) if kind == "extra_forbidden" else None
    owners = _models_at(model, loc[:-1] if kind == "missing" else loc, tags)
    loc = [part for part in loc if part not in tags]
    if loc and loc[-1] == _KEY_MARK and kind != "extra_forbidden":
        # The fault is the key itself: it stands in the list that was read into a map, or the map is named.
        loc = loc[:-1] if isinstance(reduce(_child, loc[:-2], document), list) else loc[:-2]
    if unknown is not None:
        return _unknown_key(unknown, [*_as_written(loc, document), unknown], owners)
    written = _as_written([*loc, *context.get("at", ())], document)
    path = field_path(written) or None
    if kind == "beacon":
        return InputError(context["what"], where=path, todo=context["todo"])
    if kind == "missing":
        return InputError("this field is required", where=path, todo=_only_value(owners, loc[-1]))
    if kind == "literal_error":
        todo = suggest(str(value), re.findall(r"'([^']*)'", context["expected"]))
        return InputError(f"unknown value {show(value)}", where=path, todo=todo)
    if kind in _BOUNDS:
        value = reduce(_child, written, document)
        bound = next(iter(context.values()))
        return InputError(f"must be {_BOUNDS[kind]} {_figure(bound)}, found {show(value)}", where=path)
    return InputError(_sentence(kind, value, context, detail["msg"]), where=path, todo=_todo(kind, value))


def _sentence(kind: str, value: Any, context: dict[str, Any], message: str) -> str:
    if kind in {"too_short", "string_too_short"}:
        return "must not be empty"
    if kind == "too_long":
        return f"has {context['actual_length']:,} entries, at most {context['max_length']:,} are allowed"
    if kind == "string_too_long":
        return f"has {len(value):,} characters, at most {context['max_length']:,} are allowed"
    if kind in _SENTENCES:
        return f"{_SENTENCES[kind]}, found {show(value)}"
    return f"{message[:1].lower()}{message[1:]}, found {show(value)}"


def _figure(bound: float) -> str:
    return f"{bound:,}" if isinstance(bound, int) else f"{bound:,g}"


def _todo(kind: str, value: Any) -> str | None:
    if kind in {"string_type", "invalid_key"} and isinstance(value, bool | int | float):
        return _QUOTE
    if kind == "tuple_type" and isinstance(value, str) and _PLAIN_KEY.match(value):
        return f"write it as a list: [{value}]"
    if value is None and kind.endswith("_type"):
        return "give it a value or leave it out"
    if kind in {"int_type", "float_type", "bool_type"} and isinstance(value, str):
        return "write it without quotes and without words"
    return None


def _unknown_key(key: str, loc: Location, owners: Sequence[type[BaseModel]]) -> InputError:
    known: list[str] = []
    for owner in owners:
        if issubclass(owner, Frozen):
            if key in owner.key_hints:
                return InputError(f"unknown key {show(key)}", where=field_path(loc), todo=owner.key_hints[key])
            known += owner.written_keys()
    todo = suggest(key, known) if known else None
    return InputError(f"unknown key {show(key)}", where=field_path(loc), todo=todo)


def _only_value(owners: Sequence[type[BaseModel]], key: int | str) -> str | None:
    """What to write for a field that has but one value, such as `schema`."""
    for owner in owners:
        for name, field in owner.model_fields.items():
            values = get_args(field.annotation)
            if key == (field.alias or name) and get_origin(field.annotation) is Literal and len(values) == 1:
                return f"write {key}: {values[0]}"
    return None


def _as_written(loc: Location, document: Any) -> list[int | str]:
    """`loc` as it stands in `document`, where short forms have been read into long ones.

    The short forms: `text` for a question's `texts`, a text for a fact, a list for a provider's `models`.
    """
    path: list[int | str] = []
    here = document
    for part in loc:
        if isinstance(here, str):
            break
        if isinstance(here, list) and isinstance(part, str):
            return [*path, here.index(part)] if part in here else path
        if isinstance(here, dict) and part == "texts" and "texts" not in here and "text" in here:
            return [*path, "text"]
        path.append(part)
        here = _child(here, part)
    return path


def _child(here: Any, part: int | str) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list) and isinstance(part, int) and part < len(here):
        return here[part]
    return None


def _models_at(model: type[BaseModel], loc: Location, tags: Collection[str]) -> list[type[BaseModel]]:
    """The models that may stand at `loc`; none where it is no place of a model."""
    here = [model]
    for part in loc:
        if part in tags:
            here = [candidate for candidate in here if candidate.__name__ == str(part).strip("<>")]
        elif isinstance(part, str):
            here = [
                inner
                for candidate in here
                for name, field in candidate.model_fields.items()
                if part == (field.alias or name)
                for inner in _models_in(field.annotation)
            ]
    return here


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
