"""What keeping a provider warm costs a month, and what it saves a job.

Hours are those beyond the job's own use: while it starts and while it answers a provider is paid for under every
policy alike. What is not known is None and never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from beacon.domain.fleet import Fleet, KeepWarm, Provider
from beacon.domain.spec import JobSpec

HOURS_A_MONTH = 730.0
"""365 days of 24 hours, divided by 12."""
RUNS_A_MONTH = 30.0
"""Jobs like this one, where nobody says how many: one a day."""
POLICIES: tuple[KeepWarm, ...] = get_args(KeepWarm)
STAYS_WARM: frozenset[KeepWarm] = frozenset({"window", "always"})
"""Under these a job finds its providers warm; `prewarm` starts them with the job, as the first request would."""


@dataclass(frozen=True, slots=True)
class PolicyCost:
    """`warm_hours` and `usd` are a month's; `saved_s` is how much sooner the provider's first answers come than
    under `never`."""

    policy: KeepWarm
    warm_hours: float
    usd: float | None
    saved_s: float


@dataclass(frozen=True, slots=True)
class ProviderCost:
    """A provider that can be cold; `configured` is its policy in the fleet."""

    provider: str
    region: str
    cold_start_s: float
    usd_per_hour: float | None
    configured: KeepWarm
    window_hours: float
    policies: tuple[PolicyCost, ...]


def keep_warm_costs(
    spec: JobSpec, fleet: Fleet, *, runs_a_month: float, window_hours: float | None
) -> tuple[ProviderCost, ...]:
    """Every policy of each provider that the job would use and that has a `cold_start`, in the order of the fleet.

    `window_hours` is how long a provider stays warm after a job; None takes each one's own `warm_window`.
    """
    return tuple(_of(p, runs_a_month, window_hours) for p in cold_providers(spec, fleet))


def cold_providers(spec: JobSpec, fleet: Fleet) -> Sequence[Provider]:
    wanted = set(spec.models)
    return [p for p in fleet.providers if p.cold_start and p.region in spec.regions and wanted & p.models.keys()]


def _of(provider: Provider, runs_a_month: float, window_hours: float | None) -> ProviderCost:
    hours = provider.warm_window / 3600 if window_hours is None else window_hours
    warm: dict[KeepWarm, float] = {
        "never": 0.0,
        "prewarm": 0.0,
        "window": min(HOURS_A_MONTH, runs_a_month * hours),
        "always": HOURS_A_MONTH,
    }
    price = provider.cost.warm_per_hour
    return ProviderCost(
        provider=provider.name,
        region=provider.region,
        cold_start_s=provider.cold_start,
        usd_per_hour=price,
        configured=provider.keep_warm,
        window_hours=hours,
        policies=tuple(
            PolicyCost(
                policy=policy,
                warm_hours=warm[policy],
                usd=None if price is None else price * warm[policy],
                saved_s=provider.cold_start if policy in STAYS_WARM else 0.0,
            )
            for policy in POLICIES
        ),
    )


def job_saves_s(fleet: Fleet, busy_s: Mapping[str, float | None]) -> float | None:
    """How many seconds sooner the whole job ends if all of its providers are warm; None where it is not known.

    `busy_s` is how long each provider is busy with its share. A job ends with the last of them, so a start that
    is over before another region has done its work saves nothing.
    """
    used = [p for p in fleet.providers if p.name in busy_s]
    cold = warm = 0.0
    for provider in used:
        busy = busy_s[provider.name]
        if busy is None:
            return None
        cold, warm = max(cold, provider.cold_start + busy), max(warm, busy)
    return cold - warm
