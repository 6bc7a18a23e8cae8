"""A language model as judge of answers: asked over the router like any other model, its verdicts kept by digest."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from beacon.analysis.answer import AnswerText
from beacon.analysis.answer_rules import ruling
from beacon.analysis.rubric import MAX_TOKENS, RUBRIC, judge_messages, judgement_digest, parse_verdict
from beacon.domain.answer import Inference
from beacon.domain.clock import Clock
from beacon.domain.deadline import Deadline
from beacon.domain.estimate import BYTES_PER_TOKEN, TOKENS_PER_MESSAGE
from beacon.domain.failure import Failure
from beacon.router.router import Router
from beacon.store import judgements
from beacon.store.database import Database
from beacon.store.judgements import Judgement

AT_ONCE = 64
"""Requests that wait for a slot or an answer; the router's limits decide how many are sent."""
VERDICT_S = 300.0
"""Within which a judge has to answer about one answer, a cold start on top."""
UNREADABLE = "the judge's output is not in the asked form"
MOST_SHOWN = 120
"""Characters of such an output that are shown."""


@dataclass(frozen=True, slots=True)
class Judge:
    model: str
    region: str

    @property
    def source(self) -> str:
        """As which its labels are stored."""
        return f"judge:{self.model}"


@dataclass(frozen=True, slots=True)
class Planned:
    """What is left to ask. `cost_usd` is at the dearest provider and the longest verdicts, None where unknown;
    `ruled` are answers that a rule decides, which no judge is asked about."""

    todo: dict[str, AnswerText]
    verdicts: dict[int, str]
    known: dict[str, Judgement]
    ruled: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Judged:
    """`labels` by place among the answers, as (label, reason); `failures` counts by kind, and `told` has what the first
    of each kind says; `cost_usd` is what this run has cost, None where any part of it is unknown."""

    labels: dict[int, tuple[str, str]]
    asked: int
    failures: dict[str, int]
    told: dict[str, str]
    cost_usd: float | None


async def plan_judging(answers: Sequence[AnswerText], judge: Judge, router: Router, database: Database) -> Planned:
    """Which of the answers have to be judged: not those that a rule decides, and none twice. Raises InputError."""
    verdicts: dict[int, str] = {}
    by_digest: dict[str, AnswerText] = {}
    for place, answer in enumerate(answers):
        if ruling(answer) is None:
            digest = judgement_digest(judge.model, answer.prompt, answer.answer)
            verdicts[place] = digest
            by_digest[digest] = answer
    known = await database.read(judgements.known, list(by_digest))
    todo = {digest: answer for digest, answer in by_digest.items() if digest not in known}
    return Planned(todo, verdicts, known, len(answers) - len(verdicts), _cost(todo, judge, router))


def _cost(todo: dict[str, AnswerText], judge: Judge, router: Router) -> float | None:
    tokens = sum(
        ceil(len(message.content.encode()) / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE
        for answer in todo.values()
        for message in judge_messages(answer.prompt, answer.answer)
    )
    costs = [p.cost.of(tokens, MAX_TOKENS * len(todo)) for p in router.fleet.serving(judge.model, judge.region)]
    return None if None in costs else max((cost for cost in costs if cost is not None), default=None)


async def judge_all(planned: Planned, judge: Judge, router: Router, database: Database, clock: Clock) -> Judged:
    """Asks about what is left, keeps each verdict at once, and returns all of them.

    Only an output in the asked form is a verdict; anything else is counted as a failure and labels nothing.
    """
    found = dict(planned.known)
    failures: dict[str, int] = {}
    told: dict[str, str] = {}
    costs: list[float | None] = []
    turns = asyncio.Semaphore(AT_ONCE)

    async def one(digest: str, answer: AnswerText) -> None:
        async with turns:
            said, cost = await _ask(answer, judge, router, clock)
        costs.append(cost)
        verdict = parse_verdict(said) if isinstance(said, str) else None
        if verdict is None:
            why = UNREADABLE if isinstance(said, str) else said.kind.value
            failures[why] = failures.get(why, 0) + 1
            told.setdefault(why, _shortened(said) if isinstance(said, str) else said.message)
            return
        kept = Judgement(digest, judge.model, RUBRIC, verdict.label, verdict.reason, cost, clock.wall())
        await database.write(judgements.add, kept)
        found[digest] = kept

    async with asyncio.TaskGroup() as tasks:
        for digest, answer in planned.todo.items():
            tasks.create_task(one(digest, answer))
    labels = {
        place: (found[digest].label, found[digest].reason)
        for place, digest in planned.verdicts.items()
        if digest in found
    }
    known = [cost for cost in costs if cost is not None]
    return Judged(labels, len(planned.todo), failures, told, sum(known) if len(known) == len(costs) else None)


def _shortened(text: str) -> str:
    shown = " ".join(text.split())
    return shown if len(shown) <= MOST_SHOWN else f"{shown[:MOST_SHOWN]}…"


async def _ask(answer: AnswerText, judge: Judge, router: Router, clock: Clock) -> tuple[str | Failure, float | None]:
    """What the judge says, and what that cost; nothing is tried twice, since a further run asks what is missing."""
    placement = await router.place(judge.model, judge.region)
    try:
        inference = Inference(
            key=f"judge.{uuid.uuid4()}",
            attempt=1,
            model=judge.model,
            region=judge.region,
            messages=judge_messages(answer.prompt, answer.answer),
            temperature=0.0,
            max_tokens=MAX_TOKENS,
            top_p=None,
            question_id="",
            language=answer.language or "",
            repeat=0,
        )
        outcome = await placement.send(inference, Deadline.after(VERDICT_S + placement.cold_start_s, clock))
    finally:
        placement.release()
    if isinstance(outcome, Failure):
        return outcome, None
    return outcome.text, outcome.cost_usd
