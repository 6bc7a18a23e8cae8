"""The script of one request: everything that will happen to it, drawn before any of it happens."""

from __future__ import annotations

import time
from dataclasses import dataclass

from beacon.domain.clock import Clock
from beacon.domain.question import Question
from beacon.lab.answers import draw_answer
from beacon.lab.behaviour import Behaviour, behaviour
from beacon.lab.completion import ChatRequest, Completion
from beacon.lab.draw import Draws
from beacon.lab.knowledge import Asked
from beacon.lab.station import Station
from beacon.lab.world import Fault, World

FOREIGN_MODEL = "beacon-lab/another-model"
FOREIGN_REGION = "elsewhere"


@dataclass(frozen=True, slots=True)
class Script:
    """`first_token_s` and `total_s` count from the start of the work, after any cold start."""

    completion: Completion
    outcome: str
    fault: Fault | None
    first_token_s: float
    total_s: float
    tokens_per_event: int
    region: str
    upstream: str


class Scriptwriter:
    """Writes scripts for one region of a world; the same request number of a cell always gets the same one.

    What is drawn comes from SHA-256 over seed, region, model, prompt, number and purpose, so that changing the
    faults of a world, for example, does not change its answers.
    """

    def __init__(self, world: World, region: str, seed: int) -> None:
        self.world = world
        self.region = region
        self.seed = seed
        self._names = {provider_name: name for name, provider_name in world.models.items()}
        self._behaviours: dict[tuple[str, str | None], Behaviour] = {}

    def model_named(self, provider_name: str) -> str | None:
        """Beacon's name of the model that the provider calls so; None where it serves none."""
        return self._names.get(provider_name)

    def stations(self, clock: Clock) -> dict[str, Station]:
        """A fresh station per model."""
        fresh = {}
        for model in self.world.models:
            scripted = behaviour(self.world, self.region, model, None)
            fresh[model] = Station(scripted.limit, scripted.cold_start, clock)
        return fresh

    def write(self, model: str, request: ChatRequest, asked: Asked, prompt: str, number: int, attempt: int) -> Script:
        acts = self._behaviour(model, asked.question)
        subject = (self.seed, self.region, model, prompt, number)
        answer = draw_answer(acts, asked, Draws(*subject, "answer")).at_most(request.max_tokens)
        fault = self._fault(acts, attempt, Draws(*subject, "fault"))
        first_token_s = acts.latency.draw(Draws(*subject, "latency"))
        pace = acts.stream.tokens_per_second
        completion = Completion(
            id=f"chatcmpl-lab-{prompt}-{number}",
            created=int(time.time()),
            model=FOREIGN_MODEL if fault and fault.kind == "wrong_model" else request.model,
            tokens=answer.tokens,
            finish_reason=answer.finish_reason,
            input_tokens=sum(len(content) // 4 + 4 for _, content in request.messages),
        )
        return Script(
            completion=completion,
            outcome=answer.outcome,
            fault=fault,
            first_token_s=first_token_s,
            total_s=first_token_s + (len(answer.tokens) / pace if pace else 0.0),
            tokens_per_event=acts.stream.tokens_per_event,
            region=FOREIGN_REGION if fault and fault.kind == "wrong_region" else self.region,
            upstream=acts.upstream,
        )

    def _behaviour(self, model: str, question: Question | None) -> Behaviour:
        key = (model, None if question is None else f"{question.pack}/{question.id}")
        found = self._behaviours.get(key)
        if found is None:
            found = self._behaviours[key] = behaviour(self.world, self.region, model, question)
        return found

    @staticmethod
    def _fault(acts: Behaviour, attempt: int, draws: Draws) -> Fault | None:
        """The first fault of the list that strikes."""
        struck = [fault for fault in acts.faults if fault.strikes(attempt, draws)]
        return struck[0] if struck else None
