"""Documents at the edge: YAML or JSON text into validated values, with every fault named by its field path.

Rules that hold for every document: duplicate keys, unknown keys, aliases and wrong types are refused; each
fault carries the path of the field, the value, and the nearest valid name.
"""

from __future__ import annotations

import codecs
import json
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from beacon.domain.faults import faults_of, field_path, refuse, show
from beacon.domain.frozen import Frozen
from beacon.domain.scalars import Seconds
from beacon.domain.yaml_text import read_json, read_yaml
from beacon.errors import DocumentError, InputError

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "Frozen",
    "Seconds",
    "decode",
    "field_path",
    "load",
    "parse_text",
    "refuse",
    "validate",
]

MAX_DOCUMENT_BYTES = 8_000_000
# Names of union members (see QuestionEntry and Languages of a spec); pydantic puts them into locations.
_UNION_TAGS = frozenset({"<PackReference>", "<Question>", "<list>", "<map>"})
M = TypeVar("M", bound=BaseModel)

_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode(data: bytes, source: str) -> str:
    """The text of a file's bytes: UTF-8, or UTF-16 where a byte order mark says so.

    Raises DocumentError that names the first byte that is no text.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise _too_large(f"{len(data):,} bytes", source)
    encoding = "utf-8"
    for mark, of_mark in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            data, encoding = data.removeprefix(mark), of_mark
            break
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        what = f"not {encoding.upper()} text: byte 0x{data[error.start]:02x} cannot be read"
        fault = InputError(what, where=f"line {line}", todo="save the file as UTF-8")
        raise DocumentError(source, [fault]) from None


def parse_text(text: str, source: str) -> Any:
    """The plain value that a YAML or JSON text denotes.

    Raises DocumentError that names the line of a syntax error or of a duplicate key.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_DOCUMENT_BYTES:
        raise _too_large(f"{len(text):,} characters", source)
    try:
        return _value_of(text, is_json=source.lower().endswith(".json"))
    except InputError as fault:
        raise DocumentError(source, [fault]) from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        todo = "check commas, quotes and brackets there"
        raise DocumentError(source, [InputError(f"not valid JSON: {error.msg}", where=where, todo=todo)]) from None
    except yaml.YAMLError as error:
        raise DocumentError(source, [_syntax_fault(error, text)]) from None
    except UnicodeEncodeError as error:
        line = text.count("\n", 0, error.start) + 1
        what = "a character that has no form in UTF-8 (a lone surrogate)"
        raise DocumentError(source, [InputError(what, where=f"line {line}", todo="remove it")]) from None
    except RecursionError:
        raise DocumentError(source, [InputError("nested too deeply")]) from None


def _value_of(text: str, *, is_json: bool) -> Any:
    """JSON is tried first where a text looks like it: not all of JSON is YAML as YAML parsers read it."""
    if is_json:
        return read_json(text)
    if text.lstrip()[:1] in {"{", "["}:
        try:
            return read_json(text)
        except json.JSONDecodeError:
            return read_yaml(text)
    return read_yaml(text)


def _too_large(size: str, source: str) -> DocumentError:
    return DocumentError(source, [InputError(f"{size}, at most {MAX_DOCUMENT_BYTES:,} are read")])


def _syntax_fault(error: yaml.YAMLError, text: str) -> InputError:
    if isinstance(error, yaml.reader.ReaderError):
        line = text.count("\n", 0, error.position) + 1
        what = f"not valid YAML: the character {chr(error.character)!r} is not allowed in a text"
        return InputError(what, where=f"line {line}", todo="remove it")
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    problem = error.problem if isinstance(error, yaml.MarkedYAMLError) else None
    if problem == "but found another document":
        problem = "a second document begins"
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else None
    todo = "check indentation, quotes and colons there"
    return InputError(f"not valid YAML: {problem or error}", where=where, todo=todo)


def validate(model: type[M], value: Any, source: str) -> M:
    """`value` as a `model`; raises DocumentError with a fault for each field that is wrong."""
    if not isinstance(value, dict):
        found = "nothing" if value is None else show(value)
        raise DocumentError(source, [InputError(f"expected a map of fields, found {found}")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise DocumentError(source, faults_of(error, model, value, _UNION_TAGS)) from None


def load(model: type[M], text: str, source: str) -> M:
    return validate(model, parse_text(text, source), source)
