"""Whatever is recorded in whatever order, the store keeps to the diagrams, counts right, and closes a job once.

A hypothesis state machine drives the real store beside a model of a few lines.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from beacon.domain.answer import Answer
from beacon.domain.plan import execution_id, shards
from beacon.domain.states import EXECUTION_MOVES, TERMINAL, ExecutionStatus, JobStatus, Verdict, may_move
from beacon.errors import ConflictError
from beacon.store import events, executions, interventions, jobs, leases, reports
from beacon.store.executions import Filter
from beacon.store.group import Finish, Recorded, Start, record_group
from tests.integration.conftest import make_spec
from tests.simulation.storage import Disk
from tests.simulation.virtual import run

E = ExecutionStatus
J = JobStatus
JOB = "job"
OTHERS = ("a job before it", "one after it")
SPEC = make_spec(questions=1, repeats=3, models=["alpha"])
ENDS = (E.RETRYING, E.COMPLETED, E.FAILED, E.TIMED_OUT, E.CANCELLED)
KEYS = st.integers(0, SPEC.total - 1)


def may_end(before: ExecutionStatus, after: ExecutionStatus) -> bool:
    """What an attempt may do to its execution; what is over is reopened by an operator alone."""
    return before not in TERMINAL and may_move(before, after)


def counts(ordinal: int) -> bool:
    """Some attempts that fail do not count towards the most that a spec allows."""
    return ordinal % 3 != 0


def _answer(text: str) -> Answer:
    return Answer(
        text=text, finish_reason="stop", provider="us-a", model_echoed=None, region_stated=None,
        region_evidence="declared", upstream=None, input_tokens=1, output_tokens=1, cost_usd=0.25, simulated=False,
        replayed=False, started_at=1.0, first_token_at=None, finished_at=2.0, duration_ms=1000.0,
    )  # fmt: skip


class Machine(RuleBasedStateMachine):
    """`standing` and `tried` are the model: each execution's status, and how many attempts were accepted."""

    disk: Disk

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.disk = _disk()
        self.disk.wipe()
        for job_id in (*OTHERS, JOB):
            self.run(jobs.create, job_id, SPEC, ("{}", "{}", "0" * 64), self.now)
            self.run(jobs.admit, job_id, list(shards(SPEC)), self.now)
        self.disk.raw.execute("UPDATE shards SET epoch = 7 WHERE job_id <> ?", (JOB,))
        self.run(jobs.admitted, JOB, self.now)
        self.disk.raw.execute("UPDATE jobs SET spec_json = ?", (SPEC.model_dump_json(by_alias=True),))
        self.disk.raw.commit()
        self.run(jobs.begin, JOB, self.now)
        self.standing = dict.fromkeys(range(SPEC.total), E.PENDING)
        self.tried = dict.fromkeys(range(SPEC.total), 0)
        self.shard_of = {p.ordinal: p.shard for s in shards(SPEC) for p in s.executions}
        self.epochs = dict.fromkeys(set(self.shard_of.values()), 0)
        self.answers: dict[int, str] = {}
        self.counted = dict.fromkeys(range(SPEC.total), 0)
        self.last_finished_at: float | None = None
        self.status = J.RUNNING
        self.stopped = False
        self.closed = 0

    def run(self, function: Any, *args: Any) -> Any:
        self.now += 1
        return run(self.disk.database.write(function, *args))

    def record(self, starts: list[Start], finishes: list[Finish]) -> Recorded:
        self.ended_at = {finish.execution_id: finish.finished_at for finish in finishes}
        recorded: Recorded = self.run(record_group, JOB, starts, finishes, self.now)
        return recorded

    def move(self, ordinal: int, after: ExecutionStatus) -> None:
        assert may_move(self.standing[ordinal], after)
        self.standing[ordinal] = after

    def settle(self) -> None:
        if self.status is J.RUNNING and all(status in TERMINAL for status in self.standing.values()):
            self.status = J.FINALIZING
            self.closed += 1

    @rule(region=st.sampled_from(["us", "eu"]))
    def take_shard(self, region: str) -> None:
        shard = self.run(leases.take_shard, JOB, region, "somebody", self.now, self.now, ())
        if shard is not None:
            self.epochs[shard.number] += 1
            assert shard.epoch == self.epochs[shard.number]

    @rule()
    def start_all(self) -> None:
        """Everything that may be sent is, in one group."""
        open_to_it = [o for o, status in self.standing.items() if may_move(status, E.RUNNING)]
        recorded = self.record([self._start(ordinal) for ordinal in open_to_it], [])
        if self.status is not J.RUNNING or self.stopped:
            assert not recorded.started
            return
        assert recorded.started == {self._start(ordinal).attempt_id for ordinal in open_to_it}
        for ordinal in open_to_it:
            self.tried[ordinal] += 1
            self.move(ordinal, E.RUNNING)

    @rule(ordinal=KEYS, behind=st.sampled_from([0, 0, 0, 1, -1]))
    def start(self, ordinal: int, behind: int) -> None:
        """`behind` is how many epochs ago whoever starts it took the shard; nobody is ahead of it."""
        start = self._start(ordinal, behind)
        recorded = self.record([start], [])
        allowed = (
            behind == 0
            and self.status is J.RUNNING
            and not self.stopped
            and may_move(self.standing[ordinal], E.RUNNING)
        )
        assert (start.attempt_id in recorded.started) == allowed
        if allowed:
            self.tried[ordinal] += 1
            self.move(ordinal, E.RUNNING)

    @precondition(lambda self: any(self.tried.values()))
    @rule(ordinal=KEYS, status=st.sampled_from(ENDS), back=st.sampled_from([0, 0, 0, 1, 2]))
    def finish(self, ordinal: int, status: ExecutionStatus, back: int) -> None:
        """The newest attempt ends, or one before it."""
        number = self.tried[ordinal] - back
        if number < 1:
            return
        recorded = self.record([], [self._finish(ordinal, status, number)])
        allowed = may_end(self.standing[ordinal], status) and (back == 0 or status is E.COMPLETED)
        assert (execution_id(JOB, ordinal) in recorded.moved) == allowed
        if allowed:
            self._moved(ordinal, status, number)
        self.settle()
        assert recorded.job_status is self.status

    @precondition(lambda self: any(self.tried.values()))
    @rule(
        ordinals=st.permutations(range(SPEC.total)),
        statuses=st.lists(st.sampled_from(ENDS), min_size=1, max_size=SPEC.total),
    )
    def finish_many(self, ordinals: list[int], statuses: list[ExecutionStatus]) -> None:
        chosen = [(o, s) for o, s in zip(ordinals, statuses, strict=False) if self.tried[o] > 0]
        recorded = self.record([], [self._finish(o, s, self.tried[o]) for o, s in chosen])
        allowed = [(o, s) for o, s in chosen if may_end(self.standing[o], s)]
        assert recorded.moved == {execution_id(JOB, o) for o, _ in allowed}
        for ordinal, status in allowed:
            self._moved(ordinal, status, self.tried[ordinal])
        self.settle()

    @rule(status=st.sampled_from([E.COMPLETED, E.FAILED, E.CANCELLED]))
    def end_all(self, status: ExecutionStatus) -> None:
        """Everything that is open ends in one group."""
        chosen = [o for o in self.standing if self.tried[o] > 0 and may_end(self.standing[o], status)]
        self.record([], [self._finish(o, status, self.tried[o]) for o in chosen])
        for ordinal in chosen:
            self._moved(ordinal, status, self.tried[ordinal])
        self.settle()

    @rule(ordinal=KEYS)
    def two_ends_of_one(self, ordinal: int) -> None:
        """An answer and a failure in one group: the answer counts."""
        number = self.tried[ordinal]
        if number < 1:
            return
        ends = [self._finish(ordinal, E.FAILED, number), self._finish(ordinal, E.COMPLETED, number)]
        recorded = self.record([], ends)
        if self.standing[ordinal] is E.RUNNING:
            assert recorded.moved == {execution_id(JOB, ordinal)}
            self._moved(ordinal, E.COMPLETED, number)
        elif self.standing[ordinal] is E.RETRYING:
            self._moved(ordinal, E.FAILED, number)
        else:
            assert not recorded.moved
        self.settle()

    @precondition(lambda self: sum(self.tried.values()) > SPEC.total)
    @rule()
    def stop(self) -> None:
        asked = self.run(interventions.request_stop, JOB, "cancelled", self.now)
        assert asked == (self.status is J.RUNNING and not self.stopped)
        self.stopped = self.stopped or asked

    @precondition(lambda self: self.status is J.FINALIZING)
    @rule(over=st.sampled_from([J.COMPLETED, J.CANCELLED, J.FAILED]))
    def close(self, over: JobStatus) -> None:
        if over is J.FAILED:
            self.run(reports.fail_job, JOB, "it could not be sealed", self.now)
        else:
            self.run(reports.finish_job, JOB, over, Verdict.MET, self.now)
        self.status = over

    @rule()
    def reopen(self) -> None:
        unsuccessful = [o for o, s in self.standing.items() if s in TERMINAL and s is not E.COMPLETED]
        refused = self.status is J.FINALIZING or (self.status is J.RUNNING and self.stopped)
        try:
            opened = self.run(interventions.reopen, JOB, Filter(), self.now)
        except ConflictError:
            assert refused
            return
        assert not refused
        assert opened.count == len(unsuccessful)
        for ordinal in unsuccessful:
            self.move(ordinal, E.RETRYING)
            self.counted[ordinal] = 0
        if unsuccessful:
            if self.status is not J.RUNNING:
                self.last_finished_at = None
            self.status, self.stopped = J.RUNNING, False

    @precondition(lambda self: self.status is J.FAILED)
    @rule()
    def finalize_again(self) -> None:
        self.run(interventions.finalize_again, JOB, self.now)
        self.status = J.FINALIZING

    def _start(self, ordinal: int, behind: int = 0) -> Start:
        shard, number = self.shard_of[ordinal], self.tried[ordinal] + 1
        key = f"{execution_id(JOB, ordinal)}.{number}"
        epoch = self.epochs[shard] - behind
        return Start(execution_id(JOB, ordinal), key, number, shard, epoch, "us-a", self.now, self.now + 60)

    def _finish(self, ordinal: int, status: ExecutionStatus, number: int) -> Finish:
        answered = status is E.COMPLETED
        return Finish(
            execution_id=execution_id(JOB, ordinal),
            attempt_id=f"{execution_id(JOB, ordinal)}.{number}",
            number=number,
            shard=self.shard_of[ordinal],
            status=status,
            attempt_status="answered" if answered else "failed",
            # Some ended long before they are recorded.
            finished_at=self.now - (50 if ordinal % 2 else 0),
            answer=_answer(f"{ordinal}.{number}") if answered else None,
            kind=None if answered else "provider_error",
            counts=answered or counts(ordinal),
        )

    def _moved(self, ordinal: int, status: ExecutionStatus, number: int) -> None:
        self.move(ordinal, status)
        self.counted[ordinal] += status is E.COMPLETED or counts(ordinal)
        if status in TERMINAL:
            self.last_finished_at = max(self.last_finished_at or 0.0, self.ended_at[execution_id(JOB, ordinal)])
        if status is E.COMPLETED:
            self.answers[ordinal] = f"{ordinal}.{number}"

    @invariant()
    def the_database_is_the_model(self) -> None:
        rows = self.run(executions.page, JOB)
        assert {row["ordinal"]: row["status"] for row in rows} == {o: s.value for o, s in self.standing.items()}
        assert {row["ordinal"]: row["answer"] for row in rows if row["answer"] is not None} == self.answers
        for row in rows:
            over = E(row["status"]) in TERMINAL
            assert (row["finished_at"] is not None, row["persisted_at"] is not None) == (over, over)
        job = self.run(jobs.get, JOB)
        counts = Counter(status.value for status in self.standing.values())
        assert job.status is self.status
        assert job.counts == {**dict.fromkeys((s.value for s in E), 0), **counts, "total": SPEC.total}
        assert job.done == sum(counts[status.value] for status in TERMINAL)
        assert (job.finalizing_at is not None) == (self.status not in (J.QUEUED, J.RUNNING))
        assert job.cost_usd == 0.25 * len(self.answers)
        assert job.cost_unknown == 0
        assert job.last_finished_at == self.last_finished_at

    @invariant()
    def other_jobs_are_left_alone(self) -> None:
        for other in OTHERS:
            job = self.run(jobs.get, other)
            assert (job.status, job.seq, job.done, job.counts["pending"]) == (J.QUEUED, 1, 0, SPEC.total)
            assert not self.disk.rows("SELECT 1 FROM shards WHERE job_id = ? AND done > 0", other)

    @invariant()
    def attempts_that_count_are_counted(self) -> None:
        rows = self.disk.rows("SELECT ordinal, counted FROM executions WHERE job_id = ?", JOB)
        assert {row["ordinal"]: row["counted"] for row in rows} == self.counted
        query = "SELECT e.ordinal, a.status, a.counts FROM attempts a JOIN executions e ON e.id = a.execution_id"
        for row in self.disk.rows(query):
            if row["status"] != "refused":  # which may have been an answer or a failure
                assert bool(row["counts"]) == (row["status"] != "failed" or counts(row["ordinal"]))

    @invariant()
    def shards_know_what_is_left(self) -> None:
        done = Counter(self.shard_of[o] for o, status in self.standing.items() if status in TERMINAL)
        for row in self.disk.rows("SELECT number, done FROM shards WHERE job_id = ?", JOB):
            assert row["done"] == done[row["number"]]

    @invariant()
    def the_events_add_up_to_the_database(self) -> None:
        job = self.run(jobs.get, JOB)
        told = self.run(events.after, JOB, 0, 10_000)
        assert [event.seq for event in told] == list(range(1, job.seq + 1))
        standing = dict.fromkeys(range(SPEC.total), "pending")
        for event in told:
            for ordinal, after in event.data.get("moves", ()):
                assert E(after) in EXECUTION_MOVES[E(standing[ordinal])]
                standing[ordinal] = after
        assert standing == {o: s.value for o, s in self.standing.items()}
        assert told[-1].data["counts"] == job.counts

    @invariant()
    def every_closing_came_after_the_last_end(self) -> None:
        moves = self.disk.rows("SELECT after, note FROM audit WHERE what = 'job' AND after = 'finalizing'")
        assert all(row["note"] == "0 open, 0 without result" for row in moves)
        assert len(moves) >= self.closed


_disks: list[Disk] = []


def _disk() -> Disk:
    if not _disks:
        _disks.append(Disk())
    return _disks[0]


Machine.TestCase.settings = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    phases=[phase for phase in Phase if phase is not Phase.shrink or not os.environ.get("BEACON_MUTATED")],
    suppress_health_check=[HealthCheck.too_slow],
)
TestStore = Machine.TestCase
