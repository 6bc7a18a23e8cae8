"""What a job will ask, take and cost, as far as it can be known before anything is sent.

What is not known is None and never 0; a sum with an unknown part is unknown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

from beacon.domain.fleet import Fleet, Provider
from beacon.domain.plan import SHARD_SIZE
from beacon.domain.spec import JobSpec

BYTES_PER_TOKEN = 3
"""Of UTF-8. English takes about four bytes a token, Chinese about three: rather too many tokens than too few."""
TOKENS_PER_MESSAGE = 8
"""What a chat template adds around a message."""


@dataclass(frozen=True, slots=True)
class CellEstimate:
    """All executions of one (region, model).

    `at_once` is the sum of the providers' concurrency; `answer_s` the mean of earlier answers; `input_tokens`
    are estimated, `output_tokens` the most that `max_tokens` lets through; `cost_usd` is at the dearest
    provider of the cell.
    """

    region: str
    model: str
    executions: int
    providers: tuple[str, ...]
    at_once: int
    answer_s: float | None
    input_tokens: int
    output_tokens: int
    cost_usd: float | None


@dataclass(frozen=True, slots=True)
class Estimate:
    """`seconds` at the mean of earlier answers; `rounds` is how many seconds the job takes for each second that
    an answer takes; `cold_start_s` comes on top where a provider has to start. `busy_s` is how long each provider
    is busy with its share, by name."""

    cells: tuple[CellEstimate, ...]
    shards: int
    rounds: float
    seconds: float | None
    cold_start_s: float
    cost_usd: float | None
    busy_s: Mapping[str, float | None]


def estimate(spec: JobSpec, fleet: Fleet, pace_s: Mapping[tuple[str, str], float]) -> Estimate:
    """`pace_s` holds the mean duration of earlier answers, in seconds, by (provider, model).

    Assumes that the fleet serves the spec, that providers take as many requests at once as they are
    configured for, that a cell's providers share its work by their concurrency, and that nothing fails.
    """
    tokens = {region: _input_tokens(spec, region) for region in spec.regions}
    cells = tuple(
        _cell(spec, fleet, region, model, tokens[region], pace_s) for region in spec.regions for model in spec.models
    )
    used = {p.name: p for region in spec.regions for m in spec.models for p in fleet.serving(m, region)}
    busy_s = {name: _seconds(provider, spec, fleet, pace_s) for name, provider in used.items()}
    answering = list(busy_s.values())
    per_second = [_seconds(provider, spec, fleet, None) for provider in used.values()]
    per_region = ceil(spec.total / len(spec.regions) / SHARD_SIZE)
    costs = [cell.cost_usd for cell in cells]
    return Estimate(
        cells=cells,
        shards=per_region * len(spec.regions),
        rounds=max(s for s in per_second if s is not None),
        seconds=None if None in answering else max(s for s in answering if s is not None),
        cold_start_s=max(provider.cold_start for provider in used.values()),
        cost_usd=None if None in costs else sum(c for c in costs if c is not None),
        busy_s=busy_s,
    )


def _cell(
    spec: JobSpec, fleet: Fleet, region: str, model: str, input_tokens: int, pace_s: Mapping[tuple[str, str], float]
) -> CellEstimate:
    providers = fleet.serving(model, region)
    executions = spec.total // (len(spec.models) * len(spec.regions))
    output_tokens = executions * spec.sampling.max_tokens
    known = [pace_s[p.name, model] for p in providers if (p.name, model) in pace_s]
    costs = [_cost(provider, input_tokens, output_tokens) for provider in providers]
    return CellEstimate(
        region=region,
        model=model,
        executions=executions,
        providers=tuple(provider.name for provider in providers),
        at_once=sum(provider.concurrency for provider in providers),
        answer_s=sum(known) / len(known) if len(known) == len(providers) else None,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        cost_usd=None if None in costs else max(cost for cost in costs if cost is not None),
    )


def _cost(provider: Provider, input_tokens: int, output_tokens: int) -> float | None:
    """Recorded answers cost nothing, whatever the fleet says of prices."""
    return 0.0 if provider.replayed else provider.cost.of(input_tokens, output_tokens)


def _input_tokens(spec: JobSpec, region: str) -> int:
    """Of all prompts that one model gets in one region."""
    total = 0
    for language in spec.languages_of(region):
        for persona in spec.personas:
            system = spec.system_prompt(persona, region, language)
            preamble = 0 if system is None else _tokens(system)
            total += sum(preamble + _tokens(question.texts[language]) for question in spec.questions)
    return total * spec.repeats


def _tokens(text: str) -> int:
    return ceil(len(text.encode()) / BYTES_PER_TOKEN) + TOKENS_PER_MESSAGE


def _seconds(
    provider: Provider, spec: JobSpec, fleet: Fleet, pace_s: Mapping[tuple[str, str], float] | None
) -> float | None:
    """How long the provider is busy with its share; without paces, for answers that take a second each.

    Never less than one answer takes, however many are asked at once.
    """
    executions = spec.total // (len(spec.models) * len(spec.regions))
    work = longest = 0.0
    for model in provider.models:
        if model not in spec.models:
            continue
        answer_s = 1.0 if pace_s is None else pace_s.get((provider.name, model))
        if answer_s is None:
            return None
        share = provider.concurrency / sum(p.concurrency for p in fleet.serving(model, provider.region))
        work += answer_s * executions * share
        longest = max(longest, answer_s)
    return max(longest, work / provider.concurrency)
