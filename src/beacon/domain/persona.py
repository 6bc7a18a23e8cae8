"""Personas: system prompts that say, or do not say, where the asker is.

`regional` says where the asker is; `placebo` has the same form and says nothing; `none` sends no system
prompt. Without a placebo the effect of a persona cannot be told from that of any preamble.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, field_validator

from beacon.domain.document import load
from beacon.domain.faults import refuse
from beacon.domain.frozen import Frozen
from beacon.domain.regions import BUILT_IN
from beacon.domain.scalars import Language, Text, canonical_region

PERSONAS_SCHEMA = "beacon.personas/v1"
PersonaName = Literal["none", "placebo", "regional"]
ANY_REGION = "any"


def _region_or_any(name: str) -> str:
    return name if name == ANY_REGION else canonical_region(name)


PromptsByRegion = dict[Annotated[str, AfterValidator(_region_or_any)], dict[Language, Text]]


class PersonaBook(Frozen):
    """`prompts[persona][region][language]`; the region `any` serves every region (placebo)."""

    schema_: Literal["beacon.personas/v1"] = Field(alias="schema")
    prompts: dict[Literal["placebo", "regional"], PromptsByRegion]

    @field_validator("prompts")
    @classmethod
    def _regional_names_regions(cls, prompts: dict[str, PromptsByRegion]) -> dict[str, PromptsByRegion]:
        if ANY_REGION in prompts.get("regional", {}):
            todo = f"give each region a prompt of its own: {', '.join(BUILT_IN)}"
            raise refuse("the persona regional says where the asker is", todo, at=("regional", ANY_REGION))
        return prompts

    def prompt(self, persona: str, region: str, language: str) -> str | None:
        """The system prompt, or None where the book has none for this region and language."""
        by_region: PromptsByRegion = self.prompts.get(persona, {})  # type: ignore[call-overload]
        for name in (region, ANY_REGION):
            if language in by_region.get(name, {}):
                return by_region[name][language]
        return None

    def languages(self, persona: str, region: str) -> tuple[str, ...]:
        """The languages in which the persona has a prompt for the region."""
        known = {language for regions in self.prompts.values() for texts in regions.values() for language in texts}
        return tuple(sorted(language for language in known if self.prompt(persona, region, language)))


def parse_personas(text: str, source: str) -> PersonaBook:
    """Raises DocumentError."""
    return load(PersonaBook, text, source)
