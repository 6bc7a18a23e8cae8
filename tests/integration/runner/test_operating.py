"""What operators do to a running house: pauses, stragglers, schedules."""

from __future__ import annotations

import asyncio
import json

import pytest

from beacon.domain.failure import FailureKind
from beacon.domain.states import JobStatus
from beacon.errors import ConflictError, InputError, NotFoundError
from beacon.runner import schedule as schedule_module
from beacon.runner.admission import documents_of
from beacon.runner.pausing import Pausing
from beacon.runner.schedule import check_cron, fire_due, newest_tick, next_tick
from beacon.store import events, interventions, jobs, pauses, schedules
from tests.integration.runner.conftest import CLOCK, spec_of
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def prompt(_number, _body, _request):
    return answer()


class Switches:
    def __init__(self) -> None:
        self.paused: dict[str, str] = {}

    def pause(self, name: str, why: str) -> None:
        if name == "nowhere":
            raise InputError("unknown")
        self.paused[name] = why

    def resume(self, name: str) -> None:
        del self.paused[name]


async def test_a_pause_reaches_the_router_and_every_open_job_tells_of_it(bench):
    provider = Scripted(prompt)
    async with serving(provider):
        job_id = await bench.submit(fleet_of({"us": provider}))
    router = Switches()
    pausing = Pausing(bench.database, router)
    await bench.database.write(pauses.pause, "us", "asked to", 5.0)
    await bench.database.write(pauses.pause, "nowhere", "another fleet's", 5.0)
    await pausing.follow()
    await pausing.follow()
    assert router.paused == {"us": "asked to"}
    with pytest.raises(ConflictError, match="paused already"):
        await bench.database.write(pauses.pause, "us", "again", 6.0)
    await bench.database.write(pauses.resume, "us", 7.0)
    await pausing.follow()
    assert router.paused == {}
    with pytest.raises(NotFoundError, match="not paused"):
        await bench.database.write(pauses.resume, "us", 8.0)
    told = [event for event in await bench.database.read(events.after, job_id, 0) if event.kind == "operator"]
    assert [(event.data["what"], event.data["name"]) for event in told] == [
        ("paused", "us"), ("paused", "nowhere"), ("resumed", "us"),
    ]  # fmt: skip
    assert told[0].data["why"] == "asked to"


async def test_stragglers_end_with_a_reason_and_the_job_completes(bench):
    async def mostly(number, _body, _request):
        if number > 6:
            await asyncio.sleep(60)
        return answer()

    provider = Scripted(mostly)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        job_id = await bench.submit(fleet, questions=4)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(30):
                while (await bench.job(job_id)).counts["completed"] < 6:
                    await asyncio.sleep(0.02)
            kind = FailureKind.STRAGGLER.value
            assert await bench.database.write(interventions.request_stop, job_id, kind, CLOCK.wall(), "down at noon")
            await asyncio.wait_for(driving, 30)
    job = await bench.job(job_id)
    assert job.status is JobStatus.COMPLETED
    assert job.counts["completed"] == 6
    assert job.counts["cancelled"] == 2
    told = [event.data for event in await bench.database.read(events.after, job_id, 0)]
    assert [data["why"] for data in told if data.get("what") == "stop"] == ["down at noon"]


def test_ticks_of_a_cron_expression_in_utc():
    noon = 1_800_014_400.0  # 2027-01-15 12:00 UTC
    assert newest_tick("0 12 * * *", noon) == noon
    assert newest_tick("0 12 * * *", noon + 59) == noon
    assert newest_tick("0 12 * * *", noon - 1) == noon - 86_400
    assert next_tick("0 12 * * *", noon) == noon + 86_400
    with pytest.raises(InputError, match="not a cron expression"):
        check_cron("every day")


async def scheduled(bench, fleet, cron: str, created_at: float) -> None:
    spec_json, fleet_json, _ = documents_of(spec_of(fleet), fleet)
    await bench.database.write(schedules.add, "s1", "Daily", cron, (spec_json, fleet_json), created_at)


async def test_a_tick_makes_one_job_whoever_looks_at_the_same_moment(bench):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        await scheduled(bench, fleet, "* * * * *", CLOCK.wall() - 120)
        made = await asyncio.gather(*(fire_due(bench.database, fleet, CLOCK) for _ in range(6)))
        jobs_made = [job_id for ids in made for job_id in ids]
        ticks = await bench.database.read(schedules.history, "s1")
        # A minute may have turned meanwhile.
        assert len(jobs_made) == len(ticks) == len({tick.tick_at for tick in ticks}) <= 2
        assert {tick.job_id for tick in ticks} == set(jobs_made)
        assert (await bench.job(jobs_made[0])).name == "A job"


async def test_a_tick_that_nobody_was_there_for_is_noted_as_missed(bench, monkeypatch):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        monkeypatch.setattr(schedule_module, "LATE_S", -1.0)
        await scheduled(bench, fleet, "* * * * *", CLOCK.wall() - 120)
        assert await fire_due(bench.database, fleet, CLOCK) == []
    assert [tick.job_id for tick in await bench.database.read(schedules.history, "s1")][-1] is None
    assert await bench.database.read(jobs.unfinished) == []


async def test_a_schedule_for_real_providers_is_never_run_by_simulated_ones(bench):
    provider = Scripted(prompt)
    async with serving(provider):
        await scheduled(bench, fleet_of({"us": provider}), "* * * * *", CLOCK.wall() - 120)
        assert await fire_due(bench.database, fleet_of({"us": provider}, simulated=True), CLOCK) == []


async def test_a_schedule_that_was_removed_keeps_its_history(bench):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        await scheduled(bench, fleet, "* * * * *", CLOCK.wall() - 120)
        await fire_due(bench.database, fleet, CLOCK)
        await bench.database.write(schedules.remove, "s1", CLOCK.wall())
        assert await fire_due(bench.database, fleet, CLOCK) == []
    assert await bench.database.read(schedules.history, "s1")
    with pytest.raises(NotFoundError):
        await bench.database.write(schedules.remove, "s1", CLOCK.wall())


def test_the_command_line_of_schedules(tmp_path, capsys):
    from beacon.cli.main import build_app

    spec = {
        "schema": "beacon.job/v1", "name": "Daily", "questions": [{"id": "q", "text": "What?"}],
        "models": ["mistral-7b"], "regions": ["us"], "repeats": 1,
    }  # fmt: skip
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    database = ["--database", str(tmp_path / "beacon.db")]
    app = build_app(overview=False)
    (tmp_path / "fleet.yaml").write_text(
        "schema: beacon.fleet/v1\nproviders:\n"
        "  - {name: us-a, region: us, transport: openai, url: 'http://127.0.0.1:1/v1', models: [mistral-7b]}\n"
    )
    given = ["--cron", "0 6 * * *", "--fleet", str(tmp_path / "fleet.yaml"), *database]
    assert app(["schedule", "add", str(tmp_path / "spec.json"), *given], exit_on_error=False) == 0
    schedule_id = capsys.readouterr().out.strip()
    assert app(["schedule", "list", "--json", *database], exit_on_error=False) == 0
    assert json.loads(capsys.readouterr().out)[0]["id"] == schedule_id
    assert app(["schedule", "remove", schedule_id, *database], exit_on_error=False) == 0
