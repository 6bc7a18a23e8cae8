"""The fault matrix: every pair of a provider's fault and a network's fault comes to what the table says.

Along the way: no inference is asked for twice under one key, no answer is taken for another's, and no finished answer
is lost where there is a mailbox.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any

import pytest

from beacon.domain.answer import Answer
from beacon.lab.fleet import open_lab
from beacon.router.transports import agent as agent_transport
from beacon.runner import policy
from tests.integration.faults.expectation import Expectation
from tests.integration.faults.matrix import NETWORK_FAULTS, PROVIDER_FAULTS, TRANSPORTS, applies, rows
from tests.integration.faults.scene import Scene, Told, described, world

SEEDS = (1, 2)
LAB_SEED = 5
ANSWERS = ("none", "empty_text", "filtered", "retracted")
"""Faults with which the provider finishes an answer."""
LOSSES = {"vanished", "wrong_region"}
"""Faults of the mailbox itself."""


@pytest.fixture(scope="module")
def world_path(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("faults") / "world.yaml"
    path.write_text(world())
    return str(path)


@pytest.fixture(scope="module")
def lab(world_path):
    with open_lab(world_path, regions=("us",), seed=LAB_SEED) as lab:
        yield lab


@pytest.fixture(autouse=True)
def scaled_time(monkeypatch):
    monkeypatch.setattr(agent_transport, "FIRST_PATIENCE_S", 2.0)
    monkeypatch.setattr(policy, "FIRST_PAUSE_S", 0.05)


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_table_has_each_pair_once(transport):
    counted = Counter((row.provider_fault, row.network_fault) for row in rows(transport))
    provider_faults = [name for name in PROVIDER_FAULTS if applies(name, transport)]
    assert counted == {(provider, network): 1 for provider in provider_faults for network in NETWORK_FAULTS}


def test_in_the_table_an_outcome_is_unknown_only_where_no_results_are_kept():
    mailboxes = [row for transport in ("agent", "agent_behind") for row in rows(transport)]
    assert not [row.name for row in mailboxes if "outcome_unknown" in f"{row.first} {row.last}"]


def test_in_the_table_the_mailbox_keeps_every_answer_from_every_fault_of_the_network():
    lost = [row.name for row in rows("agent") if row.provider_fault in ANSWERS and "answer" not in row.first]
    assert not lost


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_row_of_the_matrix_holds(transport, lab, world_path, tmp_path):
    async with Scene.opened(lab, tmp_path) as scene:
        # Those that take longest go first.
        ordered = sorted(rows(transport), key=lambda row: (not row.ends_by_deadline, not row.cut_by_the_clock))
        told = await asyncio.gather(*(scene.run(row, seed) for seed in SEEDS for row in ordered))
    expectation = Expectation(world_path, "us", LAB_SEED, await lab.requests())
    wrong = [line for each in told for line in faults_of(each, expectation)]
    assert not wrong, "\n" + "\n".join(wrong)
    struck = {each.row.network_fault for each in told if each.struck}
    # A server that keeps its connections open leaves nothing for a slow close to hide.
    assert struck >= set(NETWORK_FAULTS) - {"none", "slow_close"}


def faults_of(told: Told, expectation: Expectation) -> list[str]:
    """What is wrong with what became of a row, a line each."""
    row, outcomes = told.row, told.outcomes
    found = [f"took {len(outcomes)} attempts"] if not 1 <= len(outcomes) <= 3 else []
    for name, wanted, outcome in (("first", row.first, outcomes[0]), ("last", row.last, outcomes[-1])):
        if described(outcome) != wanted:
            found.append(f"{name}: {described(outcome)}, not {wanted}: {getattr(outcome, 'message', '')}")
    for key, outcome in zip(told.keys, outcomes, strict=True):
        asked = expectation.times_asked(key)
        if asked > 1:
            found.append(f"{key} was asked {asked} times")
        if isinstance(outcome, Answer):
            found += expectation.faults_of_answer(key, outcome)
        else:
            found += faults_of_sentence(outcome)
            if row.transport == "agent" and row.provider_fault not in LOSSES and expectation.finished(key):
                found.append(f"{key} was answered, and the answer was lost")
    return [f"{row.name}, seed {told.seed}: {fault}" for fault in found]


def faults_of_sentence(failure: Any) -> list[str]:
    """Provider, stage and seconds."""
    said = failure.message
    if "us-a" in said and re.search(rf"\d+\.\d+ s into {failure.stage.value}: \w", said):
        return []
    return [f"does not say provider, stage and seconds: {said}"]
