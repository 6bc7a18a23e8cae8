"""Job specs: each rule of the contract, and what a person is told who breaks it."""

import json
from typing import Any

import pytest
import rfc8785

from beacon.domain.fleet import Fleet
from beacon.domain.persona import PersonaBook
from beacon.domain.question import QuestionPack
from beacon.domain.spec import (
    MAX_SEED,
    JobSpec,
    PackReference,
    check_against_fleet,
    inline,
    parse_spec,
    to_document,
    validate_spec,
)
from beacon.errors import DocumentError, InputError

CONTRACT = """
schema: beacon.job/v1
name: What is said about Taiwan
questions:
  - {pack: sovereignty}
  - {id: taiwan-status, text: "What is the political status of Taiwan?", category: sovereignty}
models: [llama3.2-1b, qwen2.5-1.5b, mistral-7b]
regions: [us, eu, apac]
personas: [none, regional]
languages: [en]
repeats: 5
seed: 7
sampling: {temperature: 0.7, max_tokens: 400}
limits: {execution_deadline: 300s, job_deadline: 30m, max_attempts: 3, on_unknown: retry, max_cost_usd: 5,
         allow_unknown_cost: false}
success: {min_rate: 0.9, min_regions: 3}
"""


def document(**changes: Any) -> dict[str, Any]:
    smallest = {
        "schema": "beacon.job/v1",
        "name": "n",
        "questions": [{"id": "q", "text": "Why?"}],
        "models": ["m"],
        "regions": ["us"],
    }
    return {**smallest, **changes}


def test_the_example_of_the_contract_is_read() -> None:
    spec = parse_spec(CONTRACT, "spec.yaml")
    assert spec.questions[0] == PackReference(pack="sovereignty")
    assert spec.personas == ("none", "regional")
    assert spec.limits.job_deadline == 1800
    assert spec.limits.max_cost_usd == 5


def test_what_is_not_written_has_the_default_of_the_contract() -> None:
    spec = validate_spec(document(), "spec.yaml")
    assert (spec.personas, spec.languages, spec.repeats, spec.seed) == (("none",), ("en",), 1, None)
    assert (spec.sampling.temperature, spec.sampling.max_tokens) == (0.7, 400)
    assert spec.limits.execution_deadline == 300
    assert spec.limits.job_deadline is None
    assert (spec.limits.max_attempts, spec.limits.on_unknown) == (3, "retry")
    assert (spec.limits.max_cost_usd, spec.limits.allow_unknown_cost) == (None, False)
    assert (spec.success.min_rate, spec.success.min_regions) == (0.9, None)


def test_json_and_yaml_of_one_spec_are_the_same() -> None:
    spec = parse_spec(CONTRACT, "spec.yaml")
    assert parse_spec(json.dumps(to_document(spec), indent="\t"), "spec.json") == spec


def test_regions_are_canonical_from_the_edge_inwards() -> None:
    spec = validate_spec(document(regions=["US", "eu-west", "Asia Pacific"]), "spec.yaml")
    assert spec.regions == ("us", "eu", "apac")
    mapped = validate_spec(document(regions=["US", "EU"], languages={"usa": "en", "europe": "fi"}), "spec.yaml")
    assert mapped.languages_of("us") == ("en",)
    assert mapped.languages_of("eu") == ("fi",)


# Inlining: packs and personas become part of the spec.


def pack_of(*ids: str, **texts: str) -> QuestionPack:
    questions = [{"id": name, "texts": texts or {"en": "Why?"}} for name in ids]
    return QuestionPack.model_validate({"schema": "beacon.pack/v1", "name": "p", "title": "P", "questions": questions})


PERSONAS = PersonaBook.model_validate(
    {
        "schema": "beacon.personas/v1",
        "prompts": {
            "placebo": {"any": {"en": "placebo en", "zh": "placebo zh"}},
            "regional": {"us": {"en": "us en"}, "eu": {"en": "eu en", "zh": "eu zh"}},
        },
    }
)


def inlined(pack: QuestionPack | InputError | None = None, seed: int = 1, **changes: Any) -> JobSpec:
    def read_pack(reference: PackReference) -> QuestionPack:
        if isinstance(pack, InputError):
            raise pack
        assert pack is not None
        return pack

    spec = validate_spec(document(**changes), "spec.yaml")
    return inline(spec, source="spec.yaml", read_pack=read_pack, personas=PERSONAS, seed=seed)


def inline_faults(pack: QuestionPack | InputError | None = None, **changes: Any) -> dict[str | None, InputError]:
    with pytest.raises(DocumentError) as caught:
        inlined(pack, **changes)
    return {fault.where: fault for fault in caught.value.faults}


def test_packs_are_read_in_their_place_and_questions_know_their_pack() -> None:
    entries = [{"id": "first", "text": "?"}, {"pack": "p", "only": ["c", "a"]}, {"id": "last", "text": "?"}]
    spec = inlined(pack_of("a", "b", "c"), questions=entries)
    assert [(q.id, q.pack) for q in spec.questions] == [
        ("first", None),
        ("a", "p"),
        ("c", "p"),
        ("last", None),
    ]


def test_the_seed_of_the_document_wins_and_else_the_one_that_was_drawn_is_recorded() -> None:
    assert inlined(seed=3).seed == 3
    spec = validate_spec(document(seed=8), "spec.yaml")
    assert inline(spec, source="s", read_pack=lambda _: pack_of("a"), personas=PERSONAS, seed=3).seed == 8


def test_the_largest_seed_can_be_put_into_canonical_json() -> None:
    assert rfc8785.dumps(to_document(inlined(seed=MAX_SEED)))


def test_an_inlined_spec_survives_storage() -> None:
    spec = inlined(
        pack_of("a", "b", en="Why?", zh="为什么？"),
        questions=[{"pack": "p"}],
        regions=["us", "eu"],
        personas=["none", "placebo"],
        languages=["en", "zh"],
        limits={"execution_deadline": 86399.5, "job_deadline": "12.25s", "max_cost_usd": 0.1},
    )
    stored = json.loads(json.dumps(to_document(spec)))
    assert JobSpec.model_validate(stored) == spec
    assert stored["limits"]["execution_deadline"] == "86399.5s"
    assert stored["limits"]["job_deadline"] == "12.25s"


def test_the_total_counts_every_repeat_of_every_cell() -> None:
    assert inlined().total == 1
    questions = [{"id": name, "texts": {"en": "?", "zh": "?"}} for name in "abc"]
    spec = inlined(questions=questions, models=["m", "n"], regions=["us", "eu"], languages=["en", "zh"], repeats=5)
    assert spec.total == 3 * 2 * 2 * 2 * 5
    mapped = inlined(questions=questions, regions=["us", "eu"], languages={"us": "en", "eu": "zh"}, repeats=5)
    assert mapped.total == 3 * 2 * 5


def test_only_a_map_of_different_languages_confounds_region_with_language() -> None:
    questions = [{"id": "q", "texts": {"en": "?", "zh": "?"}}]
    both = {"questions": questions, "regions": ["us", "eu"]}
    assert inlined(languages={"us": "en", "eu": "zh"}, **both).region_is_language
    assert not inlined(languages={"us": "en", "eu": "en"}, **both).region_is_language
    assert not inlined(languages=["en", "zh"], **both).region_is_language


def test_persona_prompts_are_inlined_for_the_regions_and_languages_of_the_job() -> None:
    spec = inlined(regions=["us", "eu"], personas=["none", "placebo", "regional"])
    assert spec.system_prompt("none", "us", "en") is None
    assert spec.system_prompt("placebo", "us", "en") == spec.system_prompt("placebo", "eu", "en") == "placebo en"
    assert spec.system_prompt("regional", "eu", "en") == "eu en"
    assert spec.persona_prompts["regional"]["eu"] == {"en": "eu en"}


def test_a_persona_without_a_prompt_is_refused_with_the_languages_that_it_has() -> None:
    questions = [{"id": "q", "texts": {"en": "?", "zh": "?"}}]
    faults = inline_faults(questions=questions, personas=["none", "regional"], languages=["en", "zh"])
    fault = faults["personas[1]"]
    assert "'regional' has no prompt for region 'us' in language 'zh'" in fault.what
    assert fault.todo == "for us it has en"
    elsewhere = inline_faults(regions=["mars"], personas=["regional"])["personas[0]"]
    assert "region 'mars'" in elsewhere.what
    assert "leave" in str(elsewhere.todo)


def test_an_unknown_pack_or_question_of_a_pack_is_named_with_its_place() -> None:
    unknown = InputError("unknown question pack 'soverignty'", todo="did you mean 'sovereignty'?")
    entries = [{"id": "q", "text": "?"}, {"pack": "soverignty"}]
    fault = inline_faults(unknown, questions=entries)["questions[1].pack"]
    assert "soverignty" in fault.what
    assert fault.todo == "did you mean 'sovereignty'?"
    entries[1] = {"pack": "p", "only": ["apple", "pera"]}
    missing = inline_faults(pack_of("apple", "pear"), questions=entries)["questions[1].only[1]"]
    assert "no question 'pera'" in missing.what
    assert "did you mean 'pear'?" in str(missing.todo)


def test_two_questions_with_one_id_are_refused() -> None:
    entries = [{"id": "a", "text": "?"}, {"pack": "p"}]
    fault = inline_faults(pack_of("a", "b"), questions=entries)["questions[1]"]
    assert "'a' stands twice, first in questions[0]" in fault.what


def test_a_language_that_a_question_lacks_is_named_once_with_those_that_all_have() -> None:
    entries = [
        {"id": "a", "texts": {"en": "?", "zh": "?"}},
        {"id": "b", "text": "?"},
        {"id": "c", "text": "?"},
    ]
    fault = inline_faults(questions=entries, languages=["en", "zh"])["languages[1]"]
    assert fault.what == "2 questions have no text in 'zh': b, c"
    assert fault.todo == "every question has en"
    mapped = inline_faults(questions=entries[:2], languages={"us": "zh"})["languages.us"]
    assert mapped.what == "question b has no text in 'zh'"
    unwritten = inline_faults(questions=[{"id": "a", "texts": {"zh": "?"}}])["languages"]
    assert unwritten.what == "question a has no text in 'en'"


def test_a_job_that_is_too_large_is_refused_with_its_size() -> None:
    fault = inline_faults(pack_of(*(f"q{n}" for n in range(201))), questions=[{"pack": "p"}], repeats=10_000)["repeats"]
    assert "2,010,000 executions, at most 2,000,000" in fault.what
    many = pack_of(*(f"q{n}" for n in range(10_000)))
    both = inline_faults(many, questions=[{"pack": "p"}, {"id": "x", "text": "?"}])["questions"]
    assert "10,001 questions, at most 10,000" in both.what


def test_a_pack_that_is_itself_faulty_is_reported_under_its_own_name() -> None:
    broken = DocumentError("mine.yaml", [InputError("this field is required", where="title")])
    with pytest.raises(DocumentError, match=r"mine\.yaml has 1 fault"):
        inlined(broken, questions=[{"pack": "./mine.yaml"}])


@pytest.mark.parametrize(
    ("pack", "is_path"),
    [("sovereignty", False), ("./p", True), ("p.yaml", True), ("a\\b", True), ("p.json", True)],
)
def test_a_path_is_told_from_the_name_of_a_built_in_pack(pack: str, is_path: bool) -> None:
    assert PackReference(pack=pack).is_path is is_path


# Against the fleet.


def fleet_of(*providers: dict[str, Any]) -> Fleet:
    complete = [
        {"name": f"p{n}", "transport": "openai", "url": "http://localhost:1", **provider}
        for n, provider in enumerate(providers)
    ]
    return Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": complete})


def fleet_faults(fleet: Fleet, **changes: Any) -> dict[str | None, InputError]:
    with pytest.raises(DocumentError) as caught:
        check_against_fleet(validate_spec(document(**changes), "s"), fleet, "s")
    return {fault.where: fault for fault in caught.value.faults}


def test_a_spec_that_the_fleet_serves_passes() -> None:
    fleet = fleet_of({"region": "us-east", "models": ["m"]}, {"region": "eu", "models": {"m": "other/m"}})
    check_against_fleet(validate_spec(document(regions=["us", "EU"]), "s"), fleet, "s")


def test_an_unknown_model_or_region_is_named_with_the_nearest_that_is_served() -> None:
    fleet = fleet_of({"region": "apac", "models": ["llama3.2-1b", "qwen2.5-1.5b"]})
    faults = fleet_faults(fleet, regions=["apac", "apacc"], models=["qwen2.5-1.5b", "lama3.2-1b"])
    assert "unknown region 'apacc'" in faults["regions[1]"].what
    assert "did you mean 'apac'?" in str(faults["regions[1]"].todo)
    assert "unknown model 'lama3.2-1b'" in faults["models[1]"].what
    assert "did you mean 'llama3.2-1b'?" in str(faults["models[1]"].todo)


def test_a_model_that_a_region_does_not_serve_is_refused_and_never_fetched_elsewhere() -> None:
    fleet = fleet_of({"region": "us", "models": ["m", "n"]}, {"region": "eu", "models": ["n"]})
    fault = fleet_faults(fleet, regions=["us", "eu"])["models[0]"]
    assert fault.what == "no provider serves 'm' in region 'eu'"
    assert "served in us" in str(fault.todo)


def test_a_cost_ceiling_is_refused_while_a_price_is_unknown() -> None:
    priced = {"input_per_mtok": 0.1, "output_per_mtok": 0.2}
    half = {"input_per_mtok": 0.1}
    ceiling = {"max_cost_usd": 5}
    fleet = fleet_of({"region": "us", "models": ["m"], "cost": half}, {"region": "eu", "models": ["m"], "cost": priced})
    fault = fleet_faults(fleet, limits=ceiling)["limits.max_cost_usd"]
    assert "'p0' is unknown" in fault.what
    assert "allow_unknown_cost" in str(fault.todo)
    for accepted in (
        document(limits={**ceiling, "allow_unknown_cost": True}),
        document(limits=ceiling, regions=["eu"]),
        document(),
    ):
        check_against_fleet(validate_spec(accepted, "s"), fleet, "s")


def test_a_recorded_answer_costs_nothing_and_needs_no_price() -> None:
    recorded = {"name": "r", "region": "us", "transport": "replay", "file": "a.jsonl", "models": ["m"]}
    fleet = Fleet.model_validate({"schema": "beacon.fleet/v1", "providers": [recorded]})
    check_against_fleet(validate_spec(document(limits={"max_cost_usd": 1}), "s"), fleet, "s")
