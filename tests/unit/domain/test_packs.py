"""The built-in question packs: what makes them fit to compare regions with."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from beacon.domain.question import Question, QuestionPack, parse_pack
from beacon.domain.spec import inline, parse_spec
from beacon.errors import DocumentError, InputError
from beacon.packs import load_pack, load_personas, names

QUESTIONS = [pytest.param(q, id=f"{name}/{q.id}") for name in names() for q in load_pack(name).questions]
CONTESTED = ("government", "history", "press-elections", "propositions", "rights", "sovereignty")
CONTROLS = ("health", "science")
WHOSE = {"china", "united-states", "russia", "india", "middle-east", "europe", "latin-america", "africa"}


def test_the_packs_of_the_contract_are_built_in() -> None:
    assert names() == sorted([*CONTESTED, *CONTROLS, "identity"])
    assert all(load_pack(name).name == name for name in names())
    assert sum(len(load_pack(name).questions) for name in names()) == 121


def test_no_two_packs_share_a_question_id() -> None:
    ids = Counter(question.id for name in names() for question in load_pack(name).questions)
    assert [name for name, count in ids.items() if count > 1] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_can_be_asked_and_judged(question: Question) -> None:
    assert {"en", "zh", "es", "fr"} <= question.texts.keys()
    assert question.sensitivity is not None
    assert set(question.about) <= WHOSE
    assert question.facts
    for fact in question.facts:
        assert fact.source
        # A treaty, a law, a ruling, a resolution or a report is named with its year.
        assert (
            question.control
            or "identity" in question.category
            or re.search(r"1[89]\d\d|20\d\d|Constitution", fact.source)
        )
        assert fact.terms.keys() == question.texts.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_fact_counts_as_mentioned_when_the_question_is_only_repeated(question: Question) -> None:
    for fact in question.facts:
        for language, terms in fact.terms.items():
            assert [term for term in terms if term.casefold() in question.texts[language].casefold()] == []


@pytest.mark.parametrize("question", QUESTIONS)
def test_texts_are_in_their_languages_and_end_as_questions(question: Question) -> None:
    for language, text in question.texts.items():
        assert text.endswith("？" if language == "zh" else "?")
        assert any("\u4e00" <= character <= "\u9fff" for character in text) == (language == "zh")


@pytest.mark.parametrize("name", CONTESTED)
def test_a_contested_pack_touches_everyone_about_equally(name: str) -> None:
    questions = load_pack(name).questions
    counts = Counter(whose for question in questions for whose in question.about)
    assert counts.keys() == WHOSE
    assert max(counts.values()) <= 2 * min(counts.values())
    assert max(counts.values()) <= len(questions) / 4
    assert all(question.about and not question.control for question in questions)


def test_over_all_packs_nobody_has_more_than_a_sixth_or_less_than_a_tenth() -> None:
    counts = Counter(whose for name in names() for question in load_pack(name).questions for whose in question.about)
    assert all(counts.total() / 10 <= count <= counts.total() / 6 for count in counts.values())


def test_nobody_is_asked_the_sensitive_questions_alone() -> None:
    high = Counter(
        whose
        for name in names()
        for question in load_pack(name).questions
        if question.sensitivity == "high"
        for whose in question.about
    )
    assert high.keys() == WHOSE
    assert max(high.values()) <= high.total() / 5


def test_every_proposition_has_its_reverse() -> None:
    questions = load_pack("propositions").questions
    by_id = {question.id: question for question in questions}
    reversals = [question for question in questions if question.reverse_of is not None]
    assert sorted(question.reverse_of or "" for question in reversals) == sorted(
        by_id.keys() - {q.id for q in reversals}
    )
    for reversal in reversals:
        original = by_id[reversal.reverse_of or ""]
        for field in ("about", "category", "sensitivity", "facts"):
            assert getattr(reversal, field) == getattr(original, field)
        assert reversal.texts.keys() == original.texts.keys()
        assert all(reversal.texts[language] != original.texts[language] for language in original.texts)


def test_controls_are_where_they_are_promised_and_touch_nobody() -> None:
    assert all(question.control for name in CONTROLS for question in load_pack(name).questions)
    controls = [question for question in load_pack("identity").questions if question.control]
    assert 2 <= len(controls) < len(load_pack("identity").questions)
    for question in [*controls, *(question for name in CONTROLS for question in load_pack(name).questions)]:
        assert question.about == ()
        assert question.sensitivity == "low"


def test_an_unknown_pack_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(InputError, match="unknown question pack 'soverignty'") as caught:
        load_pack("soverignty")
    assert "did you mean 'sovereignty'?" in str(caught.value.todo)


@pytest.mark.parametrize("name", ["personas", "../packs/science", "science.yaml", ""])
def test_no_other_file_is_read_as_a_pack(name: str) -> None:
    with pytest.raises(InputError, match="unknown question pack"):
        load_pack(name)


PACK = """
schema: beacon.pack/v1
name: mine
title: Mine
questions:
  - {id: a, text: "?", facts: ["one fact", {statement: another, source: a law, terms: {en: [law]}}]}
  - {id: b, texts: {en: "?", zh: "？"}, reverse_of: a}
  - {id: c, text: "?"}
"""


def test_a_pack_of_ones_own_is_read() -> None:
    pack = parse_pack(PACK, "mine.yaml")
    assert pack.questions[0].texts == {"en": "?"}
    assert [fact.statement for fact in pack.questions[0].facts] == ["one fact", "another"]
    assert [question.pack for question in pack.select(("b",))] == ["mine"]


@pytest.mark.parametrize(
    ("wrong", "path", "what"),
    [
        (("reverse_of: a", "reverse_of: aa"), "questions[1].reverse_of", "no question has the id 'aa'"),
        (('{id: c, text: "?"', '{id: c, text: "?", reverse_of: a'), "questions[2].reverse_of", "has a reverse already"),
        (('{id: c, text: "?"', '{id: c, text: "?", reverse_of: b'), "questions[2].reverse_of", "or is one"),
        (("id: c", "id: a"), "questions[2].id", "'a' stands twice"),
        (("title: Mine", "titel: Mine"), "titel", "unknown key 'titel'"),
        (("terms: {en: [law]}", "terms: {en: []}"), "questions[0].facts[1].terms.en", "needs 1 to 100"),
        (
            ("terms: {en: [law]}", "terms: {en: ['']}"),
            "questions[0].facts[1].terms.en[0]",
            "must not be empty",
        ),
        (('{id: a, text: "?"', "{id: a, text: 5"), "questions[0].text", "expected text, found 5"),
        (("name: mine", "name: my pack"), "name", "'my pack' is not an id or name"),
    ],
)
def test_a_faulty_pack_is_refused_with_the_path(wrong: tuple[str, str], path: str, what: str) -> None:
    with pytest.raises(DocumentError) as caught:
        parse_pack(PACK.replace(*wrong), "mine.yaml")
    faults = {fault.where: fault.what for fault in caught.value.faults}
    assert what in faults[path]


def test_selecting_keeps_the_order_of_the_pack() -> None:
    pack: QuestionPack = load_pack("science")
    ids = [question.id for question in pack.questions]
    chosen = pack.select((ids[3], ids[1]))
    assert [question.id for question in chosen] == [ids[1], ids[3]]
    assert pack.select(None)[0].pack == "science"


def test_the_quickstart_is_a_job_of_contested_and_control_questions() -> None:
    path = Path(__file__).parents[3] / "examples" / "quickstart.yaml"
    document = parse_spec(path.read_text(encoding="utf-8"), path.name)
    spec = inline(
        document,
        source=path.name,
        read_pack=lambda reference: load_pack(reference.pack),
        personas=load_personas(),
        seed=0,
    )
    assert spec.models == ("llama3.2-1b", "qwen2.5-1.5b", "mistral-7b")
    assert spec.regions == ("us", "eu", "apac")
    assert (spec.seed, spec.repeats, spec.total) == (7, 5, 495)
    assert Counter(question.control for question in spec.questions) == {False: 8, True: 3}


@pytest.mark.parametrize(
    ("packs", "languages"),
    [
        (names(), ["en", "zh", "es", "fr"]),
        (["health", "identity", "science", "sovereignty"], ["en", "zh", "fi", "es", "fr"]),
    ],
)
def test_every_pack_can_be_asked_with_every_persona_in_its_languages(packs: list[str], languages: list[str]) -> None:
    document = {"schema": "beacon.job/v1", "name": "all", "models": ["m"], "regions": ["us", "eu", "apac"]}
    document |= {"questions": [{"pack": name} for name in packs], "languages": languages}
    document |= {"personas": ["none", "placebo", "regional"]}
    spec = inline(
        parse_spec(json.dumps(document), "all.json"),
        source="all.json",
        read_pack=lambda reference: load_pack(reference.pack),
        personas=load_personas(),
        seed=1,
    )
    assert spec.total == len(spec.questions) * 3 * 3 * len(languages)
