"""The JSON Schema (draft 2020-12) of one finding, as it stands in a report."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from beacon.analysis.finding import Finding


def finding_schema() -> dict[str, Any]:
    schema = TypeAdapter(Finding).json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "beacon.finding/v1"}
