"""The published JSON Schemas: current, valid, and of one mind with what reads the documents."""

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from beacon.domain.document import load, parse_text
from beacon.domain.fleet import Fleet
from beacon.domain.persona import PersonaBook
from beacon.domain.question import QuestionPack
from beacon.domain.schemas import schemas
from beacon.domain.spec import SpecDocument
from beacon.errors import DocumentError

ROOT = Path(__file__).parents[3]
MODELS: dict[str, Any] = {"job": SpecDocument, "fleet": Fleet, "pack": QuestionPack, "personas": PersonaBook}


def valid(kind: str, text: str) -> bool:
    return bool(jsonschema_rs.validator_for(schemas()[kind]).is_valid(parse_text(text, kind)))


def readable(kind: str, text: str) -> bool:
    try:
        load(MODELS[kind], text, kind)
    except DocumentError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(schemas()))
def test_the_published_schema_is_what_the_types_say(name: str) -> None:
    published = ROOT / "docs" / "schemas" / f"{name}.json"
    assert json.loads(published.read_text(encoding="utf-8")) == schemas()[name], "run tools/write_schemas.py"


def test_nothing_else_is_published_as_a_schema_of_a_document() -> None:
    assert set(schemas()) == set(MODELS)


@pytest.mark.parametrize("name", sorted(schemas()))
def test_a_schema_is_a_schema(name: str) -> None:
    jsonschema_rs.meta.validate(schemas()[name])


@pytest.mark.parametrize("name", ["identity", "science", "sovereignty"])
def test_the_built_in_packs_fit_their_schema(name: str) -> None:
    text = files("beacon.packs").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    assert valid("pack", text)
    assert yaml.safe_load(text) == parse_text(text, name), "other YAML readers must read a pack alike"


def test_the_built_in_personas_and_the_quickstart_fit_their_schemas() -> None:
    assert valid("personas", files("beacon.packs").joinpath("personas.yaml").read_text(encoding="utf-8"))
    assert valid("job", (ROOT / "examples" / "quickstart.yaml").read_text(encoding="utf-8"))


JOB = "{schema: beacon.job/v1, name: n, questions: [{id: q, text: Why}], models: [m], regions: [us]%s}"
FLEET = "{schema: beacon.fleet/v1, providers: [{name: a, region: us, transport: openai, url: 'http://x'%s}]}"
PACK = "{schema: beacon.pack/v1, name: p, title: P, questions: [{id: q%s}]}"


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("job", JOB % ""),
        ("job", JOB % ", languages: [en, zh-Hans]"),
        ("job", JOB % ", languages: {us: en}"),
        ("job", JOB % ", limits: {execution_deadline: 1h30m, job_deadline: 90}"),
        ("fleet", FLEET % ", models: [vendor/m]"),
        ("fleet", FLEET % ", models: {m: vendor/m}, echoes: {m: [x]}"),
        ("pack", PACK % ", text: Why, facts: [short, {statement: long, terms: {en: [x]}}]"),
        ("pack", PACK % ", texts: {en: Why, zh: 为何}"),
    ],
)
def test_a_good_document_fits_its_schema_and_is_read(kind: str, text: str) -> None:
    assert valid(kind, text)
    assert readable(kind, text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("job", JOB % ", surprise: 1"),
        ("job", JOB % ", repeats: 0"),
        ("job", JOB % ", languages: en"),
        ("job", JOB % ", languages: [English]"),
        ("job", JOB % ", personas: [nobody]"),
        ("job", JOB % ", personas: [none, none]"),
        ("job", JOB % ", limits: {execution_deadline: soon}"),
        ("job", JOB % ", seed: 9007199254740992"),
        ("fleet", FLEET % ", models: []"),
        ("fleet", FLEET % ", models: {'a b': x}"),
        ("fleet", FLEET % ", models: [m, m]"),
        ("fleet", FLEET % ", models: [m], api_key: x"),
        ("pack", PACK % ""),
        ("pack", PACK % ", text: a, texts: {en: a}"),
        ("pack", PACK % ", texts: {EN: a}"),
        ("pack", PACK % ", text: ''"),
    ],
)
def test_a_document_of_bad_form_fits_no_schema_and_is_refused(kind: str, text: str) -> None:
    assert not valid(kind, text)
    assert not readable(kind, text)
