"""A job spec as it arrives over HTTP: JSON or YAML, into a validated document."""

from __future__ import annotations

import json
from typing import Any

from beacon.domain.document import parse_text
from beacon.domain.spec import PackReference, SpecDocument, validate_spec
from beacon.errors import DocumentError, InputError
from beacon.web.problems import RefusedError

SOURCE = "the job spec"
_JSON = frozenset({"application/json", "text/json"})
_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


def read_spec(content: bytes, content_type: str) -> SpecDocument:
    """Raises DocumentError with every fault, RefusedError for a media type that is not read."""
    media_type = content_type.split(";")[0].strip().lower()
    if not (media_type in _JSON or media_type in _YAML or media_type.endswith("+json")):
        todo = "send application/json or application/yaml"
        raise RefusedError(415, f"media type {media_type or 'unknown'!r} is not read", where="Content-Type", todo=todo)
    text = _text(content)
    return checked(parse_text(text, SOURCE) if media_type in _YAML else _parse_json(text))


def checked(value: Any) -> SpecDocument:
    """The document of parsed values. A pack path is refused: a server reads no files of a client."""
    _refuse_halves(value)
    document = validate_spec(value, SOURCE)
    todo = "inline its questions, as `beacon run` does, or name a built-in pack"
    faults = [
        InputError(
            f"{entry.pack!r} is a path, and a server reads no files of a client",
            where=f"questions[{n}].pack",
            todo=todo,
        )
        for n, entry in enumerate(document.questions)
        if isinstance(entry, PackReference) and entry.is_path
    ]
    if faults:
        raise DocumentError(SOURCE, faults)
    return document


def _refuse_halves(value: Any) -> None:
    """An escape such as `\\ud800` alone is half a character: no database and no page can hold it."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError as error:
        half = f"\\u{ord(error.object[error.start]):04x}"
        raise DocumentError(
            SOURCE, [InputError(f"{half} is half a character", todo="write both halves, or none")]
        ) from None


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fault = InputError(f"not UTF-8: byte {error.start} cannot be read", todo="save the file as UTF-8")
        raise DocumentError(SOURCE, [fault]) from None


def _parse_json(text: str) -> Any:
    """JSON has rules of its own (escapes, tabs) that a YAML parser does not keep."""
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        fault = InputError(f"not valid JSON: {error.msg}", where=where, todo="check quotes, commas and brackets there")
        raise DocumentError(SOURCE, [fault]) from None
    except InputError as fault:
        raise DocumentError(SOURCE, [fault]) from None
    except RecursionError:
        raise DocumentError(SOURCE, [InputError("nested too deeply")]) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise InputError(f"duplicate key {key!r}", where=key, todo="keep one of the two")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise InputError(f"{name} is no JSON number", todo="write a finite number")
