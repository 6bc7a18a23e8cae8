"""Determinism, and the record of what was really sent."""

from __future__ import annotations

import asyncio

import pytest

from beacon.lab.fleet import start_lab

LLAMA = "meta-llama/Llama-3.2-1B-Instruct"
QWEN = "Qwen/Qwen2.5-1.5B-Instruct"


async def row_of_answers(lab, ask, region="us", model=LLAMA, count=4):
    return [(await ask(f"{lab.url(region)}/v1", model)).text for _ in range(count)]


async def test_the_same_seed_gives_the_same_answers_and_another_seed_others(ask):
    rows = []
    for seed in (7, 7, 8):
        async with start_lab("instant", regions=("us", "eu"), seed=seed) as lab:
            rows.append(await row_of_answers(lab, ask))
            if seed == 8:
                rows.append(await row_of_answers(lab, ask, region="eu"))

    assert rows[0] == rows[1]
    assert len(set(rows[0])) == 4
    assert rows[2] != rows[0]
    assert rows[3] != rows[2]


@pytest.fixture
async def lab(instant):
    await instant.reset()
    return instant


async def test_a_reset_begins_the_row_of_answers_again(lab, ask):
    before = await row_of_answers(lab, ask)
    await lab.reset()

    assert await row_of_answers(lab, ask) == before


async def test_the_same_key_gets_the_same_answer_and_is_counted(lab, ask):
    url = f"{lab.url('us')}/v1"
    answers = [(await ask(url, LLAMA, key=key)).text for key in ("a", "b", "a", "c")]

    assert answers[0] == answers[2]
    assert len(set(answers)) == 3
    assert await lab.key_counts() == {"a": 2, "b": 1, "c": 1}


async def test_every_request_is_recorded_with_its_cell_and_headers(lab, ask):
    await ask(f"{lab.url('us')}/v1", LLAMA, key="k1", attempt=2, headers={"X-Beacon-Deadline-Ms": "1500"})
    await ask(f"{lab.url('eu')}/v1", QWEN, stream=True)
    rows = {row["region"]: row for row in await lab.requests()}

    us, eu = rows["us"], rows["eu"]
    assert (us["model"], us["key"], us["attempt"], us["deadline_ms"]) == ("llama3.2-1b", "k1", 2, 1500)
    assert (us["status"], us["outcome"], us["stream"], us["n"]) == (200, "substantive", False, 1)
    assert (eu["model"], eu["key"], eu["attempt"], eu["deadline_ms"]) == ("qwen2.5-1.5b", None, 1, None)
    assert eu["stream"] is True


async def test_headers_that_make_no_sense_are_taken_as_absent(lab, ask):
    await ask(f"{lab.url('us')}/v1", LLAMA, headers={"X-Beacon-Attempt": "many", "X-Beacon-Deadline-Ms": "-1"})
    row = (await lab.requests())[0]

    assert (row["attempt"], row["deadline_ms"]) == (1, None)


async def test_the_scripted_latency_of_each_request_is_told_and_kept(ask, world_file):
    world = world_file({"m": {"latency": {"uniform": ["20ms", "60ms"]}, "stream": {"tokens_per_second": 2000}}})
    async with start_lab(world, regions=("us",)) as lab:
        took = []
        for stream in (False, True):
            started = asyncio.get_running_loop().time()
            reply = await ask(f"{lab.url('us')}/v1", "m", key=str(stream), stream=stream)
            took.append((asyncio.get_running_loop().time() - started) * 1000)
            assert len(reply.text) > 100
        rows = await lab.requests()
        stats = (await lab.stats())[0]

    for row, real in zip(rows, took, strict=True):
        assert row["latency_ms"] > 50
        assert real >= row["latency_ms"] - 1
    assert stats["models"]["m"]["latency_ms_sum"] == pytest.approx(sum(row["latency_ms"] for row in rows))
    assert stats["models"]["m"]["latency_ms_max"] == max(row["latency_ms"] for row in rows)
    assert stats["by_outcome"] == {"substantive": 2}


async def test_without_a_record_there_are_totals_only(ask):
    async with start_lab("instant", regions=("us",), record=False) as lab:
        await ask(f"{lab.url('us')}/v1", LLAMA, key="k")
        assert await lab.requests() == []
        assert await lab.key_counts() == {}
        assert (await lab.stats())[0]["requests"] == 1


async def test_replicas_of_a_region_give_answers_of_their_own(ask):
    async with start_lab("instant", regions=("us",), replicas=2) as lab:
        providers = lab.fleet.serving("llama3.2-1b", "us")
        answers = {(await ask(provider.url, LLAMA)).text for provider in providers}

    assert [provider.name for provider in providers] == ["lab-us-1", "lab-us-2"]
    assert len(answers) == 2
