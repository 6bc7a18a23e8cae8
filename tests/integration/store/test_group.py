"""The group commit: one result each, a strict barrier, events without gaps."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import replace

import pytest

from beacon.domain.answer import Answer
from beacon.domain.clock import SystemClock
from beacon.domain.fleet import Fleet
from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.runner.admission import admit, submit
from beacon.store import events, executions, interventions, jobs, leases, ledger
from beacon.store.executions import Filter
from beacon.store.group import Finish, Start, record_group
from beacon.store.ledger import Advance

FLEET = Fleet.model_validate(
    {
        "providers": [
            {"name": "p", "region": "us", "transport": "openai", "url": "http://127.0.0.1:1", "models": ["alpha"]}
        ]
    }
)
CLOCK = SystemClock()


def answer(text: str = "An answer.", cost: float | None = 0.5) -> Answer:
    return Answer(
        text=text, finish_reason="stop", provider="p", model_echoed="alpha", region_stated=None,
        region_evidence="declared", upstream=None, input_tokens=3, output_tokens=5, cost_usd=cost, simulated=True,
        replayed=False, started_at=100.0, first_token_at=100.5, finished_at=101.0, duration_ms=1000.0,
    )  # fmt: skip


async def submitted_job(database, spec) -> tuple[str, list[leases.Shard]]:
    job_id, _ = await submit(database, spec, FLEET, CLOCK)
    return await _begin(database, spec, job_id)


async def _begin(database, spec, job_id) -> tuple[str, list[leases.Shard]]:
    await admit(database, job_id, CLOCK)
    await database.write(jobs.begin, job_id, 2.0)
    shards = []
    for region in spec.regions:
        while shard := await database.write(leases.take_shard, job_id, region, "me", 3.0, 99.0):
            shards.append(shard)
    return job_id, shards


async def open_works(database, job_id, shards):
    return [
        (shard, execution)
        for shard in shards
        for execution in await database.read(executions.open_in_shard, job_id, shard.number)
    ]


def start(shard, execution, number=1, epoch=None) -> Start:
    return Start(execution.id, f"{execution.id}.{number}", number, shard.number, epoch or shard.epoch, "p", 4.0, 304.0)


def finish(shard, execution, status=ExecutionStatus.COMPLETED, number=1, **fields) -> Finish:
    given = {"attempt_status": "answered"}
    given |= {"answer": answer()} if status is ExecutionStatus.COMPLETED else {"kind": "provider_error", "error": "no"}
    return Finish(
        execution.id, f"{execution.id}.{number}", number, shard.number, status, finished_at=101.0,
        **(given | fields),
    )  # fmt: skip


async def test_the_last_terminal_execution_closes_the_job_and_none_before(database, spec):
    job_id, shards = await submitted_job(database, spec)
    works = await open_works(database, job_id, shards)
    assert len(works) == 16
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    for number, work in enumerate(works, start=1):
        recorded = await database.write(record_group, job_id, [], [finish(*work)], 6.0 + number)
        expected = JobStatus.FINALIZING if number == 16 else JobStatus.RUNNING
        assert recorded.job_status is expected
    job = await database.read(jobs.get, job_id)
    assert (job.done, job.counts["completed"], job.counts["running"]) == (16, 16, 0)
    assert job.finalizing_at == 22.0
    assert job.simulated


async def test_events_have_no_gaps_and_carry_the_counts_of_their_number(database, spec):
    job_id, shards = await submitted_job(database, spec)
    works = await open_works(database, job_id, shards)
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    for work in works:
        await database.write(record_group, job_id, [], [finish(*work)], 6.0)
    told = await database.read(events.after, job_id, 0)
    assert [event.seq for event in told] == list(range(1, len(told) + 1))
    completed = [event.data["counts"]["completed"] for event in told if event.kind == "group"]
    assert completed == list(range(17))
    assert told[-1].data["status"] == "finalizing"


async def test_the_first_answer_wins_and_the_second_is_kept_as_evidence(database, spec):
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work)], [], 5.0)
    await database.write(record_group, job_id, [], [finish(*work)], 6.0)
    before = await database.read(jobs.get, job_id)
    again = finish(*work, answer=answer("Another answer."))
    recorded = await database.write(record_group, job_id, [], [again], 7.0)
    assert recorded.moved == frozenset()
    assert (await database.read(jobs.get, job_id)) == before
    shown = await database.read(executions.get, work[1].id)
    assert shown["answer"] == "An answer."
    tried = await database.read(executions.attempts_of, work[1].id)
    assert tried[0]["status"] == "refused"
    assert "Another answer." in tried[0]["kept_json"]


async def test_whoever_did_not_hear_of_an_attempts_answer_does_not_end_it_anew(database, spec):
    job_id, shards = await submitted_job(database, spec)
    work, other = (await open_works(database, job_id, shards))[:2]
    await database.write(record_group, job_id, [start(*work), start(*other)], [], 5.0)
    lost = {"answer": None, "attempt_status": "interrupted", "kind": "outcome_unknown"}
    interrupted = [finish(*one, status=ExecutionStatus.RETRYING, **lost) for one in (work, other)]
    # In one group, whichever comes first, and in a later one.
    await database.write(record_group, job_id, [], [interrupted[0], finish(*work)], 6.0)
    await database.write(record_group, job_id, [], [finish(*other), interrupted[1], finish(*other)], 6.0)
    await database.write(record_group, job_id, [], [*interrupted, finish(*work)], 7.0)
    for _, execution in (work, other):
        tried = await database.read(executions.attempts_of, execution.id)
        assert [(attempt["status"], attempt["kind"]) for attempt in tried] == [("answered", None)]
    again = finish(*work, answer=answer("Another answer."))
    await database.write(record_group, job_id, [], [again], 8.0)
    await database.write(record_group, job_id, [], interrupted, 9.0)
    tried = await database.read(executions.attempts_of, work[1].id)
    assert "Another answer." in tried[0]["kept_json"]


async def test_a_write_ahead_under_an_old_epoch_is_refused(database, spec):
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    taken = await database.write(leases.take_shard, job_id, work[0].region, "other", 100.0, 200.0, ["me"])
    assert taken is not None
    assert taken.epoch == work[0].epoch + 1
    recorded = await database.write(record_group, job_id, [start(*work)], [], 5.0)
    assert recorded.started == frozenset()
    assert await database.read(executions.attempts_of, work[1].id) == []


async def test_a_lease_that_its_owner_took_anew_is_not_given_back_with_the_old_one(database, spec):
    """A runner that stood still for longer than its lease takes its own shard as it would any other."""
    job_id, shards = await submitted_job(database, spec)
    old = shards[0]
    new = await database.write(leases.take_this_shard, job_id, old.number, "me", 200.0, 300.0, ["me"])
    await database.write(leases.release_shard, old, "me")
    taken = await database.write(leases.take_this_shard, job_id, old.number, "another", 201.0, 301.0)
    assert taken is None
    await database.write(leases.release_shard, new, "me")
    assert await database.write(leases.take_this_shard, job_id, old.number, "another", 201.0, 301.0) is not None


async def test_who_waits_to_send_does_not_end_what_another_has_sent_meanwhile(database, spec):
    """A runner that stood still finds its retry's deadline passed, while its successor's attempt is under way."""
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work)], [], 5.0)
    failed = finish(*work, status=ExecutionStatus.RETRYING, attempt_status="failed")
    await database.write(record_group, job_id, [], [failed], 6.0)
    await database.write(record_group, job_id, [start(*work, number=2)], [], 7.0)
    for known, moved in ((1, frozenset()), (2, {work[1].id})):
        waiting = replace(finish(*work, status=ExecutionStatus.TIMED_OUT, number=known), attempt_id=None)
        recorded = await database.write(record_group, job_id, [], [waiting], 8.0)
        assert recorded.moved == moved


@pytest.mark.parametrize("end", [ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.CANCELLED])
async def test_a_failure_of_an_old_attempt_does_not_end_the_new_one(database, spec, end):
    """A runner that was stopped and woke up reports a failure, while its successor tries again."""
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work)], [], 5.0)
    interrupted = finish(*work, status=ExecutionStatus.RETRYING, attempt_status="interrupted")
    await database.write(record_group, job_id, [], [interrupted], 6.0)
    await database.write(record_group, job_id, [start(*work, number=2)], [], 7.0)
    late = finish(*work, status=end)
    recorded = await database.write(record_group, job_id, [], [late], 8.0)
    assert recorded.moved == frozenset()
    assert (await database.read(executions.get, work[1].id))["status"] == "running"


@pytest.mark.parametrize("over", [ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, ExecutionStatus.CANCELLED])
async def test_what_is_over_is_not_reopened_by_an_attempt_that_would_be_retried(database, spec, over):
    """The runner that had lost the shard hears of its attempt's failure after another one ended the execution."""
    job_id, shards = await submitted_job(database, spec)
    shard, execution = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(shard, execution)], [], 5.0)
    await database.write(record_group, job_id, [], [finish(shard, execution, over)], 6.0)
    late = finish(shard, execution, ExecutionStatus.RETRYING)
    recorded = await database.write(record_group, job_id, [], [late], 7.0)
    assert recorded.moved == frozenset()
    job = await database.read(jobs.get, job_id)
    assert (job.done, job.counts["retrying"], job.counts[over.value]) == (1, 0, 1)


async def test_nothing_starts_in_a_job_that_has_not_begun(database, spec):
    job_id, _ = await submit(database, spec, FLEET, CLOCK)
    await admit(database, job_id, CLOCK)
    shard = await database.write(leases.take_shard, job_id, spec.regions[0], "me", 3.0, 99.0)
    (execution, *_) = await database.read(executions.open_in_shard, job_id, shard.number)
    recorded = await database.write(record_group, job_id, [start(shard, execution)], [], 5.0)
    assert recorded.started == frozenset()


async def test_an_epoch_is_that_of_the_shard_of_its_own_job(database, spec):
    """Shards of all jobs have the same numbers."""
    jobs_begun = sorted([await submitted_job(database, spec) for _ in range(3)], key=lambda begun: begun[0])
    for other in (jobs_begun[0][0], jobs_begun[2][0]):
        for region in spec.regions:
            await database.write(leases.take_shard, other, region, "another", 100.0, 200.0)
    job_id, shards = jobs_begun[1]
    works = await open_works(database, job_id, shards)
    recorded = await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    assert len(recorded.started) == len(works)


async def test_the_end_of_an_attempt_with_a_large_number_is_taken(database, spec):
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work, number=1000)], [], 5.0)
    ended = finish(*work, status=ExecutionStatus.FAILED, number=1000)
    recorded = await database.write(record_group, job_id, [], [ended], 6.0)
    assert recorded.moved == {work[1].id}


@pytest.mark.parametrize(
    ("first", "second", "counts"),
    [
        (ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT, 0),
        (ExecutionStatus.FAILED, ExecutionStatus.CANCELLED, 0),
        (ExecutionStatus.CANCELLED, ExecutionStatus.FAILED, 0),
        (ExecutionStatus.FAILED, ExecutionStatus.COMPLETED, 1),
        (ExecutionStatus.CANCELLED, ExecutionStatus.COMPLETED, 1),
        (ExecutionStatus.COMPLETED, ExecutionStatus.COMPLETED, 0),
        (ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, 0),
    ],
)
async def test_of_two_ends_in_one_group_an_answer_counts_else_the_first(database, spec, first, second, counts):
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work)], [], 5.0)
    ends = [_told(finish(*work, status=status), number) for number, status in enumerate((first, second))]
    recorded = await database.write(record_group, job_id, [], ends, 6.0)
    assert recorded.moved == {work[1].id}
    shown = await database.read(executions.get, work[1].id)
    assert shown["status"] == (first, second)[counts].value
    assert (shown["answer"] or shown["error"]) == f"The {counts}."


def _told(end: Finish, number: int) -> Finish:
    said = f"The {number}."
    return replace(end, error=said) if end.answer is None else replace(end, answer=answer(said))


async def test_an_answer_of_an_old_attempt_is_taken(database, spec):
    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    await database.write(record_group, job_id, [start(*work)], [], 5.0)
    interrupted = finish(*work, status=ExecutionStatus.RETRYING, attempt_status="interrupted")
    await database.write(record_group, job_id, [], [interrupted], 6.0)
    await database.write(record_group, job_id, [start(*work, number=2)], [], 7.0)
    await database.write(record_group, job_id, [], [finish(*work, number=1)], 8.0)
    shown = await database.read(executions.get, work[1].id)
    assert (shown["status"], shown["answer"]) == ("completed", "An answer.")


async def test_unknown_cost_is_counted_and_never_added_as_zero_silently(database, spec):
    job_id, shards = await submitted_job(database, spec)
    works = (await open_works(database, job_id, shards))[:2]
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    ends = [finish(*works[0]), finish(*works[1], answer=answer(cost=None))]
    await database.write(record_group, job_id, [], ends, 6.0)
    job = await database.read(jobs.get, job_id)
    assert (job.cost_usd, job.cost_unknown) == (0.5, 1)


async def test_nothing_starts_once_a_stop_is_requested(database, spec):
    from beacon.store.interventions import request_stop

    job_id, shards = await submitted_job(database, spec)
    work = (await open_works(database, job_id, shards))[0]
    assert await database.write(request_stop, job_id, "cancelled", 5.0)
    recorded = await database.write(record_group, job_id, [start(*work)], [], 6.0)
    assert recorded.started == frozenset()
    assert recorded.stop_kind == "cancelled"


@pytest.mark.parametrize("seed", range(5))
async def test_concurrent_groups_of_random_sizes_close_the_job_once(database, spec, seed):
    job_id, shards = await submitted_job(database, spec)
    works = await open_works(database, job_id, shards)
    rng = random.Random(seed)
    rng.shuffle(works)
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    groups, rest = [], works
    while rest:
        size = rng.randint(1, 5)
        groups.append(rest[:size])
        rest = rest[size:]
    statuses = [ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.TIMED_OUT]
    done = await asyncio.gather(
        *(
            database.write(record_group, job_id, [], [finish(*w, status=rng.choice(statuses)) for w in group], 6.0)
            for group in groups
        )
    )
    assert [recorded.job_status for recorded in done].count(JobStatus.FINALIZING) == 1
    told = await database.read(events.after, job_id, 0)
    assert sum(event.data["status"] == "finalizing" for event in told) == 1


async def test_an_attempt_that_starts_ends_the_wait_for_it(database, spec):
    job_id, shards = await submitted_job(database, spec)
    shard, execution = (await open_works(database, job_id, shards))[0]
    failed = finish(shard, execution, ExecutionStatus.RETRYING, next_attempt_at=150.0)
    await database.write(record_group, job_id, [start(shard, execution)], [], 5.0)
    await database.write(record_group, job_id, [], [failed], 5.0)
    assert (await database.read(executions.get, execution.id))["next_attempt_at"] == 150.0
    await database.write(record_group, job_id, [start(shard, execution, 2)], [], 6.0)
    assert (await database.read(executions.get, execution.id))["next_attempt_at"] is None


async def test_a_retry_changes_nothing_of_what_a_job_has_cost_and_who_served_it(database, spec):
    job_id, shards = await submitted_job(database, spec)
    works = await open_works(database, job_id, shards)
    await database.write(record_group, job_id, [start(*work) for work in works], [], 5.0)
    real = replace(answer(cost=0.5), simulated=False)
    ends = [finish(*works[0], answer=real), finish(*works[1], status=ExecutionStatus.FAILED)]
    await database.write(record_group, job_id, [], ends, 6.0)
    before = await database.read(jobs.get, job_id)
    opened = await database.write(interventions.reopen, job_id, Filter(), 7.0)
    after = await database.read(jobs.get, job_id)
    assert opened.count == 1
    assert (after.done, after.counts["failed"], after.counts["retrying"]) == (before.done - 1, 0, 1)
    kept = ("cost_usd", "cost_unknown", "simulated", "replayed", "last_finished_at", "finalizing_at")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert (after.cost_usd, after.simulated, after.replayed) == (0.5, False, False)


@pytest.mark.parametrize("status", list(JobStatus))
@pytest.mark.parametrize(
    ("done", "more", "closes"),
    [(15, 1, True), (14, 2, True), (14, 1, False), (16, 0, False), (17, -1, False), (16, 1, False)],
)
async def test_the_barrier_closes_a_running_job_by_what_completes_it(database, spec, status, done, more, closes):
    """And nothing else does: not a group that ended nothing, not a retry, not a job in any other status."""
    job_id, _ = await submitted_job(database, spec)
    await database.write(ledger.change_job, job_id, status=status.value, done=done, finalizing_at=None)
    row = await database.write(ledger.advance, job_id, Advance(Counter(), more), 9.0)
    closed = closes and status is JobStatus.RUNNING
    assert row.status is (JobStatus.FINALIZING if closed else status)
    job = await database.read(jobs.get, job_id)
    assert (job.status, job.done) == (row.status, done + more)
    assert job.finalizing_at == (9.0 if closed else None)


@pytest.mark.parametrize(
    ("before", "told", "after"),
    [(None, None, None), (None, 5.0, 5.0), (5.0, None, 5.0), (5.0, 4.0, 5.0), (5.0, 6.0, 6.0)],
)
async def test_the_last_finish_is_the_latest_that_was_told(database, spec, before, told, after):
    job_id, _ = await submitted_job(database, spec)
    await database.write(ledger.change_job, job_id, last_finished_at=before)
    await database.write(ledger.advance, job_id, Advance(Counter(), 0, last_finished_at=told), 9.0)
    assert (await database.read(jobs.get, job_id)).last_finished_at == after


async def test_what_a_group_adds_is_added_and_marks_stay(database, spec):
    job_id, _ = await submitted_job(database, spec)
    seq = (await database.read(jobs.get, job_id)).seq
    for marked in (True, False):
        by = Advance(Counter({ExecutionStatus.RUNNING: 3, ExecutionStatus.FAILED: 2}), 2, None, 0.25, 1, marked, marked)
        row = await database.write(ledger.advance, job_id, by, 9.0)
    job = await database.read(jobs.get, job_id)
    assert (row.seq, job.seq, job.done) == (seq + 2, seq + 2, 4)
    assert (job.cost_usd, row.cost_usd, job.cost_unknown, job.simulated, job.replayed) == (0.5, 0.5, 2, True, True)
    assert row.counts == job.counts
    assert (job.counts["running"], job.counts["failed"], job.counts["pending"]) == (6, 4, 6)
