"""Simulated answers: what an answer is, drawn from the scripted rates, and the text that says it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Literal

from pydantic import Field

from beacon.domain.document import load
from beacon.domain.question import Fact, Frozen, Language
from beacon.lab.behaviour import Behaviour
from beacon.lab.draw import Draws
from beacon.lab.knowledge import Asked
from beacon.lab.world import Answers, Narrative

LANGUAGES = ("en", "zh")
MIN_TOKENS = 70
MAX_FACTS = 5
MAX_CONTEXTS = 4
_PIECE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]{1,2}|[^\s\u3000-\u9fff\uff00-\uffef]+\s*|\s+")

OUTCOMES = tuple(Answers.model_fields)

FinishReason = Literal["stop", "length", "content_filter"]


class NarrativePhrases(Frozen):
    """`leads` hold `{fact}`; `generic` are the sentences for a question whose facts are not known."""

    openings: tuple[str, ...] = Field(min_length=1)
    leads: tuple[str, ...] = Field(min_length=MAX_FACTS)
    contexts: tuple[str, ...] = Field(min_length=1)
    closings: tuple[str, ...] = Field(min_length=1)
    generic: tuple[str, ...] = Field(min_length=1)


class Phrases(Frozen):
    """`refusal` and `evasive` are slots in order; a text takes one sentence of each slot."""

    schema_: Literal["beacon.phrases/v1"] = Field(alias="schema")
    language: Language
    joiner: str
    refusal: tuple[tuple[str, ...], ...]
    evasive: tuple[tuple[str, ...], ...]
    narratives: dict[Narrative, NarrativePhrases]


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """`outcome` names the scripted class: a field of `Answers`, or `substantive`. `tokens` joined are the text."""

    outcome: str
    tokens: list[str]
    finish_reason: FinishReason

    @property
    def text(self) -> str:
        return "".join(self.tokens)

    def at_most(self, max_tokens: int | None) -> ScriptedAnswer:
        """This answer, cut with finish reason `length` where the request allows fewer tokens."""
        if max_tokens is None or len(self.tokens) <= max_tokens:
            return self
        return ScriptedAnswer(self.outcome, self.tokens[:max_tokens], "length")


@cache
def phrases(language: str) -> Phrases:
    """The sentences in `language`, or the English ones where there are none."""
    known = language if language in LANGUAGES else "en"
    text = (resources.files("beacon.lab") / "phrases" / f"{known}.yaml").read_text("utf-8")
    return load(Phrases, text, f"phrases/{known}.yaml")


@lru_cache(maxsize=16_384)
def tokens_of(sentence: str) -> tuple[str, ...]:
    """The sentence cut into simulated tokens: a word with the space after it, or two Chinese characters."""
    return tuple(_PIECE.findall(sentence))


def draw_answer(behaviour: Behaviour, asked: Asked, draws: Draws) -> ScriptedAnswer:
    outcome = draw_outcome(behaviour.answers, draws)
    if outcome == "empty":
        return ScriptedAnswer(outcome, [], "stop")
    if outcome in {"refusal", "evasive"}:
        return ScriptedAnswer(outcome, _withheld(outcome, asked, draws), "stop")
    tokens = _substantive(behaviour.narrative, asked, draws)
    if outcome == "length":
        return ScriptedAnswer(outcome, _first_part(tokens, 0.6), "length")
    if outcome == "content_filter":
        return ScriptedAnswer(outcome, [], "content_filter")
    if outcome == "retracted":
        return ScriptedAnswer(outcome, _first_part(tokens, 0.5), "content_filter")
    return ScriptedAnswer(outcome, tokens, "stop")


def draw_outcome(answers: Answers, draws: Draws) -> str:
    point = draws.uniform()
    for name in OUTCOMES:
        point -= getattr(answers, name)
        if point < 0:
            return name
    return "substantive"


def _withheld(outcome: str, asked: Asked, draws: Draws) -> list[str]:
    book = phrases(asked.language)
    slots = book.refusal if outcome == "refusal" else book.evasive
    return _joined([draws.choose(slot) for slot in slots], book.joiner)


def _substantive(narrative: Narrative, asked: Asked, draws: Draws) -> list[str]:
    book = phrases(asked.language)
    told = book.narratives[narrative]
    sentences = [draws.choose(told.openings)]
    facts = asked.question.facts if asked.question is not None else ()
    if facts:
        chosen = _chosen_facts(narrative, facts, draws)
        leads = draws.sample(told.leads, len(chosen))
        sentences += [
            lead.replace("{fact}", _wording(fact, asked.language)) for lead, fact in zip(leads, chosen, strict=True)
        ]
    else:
        sentences += draws.sample(told.generic, 3 + draws.below(3))
    length = sum(len(tokens_of(sentence)) for sentence in sentences)
    for context in draws.sample(told.contexts, MAX_CONTEXTS):
        sentences.append(context)
        length += len(tokens_of(context))
        if length >= MIN_TOKENS:
            break
    sentences.append(draws.choose(told.closings))
    return _joined(sentences, book.joiner)


def _chosen_facts(narrative: Narrative, facts: tuple[Fact, ...], draws: Draws) -> list[Fact]:
    """The common narrative begins with the first fact; the other one tells the later half of them."""
    if narrative == "other":
        later = facts[len(facts) // 2 :]
        return draws.sample(later, min(len(later), MAX_FACTS))
    more = 1 + draws.below(MAX_FACTS - 1)
    return [facts[0], *draws.sample(facts[1:], more)]


def _wording(fact: Fact, language: str) -> str:
    """A statement is in English; in another language the fact is told by its term, where it has one."""
    terms = fact.terms.get(language, ()) if language in LANGUAGES and language != "en" else ()
    return terms[0] if terms else fact.statement.strip().rstrip(".")


def _joined(sentences: list[str], joiner: str) -> list[str]:
    tokens: list[str] = []
    for sentence in sentences[:-1]:
        tokens += tokens_of(sentence + joiner)
    tokens += tokens_of(sentences[-1])
    return tokens


def _first_part(tokens: list[str], share: float) -> list[str]:
    return tokens[: max(1, int(len(tokens) * share))]
