"""What operators do to a running house: pauses, stragglers, schedules."""

from __future__ import annotations

import asyncio
import json

import pytest

from beacon.domain.failure import FailureKind
from beacon.domain.states import JobStatus
from beacon.errors import ConflictError, DatabaseError, InputError, NotFoundError
from beacon.runner import schedule as schedule_module
from beacon.runner.admission import admit, documents_of, submit
from beacon.runner.pausing import Pausing
from beacon.runner.schedule import check_cron, fire_due, newest_tick, next_tick
from beacon.store import events, interventions, jobs, limits, pauses, schedules
from beacon.store.database import open_database
from tests.integration.runner.conftest import CLOCK, spec_of
from tests.integration.runner.scripted import Scripted, answer, fleet_of, serving


async def prompt(_number, _body, _request):
    return answer()


class Switches:
    def __init__(self) -> None:
        self.paused: dict[str, str] = {}
        self.limited: dict[str, int] = {}

    def pause(self, name: str, why: str) -> None:
        if name == "nowhere":
            raise InputError("unknown")
        self.paused[name] = why

    def resume(self, name: str) -> None:
        del self.paused[name]

    def limit(self, name: str, at_most: int, why: str) -> None:
        self.limited[name] = at_most

    def unlimit(self, name: str) -> None:
        del self.limited[name]


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


async def test_a_limit_reaches_the_router_is_replaced_and_lifted_and_every_open_job_tells_of_it(bench):
    provider = Scripted(prompt)
    async with serving(provider):
        job_id = await bench.submit(fleet_of({"us": provider}))
    router = Switches()
    pausing = Pausing(bench.database, router)
    for at_most in (4, 2):
        await bench.database.write(limits.put, "us", at_most, "others need it", 5.0)
        await pausing.follow()
        assert router.limited == {"us": at_most}
    await bench.database.write(limits.lift, "us", 7.0)
    await pausing.follow()
    assert router.limited == {}
    with pytest.raises(NotFoundError, match="not limited"):
        await bench.database.write(limits.lift, "us", 8.0)
    with pytest.raises(InputError, match="lets nothing through"):
        await bench.database.write(limits.put, "us", 0, "none", 8.0)
    told = [event.data for event in await bench.database.read(events.after, job_id, 0) if event.kind == "operator"]
    assert [(data["what"], data.get("at_most")) for data in told] == [
        ("limited", 4),
        ("limited", 2),
        ("unlimited", None),
    ]
    assert told[0]["why"] == "others need it"


async def test_a_limit_holds_back_what_a_running_job_sends_and_lifting_it_lets_it_go(bench):
    gate = asyncio.Event()

    async def held(_number, _body, _request):
        await gate.wait()
        return answer()

    provider = Scripted(held)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        await bench.database.write(limits.put, "us", 2, "others need it", CLOCK.wall())
        job_id = await bench.submit(fleet, questions=4)
        async with bench.runner(fleet) as runner:
            driving = asyncio.create_task(runner.drive(job_id))
            async with asyncio.timeout(60):
                while provider.in_flight < 2:
                    await asyncio.sleep(0.02)
            snapshot = runner.router.snapshot()[0]
            assert (snapshot.in_flight, snapshot.limit, snapshot.ceiling) == (2, 2, 4)
            assert provider.most_in_flight == 2
            await bench.database.write(limits.lift, "us", CLOCK.wall())
            async with asyncio.timeout(60):
                while provider.in_flight < 4:
                    await asyncio.sleep(0.02)
            gate.set()
            await asyncio.wait_for(driving, 60)
    assert (await bench.job(job_id)).counts["completed"] == 8
    assert provider.most_in_flight == 4


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


async def test_each_tick_has_a_seed_of_its_own_unless_the_spec_names_one(bench, monkeypatch):
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        spec_json, fleet_json, _ = documents_of(spec_of(fleet), fleet)
        for name, pins in (("free", False), ("pinned", True)):
            row = (name, name, "* * * * *", (spec_json, fleet_json), CLOCK.wall() - 600)
            await bench.database.write(schedules.add, *row, pins=pins)
        seeds: dict[str, list[int]] = {"free": [], "pinned": []}
        for schedule in await bench.database.read(schedules.active):
            for tick in (60.0, 120.0):
                job = (spec := schedule.spec_at(tick)), documents_of(spec, fleet)
                made = f"{schedule.id}-{tick:.0f}"
                assert await bench.database.write(schedules.fire, schedule.id, tick, made, job, CLOCK.wall())
                seeds[schedule.id].append((await bench.database.read(jobs.spec_of, made)).seed)
    assert seeds["pinned"] == [7, 7]
    assert seeds["free"] == [schedules.seed_at("free", 60.0), schedules.seed_at("free", 120.0)]
    assert len({*seeds["free"], 7}) == 3


async def test_a_server_whose_database_fails_at_a_tick_says_so_and_goes_on(bench, monkeypatch):
    provider, tries, said = Scripted(prompt), [], []

    async def fails_at_first(*_given):
        tries.append(None)
        if len(tries) == 1:
            raise DatabaseError("the database is away", where="here", todo="wait")

    monkeypatch.setattr("beacon.runner.runner.fire_due", fails_at_first)
    monkeypatch.setattr("beacon.runner.runner.SCHEDULES_S", 0.05)
    monkeypatch.setattr("beacon.runner.runner.IDLE_S", 0.02)
    monkeypatch.setattr("beacon.runner.runner.log.error", lambda what, **more: said.append((what, more)), raising=False)
    async with serving(provider), bench.runner(fleet_of({"us": provider})) as runner:
        working = asyncio.create_task(runner.serve())
        async with asyncio.timeout(20):
            while len(tries) < 3:
                await asyncio.sleep(0.01)
        runner.stop()
        await working
    assert [more["why"] for _, more in said] == ["the database is away"]


class Skewed:
    """A clock that is wrong by so many seconds."""

    def __init__(self, by_s: float) -> None:
        self._by_s = by_s

    def wall(self) -> float:
        return CLOCK.wall() + self._by_s

    def monotonic(self) -> float:
        return CLOCK.monotonic()


@pytest.mark.parametrize("by_s", [3600.0, -3600.0])
async def test_a_jobs_deadline_goes_by_the_databases_clock(bench, kind_of_database, by_s):
    if kind_of_database == "sqlite":
        pytest.skip("one host's database is that host's clock")

    async def never(_number, _body, _request):
        await asyncio.sleep(60)

    provider = Scripted(never)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        job_id = await bench.submit(fleet, limits={"job_deadline": "2s"})
        await admit(bench.database, job_id, CLOCK)
        # Begun by a host whose clock is right, driven by one whose clock is not.
        await bench.database.write(jobs.begin, job_id, CLOCK.wall())
        began = asyncio.get_running_loop().time()
        async with bench.runner(fleet) as runner:
            runner.clock = Skewed(by_s)
            await asyncio.wait_for(runner.drive(job_id), 30)
        took = asyncio.get_running_loop().time() - began
    job = await bench.job(job_id)
    assert job.stop_kind == FailureKind.JOB_DEADLINE
    assert took >= 1.9


async def test_a_clock_that_is_wrong_makes_no_tick_come_early(bench, kind_of_database):
    if kind_of_database == "sqlite":
        pytest.skip("one host's database is that host's clock")
    provider = Scripted(prompt)
    async with serving(provider):
        fleet = fleet_of({"us": provider})
        await scheduled(bench, fleet, "0 0 1 1 *", CLOCK.wall())
        assert await fire_due(bench.database, fleet, Skewed(400 * 86_400.0)) == []


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
    tick = next_tick("0 6 * * *", CLOCK.wall())

    async def run_one_and_miss_one() -> None:
        opened = await open_database(f"sqlite:///{tmp_path / 'beacon.db'}")
        known = (await opened.read(schedules.active))[0]
        assert not known.pins
        job = known.spec, documents_of(known.spec, known.fleet)
        await opened.write(schedules.fire, schedule_id, tick - 86_400, None, job, CLOCK.wall())
        await opened.write(schedules.fire, schedule_id, tick, "abcd-efgh-jkmn", job, CLOCK.wall())
        await opened.close()

    asyncio.run(run_one_and_miss_one())
    assert app(["schedule", "history", schedule_id, *database], exit_on_error=False) == 0
    newest, missed = capsys.readouterr().out.splitlines()
    assert newest.endswith("06:00 UTC  abcd-efgh-jkmn  queued")
    assert missed.endswith("missed")
    assert app(["schedule", "history", schedule_id, "--json", *database], exit_on_error=False) == 0
    assert [row["job_id"] for row in json.loads(capsys.readouterr().out)] == ["abcd-efgh-jkmn", None]
    assert app(["schedule", "remove", schedule_id, *database], exit_on_error=False) == 0


def test_the_command_line_of_limits_and_what_show_tells(tmp_path, capsys):
    from beacon.cli.main import build_app

    database = ["--database", str(tmp_path / "beacon.db")]
    app = build_app(overview=False)
    fleet = fleet_of({"us": Scripted(prompt)}, url="http://127.0.0.1:1/v1")

    async def submitted() -> str:
        opened = await open_database(f"sqlite:///{tmp_path / 'beacon.db'}")
        job_id, _ = await submit(opened, spec_of(fleet), fleet, CLOCK)
        await opened.close()
        return job_id

    job_id = asyncio.run(submitted())

    def run(*arguments: str) -> str:
        app([*arguments, *database], exit_on_error=False)
        return capsys.readouterr().out

    run("limit", "us", "2", "--why", "others need it")
    run("pause", "us-a", "--why", "asked to")
    told = json.loads(run("show", job_id, "--json"))
    assert [(one["name"], one["at_most"], one["why"]) for one in told["limits"]] == [("us", 2, "others need it")]
    assert [(one["name"], one["why"]) for one in told["pauses"]] == [("us-a", "asked to")]
    assert told["waits_for_workers"] == []
    shown = run("show", job_id)
    assert "limited by an operator: us, 2 at once (others need it)" in shown
    assert "paused by an operator: us-a (asked to)" in shown
    run("limit", "us", "--lift")
    run("resume", "us-a")
    told = json.loads(run("show", job_id, "--json"))
    assert (told["limits"], told["pauses"]) == ([], [])
    with pytest.raises(InputError, match="either a number or --lift"):
        run("limit", "us")
