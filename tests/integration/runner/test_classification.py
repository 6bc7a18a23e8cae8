"""Answers are classified while their job runs, each by one of the processes that drive it."""

from __future__ import annotations

import asyncio

from beacon.runner.classification import BATCH, classify_until
from beacon.store import executions, labelling, leases
from tests.integration.runner.conftest import CLOCK
from tests.integration.web.scene import Scene, make_spec


class CountingAnalyst:
    """Calls every answer substantive."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def start(self) -> None: ...

    async def ask(self, task: str, texts: list) -> list:
        assert task == "classify"
        self.asked += [text[1] for text in texts]
        return [("substantive", 1.0, "a rule", "") for _ in texts]


async def hand_over(database, job_id: str, number: int, owner: str, lease_s: float = 60.0) -> None:
    """The shard is another's from now on."""
    now = CLOCK.wall()
    everybody = await database.read(leases.owners_of, job_id)
    await database.write(leases.take_this_shard, job_id, number, owner, now, now + lease_s, list(everybody))


async def labelled(database, job_id: str) -> int:
    return sum(row["label"] is not None for row in await database.read(executions.page, job_id))


async def test_those_who_drive_a_job_classify_each_answer_once(database):
    spec = make_spec(questions=3)
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    # Both shards stay unfinished, so that both are driven.
    for work in scene.works[1:-1]:
        await scene.answer([work], f"answer {work.id}")
    await hand_over(database, scene.job_id, 0, "h|1|1|1")
    await hand_over(database, scene.job_id, 1, "h|2|2|2")
    analysts, over = {"h|1|1|1": CountingAnalyst(), "h|2|2|2": CountingAnalyst()}, asyncio.Event()
    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        for owner, analyst in analysts.items():
            group.create_task(classify_until(over, database, scene.job_id, spec, analyst, CLOCK, owner))
        while await labelled(database, scene.job_id) < len(scene.works) - 2:
            await asyncio.sleep(0.02)
        over.set()
    asked = [text for analyst in analysts.values() for text in analyst.asked]
    assert len(asked) == len(set(asked)) == len(scene.works) - 2
    assert all(analyst.asked for analyst in analysts.values())


async def test_the_part_of_a_driver_that_died_falls_to_the_others(database):
    spec = make_spec()
    scene = await Scene.begin(database, spec)
    await scene.start(scene.works)
    await scene.answer(scene.works[1:-1])
    await hand_over(database, scene.job_id, 0, "h|1|1|1")
    await hand_over(database, scene.job_id, 1, "h|2|2|2", lease_s=-1.0)
    given = (scene.job_id, "h|1|1|1", CLOCK.wall(), BATCH)
    found = await database.read(labelling.unlabelled_part, *given)
    assert {answer.execution_id for answer in found} == {work.id for work in scene.works[1:-1]}
    assert await database.read(labelling.unlabelled_part, scene.job_id, "h|2|2|2", CLOCK.wall(), BATCH) == []
