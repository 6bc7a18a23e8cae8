"""Writes the JSON Schemas of Beacon's documents to docs/schemas, or to the folder that is given."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from beacon.analysis.schema import finding_schema
from beacon.domain.schemas import schemas

PUBLISHED = Path(__file__).parents[1] / "docs" / "schemas"


def write(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in {**schemas(), "finding": finding_schema()}.items():
        text = json.dumps(schema, indent=2, ensure_ascii=False)
        (folder / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]) if len(sys.argv) > 1 else PUBLISHED)
