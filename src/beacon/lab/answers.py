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
MAX_POINTS = 7
MAX_TERMS = 3
_PIECE = re.compile(r"[\u3000-\u9fff\uff00-\uffef]{1,2}|[^\s\u3000-\u9fff\uff00-\uffef]+\s*|\s+")

OUTCOMES = tuple(Answers.model_fields)

FinishReason = Literal["stop", "length", "content_filter"]


class NarrativePhrases(Frozen):
    """A substantive answer is an opening, numbered points, and a closing.

    A point is a fact under one of the `labels`, with where it can be read (`sources` hold `{source}`), or one of
    the `contexts`; the points of a question whose facts are not known are `generic`.
    """

    openings: tuple[str, ...] = Field(min_length=1)
    labels: tuple[str, ...] = Field(min_length=MAX_FACTS)
    sources: tuple[str, ...] = Field(min_length=1)
    contexts: tuple[str, ...] = Field(min_length=1)
    closings: tuple[str, ...] = Field(min_length=1)
    generic: tuple[str, ...] = Field(min_length=1)


class Phrases(Frozen):
    """`refusal` and `evasive` are slots in order; a text takes one sentence of each slot."""

    schema_: Literal["beacon.phrases/v1"] = Field(alias="schema")
    language: Language
    joiner: str
    colon: str
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
    facts = asked.question.facts if asked.question is not None else ()
    points = _told_facts(narrative, facts, asked.language, draws) if facts else []
    length = sum(len(tokens_of(point)) for point in points)
    for more in draws.sample(told.contexts if facts else told.generic, MAX_POINTS):
        if len(points) >= MAX_POINTS or length >= MIN_TOKENS:
            break
        points.append(more)
        length += len(tokens_of(more))
    numbered = [f"{number}. {point}" for number, point in enumerate(points, start=1)]
    return _joined([draws.choose(told.openings), *numbered, draws.choose(told.closings)], "\n\n")


def _told_facts(narrative: Narrative, facts: tuple[Fact, ...], language: str, draws: Draws) -> list[str]:
    book = phrases(language)
    told = book.narratives[narrative]
    chosen = _chosen_facts(narrative, facts, draws)
    points = []
    for label, fact in zip(draws.sample(told.labels, len(chosen)), chosen, strict=True):
        point = f"**{label}{book.colon}** {_wording(fact, language)}"
        if fact.source is not None:
            point += book.joiner + draws.choose(told.sources).replace("{source}", fact.source.rstrip("."))
        points.append(point)
    return points


def _chosen_facts(narrative: Narrative, facts: tuple[Fact, ...], draws: Draws) -> list[Fact]:
    """The common narrative begins with the first fact; the other one tells the later half of them."""
    if narrative == "other":
        later = facts[len(facts) // 2 :]
        return draws.sample(later, min(len(later), MAX_FACTS))
    more = 1 + draws.below(MAX_FACTS - 1)
    return [facts[0], *draws.sample(facts[1:], more)]


def _wording(fact: Fact, language: str) -> str:
    """A statement is in English; in another language the fact is told by its terms, where it has some."""
    terms = fact.terms.get(language, ()) if language in LANGUAGES and language != "en" else ()
    return "、".join(terms[:MAX_TERMS]) + "。" if terms else fact.statement.strip()


def _joined(sentences: list[str], joiner: str) -> list[str]:
    tokens: list[str] = []
    for sentence in sentences[:-1]:
        tokens += tokens_of(sentence + joiner)
    tokens += tokens_of(sentences[-1])
    return tokens


def _first_part(tokens: list[str], share: float) -> list[str]:
    return tokens[: max(1, int(len(tokens) * share))]
