"""What keeping providers warm costs a month, and what it saves."""

from __future__ import annotations

from typing import Any

import pytest

from beacon.domain.fleet import Fleet
from beacon.domain.keep_warm import ProviderCost, job_saves_s, keep_warm_costs
from beacon.domain.spec import JobSpec

SPEC = JobSpec.model_validate(
    {
        "schema": "beacon.job/v1",
        "name": "A job",
        "questions": [{"id": "q", "text": "Question?"}],
        "models": ["alpha"],
        "regions": ["us", "eu"],
        "seed": 1,
    }
)


def fleet(**apart: dict[str, Any]) -> Fleet:
    """One provider for each name, in the region that the name begins with."""
    common = {"transport": "openai", "url": "http://127.0.0.1:9/v1", "models": ["alpha"]}
    rows = [{**common, "name": name, "region": name[:2], **fields} for name, fields in apart.items()]
    return Fleet.model_validate({"providers": rows})


def costs(served: Fleet, runs: float = 30, window: float | None = None) -> tuple[ProviderCost, ...]:
    return keep_warm_costs(SPEC, served, runs_a_month=runs, window_hours=window)


def test_the_tracker_s_figure() -> None:
    (told,) = costs(fleet(us={"cold_start": "360s", "cost": {"warm_per_hour": 0.863}}), runs=101, window=1)
    by_policy = {cost.policy: cost for cost in told.policies}
    assert by_policy["window"].warm_hours == 101
    assert round(by_policy["window"].usd or 0) == 87
    assert by_policy["always"].usd == pytest.approx(730 * 0.863)
    assert [cost.usd for cost in told.policies][:2] == [0, 0]
    assert [cost.saved_s for cost in told.policies] == [0, 0, 360, 360]


def test_an_unknown_price_is_unknown_under_every_policy() -> None:
    (told,) = costs(fleet(us={"cold_start": "60s"}))
    assert {cost.usd for cost in told.policies} == {None}
    (free,) = costs(fleet(us={"cold_start": "60s", "cost": {"warm_per_hour": 0}}))
    assert {cost.usd for cost in free.policies} == {0}


def test_only_what_the_job_uses_and_what_can_be_cold_is_told() -> None:
    other = {"cold_start": "60s", "models": ["beta"]}
    served = fleet(us={}, eu={"cold_start": "60s"}, eu2=other, apac={"cold_start": "60s", "region": "apac"})
    assert [told.provider for told in costs(served)] == ["eu"]


def test_the_window_is_the_provider_s_own_and_no_longer_than_the_month() -> None:
    served = fleet(us={"cold_start": "60s", "warm_window": "30m"})
    assert costs(served, runs=10)[0].policies[2].warm_hours == 5
    assert costs(served, runs=100_000)[0].policies[2].warm_hours == 730


def test_a_start_that_ends_before_another_region_does_saves_the_job_nothing() -> None:
    served = fleet(us={}, eu={"cold_start": "60s"})
    assert job_saves_s(served, {"us": 100.0, "eu": 20.0}) == 0
    assert job_saves_s(served, {"us": 50.0, "eu": 20.0}) == 30
    assert job_saves_s(served, {"us": 10.0, "eu": 20.0}) == 60
    assert job_saves_s(served, {"us": 10.0, "eu": None}) is None
