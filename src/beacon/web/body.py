"""A job spec as it arrives over HTTP: JSON or YAML, into a validated document."""

from __future__ import annotations

from beacon.domain.document import decode, parse_text
from beacon.domain.spec import PackReference, SpecDocument, validate_spec
from beacon.errors import DocumentError, InputError
from beacon.web.problems import RefusedError

_YAML = frozenset({"application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml"})


def read_spec(content: bytes, content_type: str) -> SpecDocument:
    """Raises DocumentError with every fault, RefusedError for a media type that is not read."""
    media_type = content_type.split(";")[0].strip().lower()
    if media_type == "application/json" or media_type.endswith("+json"):
        source = "request.json"
    elif media_type in _YAML or media_type.endswith("+yaml"):
        source = "request.yaml"
    else:
        todo = "send application/json or application/yaml"
        raise RefusedError(415, f"media type {media_type or 'unknown'!r} is not read", where="Content-Type", todo=todo)
    return read_text(decode(content, source), source)


def read_text(text: str, source: str) -> SpecDocument:
    """A pack path is refused: a server reads no files of a client. Raises DocumentError."""
    document = validate_spec(parse_text(text, source), source)
    todo = "inline its questions, as `beacon run` does, or name a built-in pack"
    faults = []
    for place, entry in enumerate(document.questions):
        if isinstance(entry, PackReference) and entry.is_path:
            what = f"{entry.pack!r} is a path, and a server reads no files of a client"
            faults.append(InputError(what, where=f"questions[{place}].pack", todo=todo))
    if faults:
        raise DocumentError(source, faults)
    return document
