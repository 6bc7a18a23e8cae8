"""The fault matrix of result redirects: whatever a network does to a chain of 303s, a key has one run, and what the
run answered is not lost once the first redirect has named it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from beacon.domain.answer import Answer, Outcome
from beacon.domain.clock import SystemClock
from beacon.domain.deadline import Deadline
from beacon.domain.spec import Limits
from beacon.domain.states import ExecutionStatus
from beacon.lab.modal_like import Journey, ModalLike, serving
from beacon.lab.proxy import fault_proxy
from beacon.runner import policy
from tests.integration.faults.matrix import NETWORK_FAULTS
from tests.integration.faults.scene import described
from tests.integration.router.conftest import MODEL, inference, router_of

TABLE = yaml.safe_load((Path(__file__).parent / "modal.yaml").read_text("utf-8"))
JOURNEYS: dict[str, dict[str, Any]] = TABLE["journeys"]
LEG_S = 0.8
LIMITS = Limits(max_attempts=2, on_unknown="retry")
SHORT_S, LONG_S = 8.0, 60.0
ELSEWHERE = "http://127.0.0.1:9"
CLOCK = SystemClock()


@dataclass(frozen=True)
class Row:
    journey: str
    network_fault: str
    first: str
    last: str


def rows(journey: str) -> list[Row]:
    return [
        Row(journey, network, line["first"], line.get("last", line["first"]))
        for line in TABLE["expected"][journey]
        for network in line["network"]
    ]


@dataclass
class Told:
    row: Row
    modal: ModalLike
    outcomes: list[Outcome]


async def attempted(row: Row) -> Told:
    """Attempts as the runner's policy makes them, over a proxy with the network's fault."""
    fields = dict(JOURNEYS[row.journey])
    location = (lambda path: ELSEWHERE + path) if fields.pop("elsewhere", False) else str
    modal = ModalLike(Journey(**fields, location=location), leg_s=LEG_S, region="us")
    deadline = Deadline.after(SHORT_S if "expired@" in row.first else LONG_S, CLOCK)
    outcomes: list[Outcome] = []
    counted = 0
    async with serving(modal), fault_proxy(modal.url) as proxy:
        proxy.toxics = NETWORK_FAULTS[row.network_fault]
        provider = {"name": "us-a", "region": "us", "transport": "modal", "url": proxy.url, "models": [MODEL]}
        while True:
            number = len(outcomes) + 1
            # A router each: which connection would be used again, and how old it is, would be a race.
            async with router_of(provider | {"stream": False, "region_header": "X-Region"}) as router:
                placement = await router.place(MODEL, "us")
                outcome = await placement.send(inference(key=f"att_{number}", attempt=number), deadline)
                placement.release()
            outcomes.append(outcome)
            counted += isinstance(outcome, Answer) or outcome.counts
            ended = policy.conclude(
                outcome, attempts=number, counted=counted, left_s=deadline.left_s(), limits=LIMITS, jitter=0.5
            )
            if ended.status is not ExecutionStatus.RETRYING:
                return Told(row, modal, outcomes)
            await asyncio.sleep(ended.pause_s)


@pytest.fixture(autouse=True)
def scaled_time(monkeypatch):
    monkeypatch.setattr(policy, "FIRST_PAUSE_S", 0.05)


def test_the_table_has_each_pair_once():
    pairs = [(row.journey, row.network_fault) for journey in JOURNEYS for row in rows(journey)]
    assert sorted(pairs) == sorted((journey, network) for journey in JOURNEYS for network in NETWORK_FAULTS)


async def test_every_row_of_redirects_holds():
    told = await asyncio.gather(*(attempted(row) for journey in JOURNEYS for row in rows(journey)))
    wrong = [f"{each.row.journey}/{each.row.network_fault}: {fault}" for each in told for fault in faults_of(each)]
    assert not wrong, "\n" + "\n".join(wrong)


def faults_of(told: Told) -> list[str]:
    row, outcomes, modal = told.row, told.outcomes, told.modal
    found = []
    for name, wanted, outcome in (("first", row.first, outcomes[0]), ("last", row.last, outcomes[-1])):
        if described(outcome) != wanted:
            found.append(f"{name}: {described(outcome)}, not {wanted}: {getattr(outcome, 'message', '')}")
    found += [f"{key} was run {count} times" for key, count in modal.runs.items() if count > 1]
    for number, outcome in enumerate(outcomes, start=1):
        key = f"att_{number}"
        if isinstance(outcome, Answer):
            if outcome.text != modal.answer_to(key):
                found.append(f"{key} was given the answer of another run")
        elif "us-a" not in outcome.message:
            found.append(f"the sentence does not name the provider: {outcome.message}")
    return found
