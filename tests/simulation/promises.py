"""What was promised to whoever submitted a job, or interfered with one: its limits, its order, stops and pauses.

The database's own audit says what was committed in which order; the world remembers when, and by whom.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from beacon.domain.spec import JobSpec
from tests.simulation.world import FOLLOW_S, WATCH_S, World

TERMINAL = ("completed", "failed", "timed_out", "cancelled")
STATUS_OF = {
    **dict.fromkeys(("deadline_expired", "cold_start_expired"), "timed_out"),
    **dict.fromkeys(("cancelled", "job_deadline", "cost_ceiling", "straggler"), "cancelled"),
}
"""The status of what ends with these kinds; with any other it is `failed`."""
TRANSIENT = ("rate_limited", "provider_error", "protocol_error", "refused_connection")
"""Kinds after which a further attempt is made while the job's limits allow it."""
UNKNOWN = ("outcome_unknown", "result_lost")
NOTICED_S = WATCH_S + 1.0
"""How long it may take a runner to notice that a limit was reached, where its database answers."""
COLD_START_S = 6.0
LITTLE_S = 0.1


@dataclass
class Era:
    """An execution's attempts from one operator's retry to the next, in the order in which they were committed."""

    attempts: list[dict[str, Any]] = field(default_factory=list)
    written_at: list[float] = field(default_factory=list)


class Promises:
    def __init__(self, world: World) -> None:
        self._world = world
        self._audit = world.disk.rows("SELECT * FROM audit ORDER BY n")
        self._attempts = {row["id"]: row for row in world.disk.rows("SELECT * FROM attempts")}
        self._executions = {row["id"]: row for row in world.disk.rows("SELECT * FROM executions")}
        self._specs: dict[str, JobSpec] = {
            row["id"]: JobSpec.model_validate(json.loads(row["spec_json"]))
            for row in world.disk.rows("SELECT id, spec_json FROM jobs")
        }

    def _say(self, kind: str, what: str) -> None:
        self._world.violate(kind, what)

    def check(self) -> None:
        for execution_id, eras in self._eras().items():
            execution = self._executions[execution_id]
            for era in eras:
                self._attempts_made(execution, era)
                self._deadline(execution, era)
            self._given_up(execution, eras[-1])
        for execution in self._executions.values():
            self._reason(execution)
        self._stopped_jobs()
        self._order()
        self._routes()
        self._pauses()

    def _eras(self) -> dict[str, list[Era]]:
        eras: defaultdict[str, list[Era]] = defaultdict(lambda: [Era()])
        for row in self._audit:
            if row["what"] == "execution" and row["before"] in TERMINAL:
                eras[row["id"]].append(Era())
            elif row["what"] == "attempt":
                attempt = self._attempts[row["id"]]
                era = eras[attempt["execution_id"]][-1]
                era.attempts.append(attempt)
                era.written_at.append(self._world.audited_at[row["n"]])
        return eras

    def _spec(self, execution: dict[str, Any]) -> JobSpec:
        return self._specs[execution["job_id"]]

    # Limits

    def _attempts_made(self, execution: dict[str, Any], era: Era) -> None:
        limits = self._spec(execution).limits
        counted = sum(a["counts"] and a["status"] in ("failed", "answered") for a in era.attempts)
        if counted > limits.max_attempts:
            self._say("limits", f"{execution['id']} was tried {counted} times of at most {limits.max_attempts}")
        unknown = [a["id"] for a in era.attempts[:-1] if a["kind"] in UNKNOWN and a["status"] != "refused"]
        if limits.on_unknown == "fail" and unknown:
            self._say("limits", f"{execution['id']} was asked anew after {unknown[0]}, of which the outcome is unknown")

    def _deadline(self, execution: dict[str, Any], era: Era) -> None:
        """One deadline covers all attempts of a runner that keeps its shard."""
        began: dict[int, float] = {}
        longest = self._spec(execution).limits.execution_deadline + COLD_START_S + LITTLE_S
        for attempt, written_at in zip(era.attempts, era.written_at, strict=True):
            first = began.setdefault(attempt["epoch"], written_at)
            writer = self._world.processes[self._world.writers[attempt["id"]]]
            if writer.was_frozen or self._world.jumps:
                continue
            if written_at - first > longest:
                self._say(
                    "limits", f"{attempt['id']} was written {written_at - first:.1f} s after the first of its time"
                )
            ended = self._world.monotonic(attempt["finished_at"])
            decided = attempt["status"] in ("failed", "answered") and not self._was_taken_over(attempt)
            if decided and ended is not None and ended - first > longest:
                self._say("limits", f"{attempt['id']} ended {ended - first:.1f} s after the first of its time")

    def _was_taken_over(self, attempt: dict[str, Any]) -> bool:
        execution = self._executions[attempt["execution_id"]]
        (epoch,) = self._world.disk.raw.execute(
            "SELECT epoch FROM shards WHERE job_id = ? AND number = ?", (execution["job_id"], execution["shard"])
        ).fetchone()
        return bool(epoch != attempt["epoch"])

    def _given_up(self, execution: dict[str, Any], era: Era) -> None:
        """What may be tried again, is, for as long as attempts and time are left."""
        limits = self._spec(execution).limits
        if execution["status"] != "failed" or execution["kind"] not in TRANSIENT or not era.attempts:
            return
        counted = sum(a["counts"] and a["status"] == "failed" for a in era.attempts)
        pause = 1.5 * min(30.0, 0.5 * 2.0 ** (execution["attempts"] - 1)) + 2.5
        left = execution["deadline_at"] - execution["finished_at"]
        if counted < limits.max_attempts and left > pause and not self._world.jumps:
            self._say("limits", f"{execution['id']} was given up after {counted} of {limits.max_attempts} attempts")

    # What ends, and why

    def _reason(self, execution: dict[str, Any]) -> None:
        name, status, kind = execution["id"], execution["status"], execution["kind"]
        if status not in TERMINAL or status == "completed":
            return
        if not kind or not execution["stage"] or not execution["error"]:
            self._say("reason", f"{name} is {status} and does not say why")
        elif STATUS_OF.get(kind, "failed") != status:
            self._say("reason", f"{name} is {status} and says {kind}")
        elif status == "cancelled" and kind not in self._asked_stops(execution["job_id"]):
            self._say("reason", f"{name} says {kind}, which nobody asked for")

    def _asked_stops(self, job_id: str) -> set[str]:
        return {row["after"] for row in self._audit if row["what"] == "stop" and row["id"] == job_id}

    def _stopped_jobs(self) -> None:
        """From the commit of a stop on nothing is written ahead, and soon after a limit neither."""
        stopped: set[str] = set()
        limited: dict[str, tuple[float, str]] = {}
        for row in self._audit:
            now = self._world.audited_at[row["n"]]
            if row["what"] == "stop":
                (stopped.add if row["after"] else stopped.discard)(row["id"])
            elif row["what"] == "job" and row["after"] == "running":
                self._job_begins(limited, row["id"], now)
            elif row["what"] == "ceiling":
                limited[row["id"]] = min(limited.get(row["id"], (now, "")), (now, "its cost ceiling"))
            elif row["what"] == "attempt":
                self._attempt_of(
                    self._executions[self._attempts[row["id"]]["execution_id"]], row["id"], now, stopped, limited
                )

    def _job_begins(self, limited: dict[str, tuple[float, str]], job_id: str, now: float) -> None:
        limit = self._specs[job_id].limits.job_deadline
        if limit is not None:
            limited[job_id] = (now + limit, "its deadline")

    def _attempt_of(
        self, execution: dict[str, Any], key: str, now: float, stopped: set[str], limited: dict[str, tuple[float, str]]
    ) -> None:
        job_id = execution["job_id"]
        if job_id in stopped:
            self._say("stopped", f"{key} was written ahead after {job_id} was stopped")
        since, what = limited.get(job_id, (now, ""))
        if now > since + NOTICED_S and not self._is_excused(key, since, now):
            self._say("limits", f"{key} was written ahead {now - since:.1f} s after {job_id} had reached {what}")

    def _is_excused(self, key: str, since: float, now: float) -> bool:
        """A runner that stood still, or whose database did not answer, cannot notice anything."""
        world = self._world
        writer = world.processes[world.writers[key]]
        return writer.was_frozen or world.jumps or any(since <= at <= now for at in world.troubles["database"])

    # Order, routes, pauses

    def _order(self) -> None:
        """First attempts of a cell are sent in the plan's order within each shard, whoever takes it up."""
        sent: defaultdict[tuple[Any, ...], list[int]] = defaultdict(list)
        for row in self._audit:
            if row["what"] == "attempt":
                attempt = self._attempts[row["id"]]
                execution = self._executions[attempt["execution_id"]]
                if attempt["number"] == 1:
                    cell = (execution["model"], execution["region"])
                    sent[(execution["job_id"], execution["shard"], attempt["epoch"], cell)].append(execution["ordinal"])
        for (job_id, shard, _, cell), ordinals in sent.items():
            if any(later < earlier for earlier, later in pairwise(ordinals)):
                self._say("order", f"shard {shard} of {job_id} was sent to {cell} in the order {ordinals}")

    def _routes(self) -> None:
        for send in self._world.sends:
            attempt = self._attempts.get(send.key)
            if attempt is None:
                continue
            execution = self._executions[attempt["execution_id"]]
            provider = self._world.servers[f"{send.provider}.invalid"].provider
            if provider.region != execution["region"] or execution["model"] not in provider.models:
                self._say("cross-cell", f"{send.key} of {execution['region']} was sent to {send.provider}")

    def _pauses(self) -> None:
        """Nothing new goes where an operator paused, as soon as a runner can know of it."""
        world = self._world
        for row in self._audit:
            if row["what"] != "attempt":
                continue
            provider = world.servers[f"{row['note']}.invalid"].provider
            now = world.audited_at[row["n"]]
            for pause in world.pauses:
                known = pause.since + FOLLOW_S + 1.0 < now < pause.until
                if (
                    known
                    and pause.name in (provider.name, provider.region)
                    and not self._is_excused(row["id"], 0.0, now)
                ):
                    self._say("paused", f"{row['id']} was sent to {provider.name} while {pause.name} was paused")
