"""`plan`: what a job would ask, take and cost."""

from __future__ import annotations

import pytest

from beacon.domain.estimate import estimate
from beacon.domain.fleet import Fleet
from tests.integration.conftest import make_spec
from tests.integration.runner.scripted import Scripted, answer, serving

PRICED = {"input_per_mtok": 1.0, "output_per_mtok": 2.0}


def fleet(**fields) -> Fleet:
    """One provider a region for the models alpha and beta, four requests at once."""
    provider = {"transport": "openai", "url": "http://127.0.0.1:9/v1", "models": ["alpha", "beta"], "concurrency": 4}
    rows = [provider | {"name": f"{region}-a", "region": region} | fields for region in ("us", "eu")]
    return Fleet.model_validate({"providers": rows})


def test_what_is_unknown_stays_unknown():
    planned = estimate(make_spec(), fleet(), {("us-a", "alpha"): 3.0})
    assert planned.seconds is None
    assert planned.cost_usd is None
    assert {(c.region, c.model): c.answer_s for c in planned.cells}["us", "alpha"] == 3.0
    assert {c.answer_s for c in planned.cells if c.region == "eu"} == {None}


def test_time_is_the_work_of_the_busiest_provider_and_never_less_than_one_answer():
    paces = {("us-a", "alpha"): 2.0, ("us-a", "beta"): 6.0, ("eu-a", "alpha"): 1.0, ("eu-a", "beta"): 1.0}
    # 4 executions a cell: (4 x 2 s + 4 x 6 s) / 4 at once = 8 s in us.
    assert estimate(make_spec(), fleet(), paces).seconds == pytest.approx(8.0)
    assert estimate(make_spec(), fleet(concurrency=100), paces).seconds == 6.0


def test_cost_is_bounded_by_max_tokens_at_the_fleets_prices():
    planned = estimate(make_spec(sampling={"max_tokens": 1000}), fleet(cost=PRICED), {})
    (cell,) = {(c.input_tokens, c.output_tokens, c.cost_usd) for c in planned.cells}
    assert cell[1] == 4 * 1000
    assert cell[2] == pytest.approx(cell[0] / 1e6 + 2 * cell[1] / 1e6)
    assert planned.cost_usd == pytest.approx(4 * cell[2])


def test_recorded_answers_cost_nothing():
    replay = {"transport": "replay", "file": "answers.jsonl", "url": None, "cost": PRICED}
    assert estimate(make_spec(), fleet(**replay), {}).cost_usd == 0


async def test_a_plan_says_the_matrix_and_what_is_unknown_and_stores_nothing(ready):
    ready.database.unlink()
    ran = await ready("plan", "spec.yaml")
    assert ran.code == 0, ran.err
    assert "A job: 8 executions" in ran.out
    assert "2 questions × 1 model × 2 regions × 1 persona × 1 language × 2 repeats; 2 shards" in ran.out
    assert "Time: unknown; if an answer takes 10 s, about 10 s" in ran.out
    assert "Cost: unknown" in ran.out
    assert "no prices for some providers in eu, us" in ran.out
    assert "nothing can be said over questions, which needs 6" in ran.out
    assert not ready.database.exists()


async def test_a_plan_learns_from_earlier_jobs(ready):
    async def friendly(number, body, request):
        return answer()

    provider = Scripted(friendly)
    async with serving(provider):
        ready.write_fleet(provider, provider, cost=PRICED)
        assert (await ready("run", "spec.yaml", "--json")).code == 0
        asked = len(provider.bodies)
        told = (await ready("plan", "spec.yaml", "--json")).document
    assert len(provider.bodies) == asked
    assert told["total"] == 8
    assert told["time_s"] > 0
    assert told["cost_usd_at_most"] > 0
    assert {cell["executions"] for cell in told["cells"]} == {4}
    assert told["detectable"]["comparisons"] == 1
    assert any("the 8 earlier ones" in assumption for assumption in told["assumptions"])


async def test_a_plan_for_what_the_fleet_does_not_serve_is_refused(ready):
    ready.write_spec(models=["alhpa"])
    ran = await ready("plan", "spec.yaml", "--json")
    assert (ran.code, ran.out) == (2, "")
    assert "did you mean 'alpha'?" in ran.err


async def test_a_plan_prices_each_keep_warm_policy_beside_what_it_saves(ready):
    nobody = Scripted(lambda *_: pytest.fail("nothing may be sent"))
    nobody.url = "http://127.0.0.1:9/v1"
    ready.write_fleet(nobody, nobody, cold_start="360s", keep_warm="prewarm", cost={"warm_per_hour": 0.863})
    ran = await ready("plan", "spec.yaml", "--runs-per-month", "101", "--window-hours", "1")
    assert ran.code == 0, ran.err
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["window", "101", "$87.16", "360", "s"] in rows
    assert ["prewarm", "(now)", "0", "$0.00", "0", "s"] in rows
    assert "101 jobs like this one a month (--runs-per-month)" in ran.out
    told = (await ready("plan", "spec.yaml", "--json")).document["keep_warm"]
    assert told["runs_a_month"] == 30
    assert [p["provider"] for p in told["providers"]] == ["us-a", "eu-a"]
    assert [c["usd"] for c in told["providers"][0]["policies"]] == [0, 0, pytest.approx(25.89), pytest.approx(629.99)]


async def test_a_plan_without_a_price_says_so_and_one_without_cold_starts_says_nothing(ready):
    assert "Cold starts" not in (await ready("plan", "spec.yaml")).out
    nobody = Scripted(lambda *_: pytest.fail("nothing may be sent"))
    nobody.url = "http://127.0.0.1:9/v1"
    ready.write_fleet(nobody, nobody, cold_start="360s")
    ran = await ready("plan", "spec.yaml")
    rows = [line.split() for line in ran.out.splitlines()]
    assert ["always", "730", "unknown", "360", "s"] in rows
    assert "the fleet gives no cost.warm_per_hour for us-a, eu-a" in ran.out
    told = (await ready("plan", "spec.yaml", "--json")).document["keep_warm"]
    assert {c["usd"] for p in told["providers"] for c in p["policies"]} == {None}
