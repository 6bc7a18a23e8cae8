"""JSON Schemas (draft 2020-12) of the documents that people write, generated from the types that read them.

They say what has the right form. Rules that relate fields to each other (a model twice, a region without its
language, a fleet that does not serve a model) are checked when a document is read.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from beacon.domain.fleet import FLEET_SCHEMA, Fleet
from beacon.domain.persona import PERSONAS_SCHEMA, PersonaBook
from beacon.domain.question import PACK_SCHEMA, QuestionPack
from beacon.domain.spec import SPEC_SCHEMA, SpecDocument

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_DOCUMENTS: dict[str, tuple[str, type[BaseModel]]] = {
    "job": (SPEC_SCHEMA, SpecDocument),
    "fleet": (FLEET_SCHEMA, Fleet),
    "pack": (PACK_SCHEMA, QuestionPack),
    "personas": (PERSONAS_SCHEMA, PersonaBook),
}


def schemas() -> dict[str, dict[str, Any]]:
    """The schemas by the name of their file, without its ending."""
    return {
        name: {
            "$schema": _DIALECT,
            **_closed(model.model_json_schema(by_alias=True, mode="validation")),
            "title": title,
        }
        for name, (title, model) in _DOCUMENTS.items()
    }


def _closed(schema: Any) -> Any:
    """`schema` in which a map whose keys have a form admits no other keys.

    Bounds of a duration, which pydantic leaves in its own spelling beside the two forms, are left out: no
    keyword of JSON Schema can compare `5m` with a number.
    """
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(item) for key, item in schema.items() if key not in {"gt", "ge", "le"}}
    return {"additionalProperties": False, **closed} if "patternProperties" in closed else closed
