"""Faults end to end: a job through runner and database, where providers and network fail at random.

Every execution is recorded once with the very answer that was given under its attempt's key, and with a mailbox no
finished answer is asked for again.
"""

from __future__ import annotations

import json
from collections import Counter

import pytest

from beacon.domain.fleet import Fleet
from beacon.domain.states import JobStatus
from beacon.lab.fleet import open_lab
from beacon.lab.proxy import fault_proxy
from beacon.lab.toxics import Toxic
from beacon.router.transports import agent as agent_transport
from beacon.runner import policy
from beacon.store import executions
from tests.integration.agents import agent
from tests.integration.faults.expectation import Expectation

SEED = 9
MODELS = {
    "steady": {},
    "busy": {"faults": [{"kind": "error", "status": 429, "retry_after": "50ms", "first_attempts": 1}]},
    "failing": {"faults": [{"kind": "error", "status": 500, "rate": 0.4, "first_attempts": 2}]},
    "torn": {"faults": [{"kind": "truncated", "first_attempts": 1}]},
    "breaking": {"faults": [{"kind": "cut", "rate": 0.5, "first_attempts": 2}]},
    "silent": {"answers": {"empty": 0.5}},
}
NETWORK = [
    Toxic(kind="latency", seconds=0.0, jitter=0.02),
    Toxic(kind="duplicated", rate=0.3),
    Toxic(kind="cut", after_bytes=300, reset=True, rate=0.15),
    Toxic(kind="cut", after=0.1, rate=0.15),
    Toxic(kind="reset_before", rate=0.1),
    Toxic(kind="reset_after", rate=0.15),
]


@pytest.fixture
def lab(tmp_path):
    rules = [{"latency": "50ms"}, *({"when": {"models": [name]}, **acts} for name, acts in MODELS.items() if acts)]
    world = {"schema": "beacon.world/v1", "name": "faults", "models": {name: name for name in MODELS}, "rules": rules}
    (tmp_path / "world.yaml").write_text(json.dumps(world))
    with open_lab(str(tmp_path / "world.yaml"), regions=("us",), seed=SEED) as lab:
        yield lab


@pytest.mark.parametrize("transport", ["agent", "openai", "openai stream"])
async def test_every_execution_is_recorded_once_with_its_own_answer(transport, lab, bench, tmp_path, monkeypatch):
    monkeypatch.setattr(agent_transport, "FIRST_PATIENCE_S", 2.0)
    monkeypatch.setattr(policy, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(policy, "LONGEST_PAUSE_S", 0.2)
    url = f"{lab.url('us')}/v1"
    async with agent(url, tmp_path / "state.db", concurrency=16) as mailbox:
        target = f"{mailbox}/v1" if transport == "agent" else url
        async with fault_proxy(target, NETWORK, seed=3) as proxy:
            row = {"name": "us-a", "region": "us", "transport": transport.split()[0], "url": proxy.url}
            row |= {"models": list(MODELS), "concurrency": 16}
            if transport != "agent":
                row |= {"stream": transport == "openai stream", "region_header": "X-Region"}
            fleet = Fleet.model_validate({"providers": [row]})
            limits = {"max_attempts": 20, "execution_deadline": "150s"}
            job = await bench.run(fleet, questions=2, repeats=4, limits=limits)
        assert set(proxy.struck) == {toxic.kind for toxic in NETWORK}
    assert (job.status, job.done) == (JobStatus.COMPLETED, 48)
    expectation = Expectation(str(tmp_path / "world.yaml"), "us", SEED, await lab.requests())
    rows = await bench.database.read(executions.page, job.id)
    assert Counter(row["status"] for row in rows) == {"completed": 48}
    for row in rows:
        attempts = await bench.database.read(executions.attempts_of, row["id"])
        keys = [attempt["id"] for attempt in attempts]
        assert max(expectation.times_asked(key) for key in keys) == 1
        (answered,) = [attempt["id"] for attempt in attempts if attempt["status"] == "answered"]
        assert row["answer"] == expectation.text(answered)
        assert row["model_echoed"] == row["model"]
        if transport == "agent":
            assert [key for key in keys if expectation.finished(key)] == [answered]
