"""What one simulated model does in one region when it is asked one question: the world's rules, resolved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from beacon.domain.question import Question
from beacon.lab.draw import Draws
from beacon.lab.world import Answers, ColdStart, Fault, Latency, Limit, Narrative, Rule, Stream, World


@dataclass(frozen=True, slots=True)
class Behaviour:
    latency: Latency
    stream: Stream
    limit: Limit | None
    cold_start: ColdStart | None
    faults: tuple[Fault, ...]
    answers: Answers
    narrative: Narrative
    upstream: str


def behaviour(world: World, region: str, model: str, question: Question | None) -> Behaviour:
    """The last matching rule that gives a field decides it; the rates are those of this very question."""
    plain = Rule()
    fields: dict[str, Any] = {name: getattr(plain, name) for name in Behaviour.__slots__}
    for rule in world.rules:
        if rule.when.matches(region, model, question):
            fields.update({name: getattr(rule, name) for name in rule.model_fields_set if name in fields})
    if question is not None:
        fields["answers"] = _tilted(fields["answers"], question_deviation(world, question.id))
    return Behaviour(**fields)


def question_deviation(world: World, question_id: str) -> float:
    """In logits; the same in every region, for every model and every seed."""
    return world.question_spread * Draws("question", question_id).normal()


def _tilted(answers: Answers, deviation: float) -> Answers:
    """The same answers with the odds of being withheld (refusal or evasive) multiplied by exp(deviation).

    Refusals and evasive answers keep their proportion, all others theirs.
    """
    withheld = answers.refusal + answers.evasive
    if deviation == 0.0 or withheld == 0.0 or withheld >= 1.0:
        return answers
    tilted = 1 / (1 + (1 - withheld) / withheld * math.exp(-deviation))
    more, less = tilted / withheld, (1 - tilted) / (1 - withheld)
    factors = {name: more if name in {"refusal", "evasive"} else less for name in Answers.model_fields}
    return Answers(**{name: getattr(answers, name) * factor for name, factor in factors.items()})
