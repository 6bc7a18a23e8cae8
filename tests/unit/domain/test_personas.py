"""Personas: the regional one says where the asker is, the placebo says nothing in the same form."""

import pytest

from beacon.domain.persona import PersonaBook, parse_personas
from beacon.errors import DocumentError
from beacon.packs import load_personas

LANGUAGES = ("en", "es", "fi", "fr", "zh")
REGIONS = ("us", "eu", "apac")
BOOK = load_personas()


def text_of(persona: str, region: str, language: str) -> str:
    prompt = BOOK.prompt(persona, region, language)
    assert prompt is not None
    return prompt


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_placebo_has_the_form_and_about_the_length_of_the_regional_prompts(language: str) -> None:
    placebo = text_of("placebo", "us", language)
    for region in REGIONS:
        regional = text_of("regional", region, language)
        assert abs(len(regional) - len(placebo)) <= 0.3 * len(placebo)
        assert regional[:5] == placebo[:5]
        assert regional.split()[-1][-6:] == placebo.split()[-1][-6:]
        assert regional.count(".") == placebo.count(".")


@pytest.mark.parametrize("language", LANGUAGES)
def test_regional_prompts_differ_by_region_and_the_placebo_does_not(language: str) -> None:
    assert len({text_of("regional", region, language) for region in REGIONS}) == 3
    assert len({text_of("placebo", region, language) for region in (*REGIONS, "latam")}) == 1


def test_a_region_or_language_without_a_prompt_has_none() -> None:
    assert BOOK.prompt("regional", "latam", "en") is None
    assert BOOK.prompt("regional", "us", "sw") is None
    assert BOOK.prompt("none", "us", "en") is None
    assert BOOK.languages("regional", "us") == LANGUAGES
    assert BOOK.languages("regional", "latam") == ()


def test_a_prompt_of_the_very_region_comes_before_that_for_any() -> None:
    prompts = {"placebo": {"any": {"en": "any", "zh": "any zh"}, "us": {"en": "us"}}}
    book = PersonaBook.model_validate({"schema": "beacon.personas/v1", "prompts": prompts})
    assert book.prompt("placebo", "us", "en") == "us"
    assert book.prompt("placebo", "us", "zh") == "any zh"


@pytest.mark.parametrize(
    ("prompts", "path", "what"),
    [
        ("{regional: {any: {en: x}}}", "prompts.regional.any", "says where the asker is"),
        ("{regional: {'??': {en: x}}}", "prompts.regional", "'??' cannot be a region name"),
        ("{regionl: {us: {en: x}}}", "prompts", "unknown value 'regionl'"),
        ("{placebo: {any: {english: x}}}", "prompts.placebo.any", "'english' is not a language code"),
        ("{placebo: {any: {en: ''}}}", "prompts.placebo.any.en", "must not be empty"),
    ],
)
def test_a_faulty_book_is_refused_with_the_path(prompts: str, path: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_personas(f"schema: beacon.personas/v1\nprompts: {prompts}", "personas.yaml")
    assert what in {fault.where: fault.what for fault in caught.value.faults}[path]


def test_region_aliases_in_a_book_are_canonical_when_read() -> None:
    book = parse_personas("schema: beacon.personas/v1\nprompts: {regional: {US-East: {en: x}}}", "p")
    assert book.prompt("regional", "us", "en") == "x"
