"""Documents at the edge: YAML or JSON text into validated values, with every fault named by its field path.

Rules that hold for every document: duplicate keys, unknown keys, aliases and wrong types are refused; each
fault carries the path of the field, the value, and the nearest valid name.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Annotated, Any, TypeVar, get_args

import durationpy
import yaml
from pydantic import BaseModel, BeforeValidator, PlainSerializer, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from beacon.domain.names import suggest
from beacon.errors import DocumentError, InputError

MAX_DOCUMENT_BYTES = 8_000_000
M = TypeVar("M", bound=BaseModel)


class _StrictLoader(yaml.SafeLoader):
    """SafeLoader that refuses duplicate keys and aliases (an alias can make a small text explode).

    Of the words that YAML 1.1 reads as booleans only `true` and `false` are; a language named `no` is text,
    and so is a date.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012 - the library's own class attribute
        first: [(tag, rx) for tag, rx in pairs if not tag.endswith((":timestamp", ":bool"))]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            line = self.peek_event().start_mark.line + 1
            raise InputError("YAML aliases are not used here", where=f"line {line}", todo="write the value out")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if not isinstance(key, str | int | float | bool):
                raise InputError("a key must be a plain name", where=f"line {line}")
            if key in seen:
                where = f"line {line}, first on line {seen[key]}"
                raise InputError(f"duplicate key {key!r}", where=where, todo="keep one of the two")
            seen[key] = line
        return super().construct_mapping(node, deep)


_StrictLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


def parse_text(text: str, source: str) -> Any:
    """The plain value that a YAML (or JSON) text denotes.

    Raises DocumentError that names the line of a syntax error or of a duplicate key.
    """
    if len(text) > MAX_DOCUMENT_BYTES:
        too_large = InputError(f"{len(text):,} characters, at most {MAX_DOCUMENT_BYTES:,} are read")
        raise DocumentError(source, [too_large])
    try:
        return yaml.load(text, Loader=_StrictLoader)  # noqa: S506 - a subclass of SafeLoader
    except InputError as fault:
        raise DocumentError(source, [fault]) from None
    except yaml.YAMLError as error:
        raise DocumentError(source, [_syntax_fault(error)]) from None
    except RecursionError:
        raise DocumentError(source, [InputError("nested too deeply")]) from None


def _syntax_fault(error: yaml.YAMLError) -> InputError:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
    return InputError(f"not valid YAML: {problem}", where=where, todo="check indentation, quotes and colons there")


def validate(model: type[M], value: Any, source: str) -> M:
    """`value` as a `model`; raises DocumentError with a fault for each field that is wrong."""
    if not isinstance(value, dict):
        kind = "empty" if value is None else f"a {type(value).__name__}"
        raise DocumentError(source, [InputError(f"expected a mapping of fields, found {kind}")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DocumentError(source, [fault_of(model, detail) for detail in error.errors()]) from None


def load(model: type[M], text: str, source: str) -> M:
    return validate(model, parse_text(text, source), source)


def field_path(loc: Sequence[int | str]) -> str:
    """`("questions", 1, "id")` as `questions[1].id`."""
    path = ""
    for part in loc:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def fault_of(model: type[BaseModel], detail: ErrorDetails) -> InputError:
    """One pydantic error as a fault that a person can act on."""
    loc = [part for part in detail["loc"] if not _is_union_tag(part)]
    path = field_path(loc)
    kind, value = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        siblings = _fields_at(model, detail["loc"][:-1])
        return InputError(f"unknown key {loc[-1]!r}", where=path, todo=suggest(str(loc[-1]), siblings))
    if kind == "missing":
        return InputError("this field is required", where=path)
    todo = None
    if kind in {"literal_error", "enum"}:
        expected = str(detail.get("ctx", {}).get("expected", ""))
        todo = suggest(str(value), re.findall(r"'([^']*)'", expected))
        return InputError(f"unknown value {value!r}", where=path, todo=todo)
    message = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    if kind == "beacon":
        return InputError(message, where=path, todo=detail.get("ctx", {}).get("todo"))
    shown = repr(value)
    shown = shown if len(shown) <= 80 else shown[:77] + "…"
    return InputError(f"{message[:1].lower()}{message[1:]}, found {shown}", where=path)


def _is_union_tag(part: int | str) -> bool:
    return isinstance(part, str) and part.startswith("<")


def _fields_at(model: type[BaseModel], loc: Sequence[int | str]) -> list[str]:
    """Names of the fields of the model that stands at `loc`, or none where that is not known."""
    here: list[type[BaseModel]] = [model]
    for part in loc:
        if isinstance(part, int):
            continue
        if _is_union_tag(part):
            here = [m for m in here if f"<{m.__name__}>" == part] or here
            continue
        here = [m for h in here for name, f in h.model_fields.items() if (f.alias or name) == part
                for m in _models_in(f.annotation)]
    return [f.alias or name for m in here for name, f in m.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for argument in get_args(annotation) for m in _models_in(argument)]


def refuse(what: str, todo: str | None = None) -> PydanticCustomError:
    """An error for validators to raise, so that its hint reaches the person."""
    escaped = what.replace("{", "{{").replace("}", "}}")
    return PydanticCustomError("beacon", escaped, {"todo": todo})  # type: ignore[arg-type]


def _seconds(value: Any) -> Any:
    if isinstance(value, bool):
        raise refuse(f"not a duration: {value!r}", "write for example 300s, 5m or 1h30m")
    if isinstance(value, str):
        try:
            return durationpy.from_str(value).total_seconds()
        except (durationpy.DurationError, ValueError, OverflowError):
            raise refuse(f"not a duration: {value!r}", "write for example 300s, 5m or 1h30m") from None
    return value


def _duration_text(seconds: float) -> str:
    return f"{seconds:g}s"


Seconds = Annotated[float, BeforeValidator(_seconds), PlainSerializer(_duration_text, when_used="json")]
"""Seconds as a float; in documents a text such as `300s` or `5m`, or a plain number of seconds."""
