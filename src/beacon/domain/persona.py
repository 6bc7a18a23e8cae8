"""Personas: system prompts that say, or do not say, where the asker is.

`regional` says where the asker is; `placebo` has the same form and says nothing; `none` sends no system
prompt. Without a placebo the effect of a persona cannot be told from that of any preamble.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from beacon.domain.document import load
from beacon.domain.question import Frozen, Language, QuestionText

PersonaName = Literal["none", "placebo", "regional"]
ANY_REGION = "any"


class PersonaBook(Frozen):
    """`prompts[persona][region][language]`; the region `any` serves every region (placebo)."""

    schema_: Literal["beacon.personas/v1"] = Field(alias="schema")
    prompts: dict[Literal["placebo", "regional"], dict[str, dict[Language, QuestionText]]]

    def prompt(self, persona: str, region: str, language: str) -> str | None:
        """The system prompt, or None where the book has none for this region and language."""
        by_region = self.prompts.get(persona, {})  # type: ignore[call-overload]
        by_language = by_region.get(region) or by_region.get(ANY_REGION) or {}
        return by_language.get(language)


def parse_personas(text: str, source: str) -> PersonaBook:
    """Raises DocumentError."""
    return load(PersonaBook, text, source)
