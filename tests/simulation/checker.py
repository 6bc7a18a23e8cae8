"""What must hold at the end of a seed, whatever happened in it: the database against the providers' own logs.

Each violation has one of the `KINDS`. What is checked while a seed runs (write-ahead, a key sent twice, two
finalizers) is found in `World.violations` already.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from itertools import pairwise
from typing import Any

from tests.simulation.promises import Promises
from tests.simulation.providers import Run
from tests.simulation.virtual import EPOCH
from tests.simulation.world import OVER, World

KINDS = (
    *("lost", "duplicate", "early-complete", "stuck", "cross-cell"),
    *(
        "write-ahead",
        "sent twice",
        "finalized twice",
        "unfenced",
        "status",
        "counts",
        "events",
        "time",
        "sent unasked",
        "limits",
        "stopped",
        "paused",
        "order",
        "reason",
        "evidence",
        "fell",
        "leak",
    ),
)
LITTLE_S = 1e-6
TERMINAL = ("completed", "failed", "timed_out", "cancelled")
GIVEN_UP = frozenset(
    {"deadline_expired", "cold_start_expired", "cancelled", "job_deadline", "straggler", "cost_ceiling"}
)
"""Kinds of failures that are Beacon's own decision, not a provider's word."""
_EXECUTION_MOVES = {
    *(("pending", after) for after in ("running", "failed", "timed_out", "cancelled")),
    *(("running", after) for after in ("retrying", *TERMINAL)),
    *(("retrying", after) for after in ("running", "failed", "timed_out", "cancelled")),
    *((before, "retrying") for before in ("failed", "timed_out", "cancelled")),
}
_JOB_MOVES = {
    *(("queued", "running"), ("running", "finalizing"), ("failed", "finalizing")),
    *(("finalizing", over) for over in OVER),
    *((over, "running") for over in OVER),
}


def check(world: World) -> list[str]:
    """All violations of a world that has run, as sentences that begin with their kind."""
    checker = _Checker(world)
    checker.audit()
    for job in world.disk.rows("SELECT * FROM jobs ORDER BY id"):
        checker.job(job)
    checker.deliveries()
    checker.asked_first()
    Promises(world).check()
    return world.violations


class _Checker:
    def __init__(self, world: World) -> None:
        self._world = world
        self._rows = world.disk.rows
        self._runs: dict[str, list[Run]] = {}
        for server in world.servers.values():
            for run in server.runs.values():
                self._runs.setdefault(run.key, []).append(run)
        self._sent_at = {send.key: send.at for send in reversed(world.sends)}
        self._attempts = {row["id"]: row for row in self._rows("SELECT * FROM attempts")}

    def _say(self, kind: str, what: str) -> None:
        self._world.violate(kind, what)

    def audit(self) -> None:
        """Every committed move is on the diagrams, and what closes a job comes after all that it closes."""
        completed: Counter[str] = Counter()
        for row in self._rows("SELECT * FROM audit ORDER BY n"):
            if row["what"] in ("execution", "job"):
                self._move(row)
            completed[row["id"]] += row["what"] == "execution" and row["after"] == "completed"
            if row["what"] == "shard" and row["before"] == row["after"]:
                self._say("unfenced", f"{row['note']} took shard {row['id']} under epoch {row['before']} again")
            if row["what"] == "attempt" and row["before"] != row["after"]:
                self._say("unfenced", f"{row['id']} was written under epoch {row['before']} of {row['after']}")
        for execution_id, count in completed.items():
            if count > 1:
                self._say("duplicate", f"{execution_id} was completed {count} times")

    def _move(self, row: dict[str, Any]) -> None:
        before, after = row["before"], row["after"]
        if (before, after) not in (_JOB_MOVES if row["what"] == "job" else _EXECUTION_MOVES):
            self._say("status", f"{row['id']} moved {before} -> {after}")
        closes = row["what"] == "job" and after in ("finalizing", *OVER)
        if closes and row["note"] != "0 open, 0 without result":
            self._say("early-complete", f"{row['id']} became {after} with {row['note']}")

    def job(self, job: dict[str, Any]) -> None:
        if job["status"] not in OVER:
            self._say("stuck", f"{job['id']} is {job['status']} with {job['done']} of {job['total']} done")
            return
        executions = self._rows("SELECT * FROM executions WHERE job_id = ? ORDER BY id", job["id"])
        results = {row["execution_id"]: row for row in self._rows("SELECT * FROM results")}
        if len(executions) != job["total"]:
            self._say("lost", f"{job['id']} has {len(executions)} of {job['total']} executions")
        self._counts(job, executions)
        self._events(job, executions)
        for execution in executions:
            self._execution(execution, results.get(execution["id"]))
        if job["status"] != "failed":
            self._closed(job)

    def _counts(self, job: dict[str, Any], executions: list[dict[str, Any]]) -> None:
        found = Counter(execution["status"] for execution in executions)
        told = {name: job[name] for name in ("running", "retrying", *TERMINAL) if job[name]}
        if told != {name: count for name, count in found.items() if name != "pending"}:
            self._say("counts", f"{job['id']} says {told}, its executions are {dict(found)}")
        if job["done"] != sum(found[name] for name in TERMINAL):
            self._say("counts", f"{job['id']} says {job['done']} done")
        for shard in self._rows("SELECT * FROM shards WHERE job_id = ?", job["id"]):
            mine = [e for e in executions if e["shard"] == shard["number"] and e["status"] in TERMINAL]
            if shard["done"] != len(mine):
                self._say("counts", f"shard {shard['number']} of {job['id']} says {shard['done']}, not {len(mine)}")

    def _events(self, job: dict[str, Any], executions: list[dict[str, Any]]) -> None:
        """Replayed from the first, the events add up to the database, at the end and at every number."""
        standing = {execution["ordinal"]: "pending" for execution in executions}
        events = self._rows("SELECT * FROM events WHERE job_id = ? ORDER BY seq", job["id"])
        if [event["seq"] for event in events] != list(range(1, job["seq"] + 1)):
            self._say("events", f"{job['id']} has {len(events)} events up to number {job['seq']}")
        for event in events:
            data = json.loads(event["data_json"])
            standing.update(dict(data.get("moves", ())))
            counts = Counter(standing.values())
            told = data["counts"]
            if any(told.get(name, 0) != counts[name] for name in ("running", "retrying", *TERMINAL)):
                self._say("events", f"{job['id']} tells {told} at {event['seq']}, its events add up to {dict(counts)}")
                return
        if any(standing[execution["ordinal"]] != execution["status"] for execution in executions):
            self._say("events", f"the events of {job['id']} do not add up to its executions")

    def _execution(self, row: dict[str, Any], result: dict[str, Any] | None) -> None:
        name, status = row["id"], row["status"]
        if status not in TERMINAL:
            self._say("status", f"{name} is left {status}")
        if (status == "completed") != (result is not None):
            self._say(
                "lost" if result is None else "status", f"{name} is {status} and has a result: {result is not None}"
            )
        mine = [a for a in self._attempts.values() if a["execution_id"] == name]
        if sorted(a["number"] for a in mine) != list(range(1, row["attempts"] + 1)):
            self._say("status", f"{name} counts {row['attempts']} attempts and has {len(mine)}")
        for attempt in mine:
            # Another attempt's answer was first, from which on nobody need take this one over.
            overtaken = result is not None and result["attempt_id"] != attempt["id"]
            if attempt["status"] == "sent" and not overtaken:
                self._say("lost", f"nobody recorded what became of {attempt['id']}")
        if result is not None:
            self._result(row, result)
        elif status == "failed":
            self._not_kept(row, mine)
        if row["duration_ms"] is not None and row["duration_ms"] < 0:
            self._say("time", f"{name} took {row['duration_ms']} ms")

    def _result(self, row: dict[str, Any], result: dict[str, Any]) -> None:
        """It is what a provider of the execution's own cell finished under this very attempt's key."""
        name, key = row["id"], result["attempt_id"]
        runs = [run for run in self._runs.get(key, ()) if run.provider == result["provider"]]
        if self._attempts[key]["execution_id"] != name:
            self._say("cross-cell", f"{name} has the result of {key}")
        if not any(run.text == result["answer"] and run.finished_at is not None for run in runs):
            self._say(
                "cross-cell", f"{name} has an answer that its provider did not give to {key}: {result['answer']!r}"
            )
            return
        kept = self._attempts[key]["kept_json"]
        if self._attempts[key]["status"] != "answered" and (not kept or json.loads(kept)["text"] == result["answer"]):
            self._say("status", f"{key} has the result of {name} and says {self._attempts[key]['status']}")
        run = runs[0]
        if (run.model, run.region) != (row["model"], row["region"]):
            self._say(
                "cross-cell", f"{name} of {row['model']} in {row['region']} was served {run.model} in {run.region}"
            )
        if row["kind"] is not None or row["error"] is not None:
            self._say("status", f"{name} is completed and says {row['kind']}")
        self._times(row, key, run)

    def _times(self, row: dict[str, Any], key: str, run: Run) -> None:
        assert run.finished_at is not None
        if self._world.jumps:
            self._duration(row, key)
            return
        names = ("queued_at", "started_at", "first_token_at", "finished_at", "persisted_at")
        moments = [row[name] for name in names if row[name] is not None]
        if row["finished_at"] is None or row["persisted_at"] is None or moments != _nearly_sorted(moments):
            self._say("time", f"the moments of {row['id']} are {moments}")
            return
        if row["finished_at"] < EPOCH + run.finished_at - LITTLE_S:
            self._say("time", f"{row['id']} is said to have finished before its provider had")
        began = self._sent_at[key]
        longest_ms = 1000 * (row["finished_at"] - EPOCH - began + LITTLE_S)
        if row["duration_ms"] > longest_ms:
            self._say("time", f"{row['id']} says {row['duration_ms']:.1f} ms of at most {longest_ms:.1f}")
        self._duration(row, key)
        if row["started_at"] < EPOCH + began - LITTLE_S:
            self._say("time", f"{row['id']} is said to have started before it was sent")

    def _duration(self, row: dict[str, Any], key: str) -> None:
        """By a clock that nobody sets: no longer than from the sending to the end of the reading, or of the seed."""
        read = [delivery.at for delivery in self._world.deliveries if delivery.run.key == key]
        longest_ms = 1000 * (max(read, default=self._world.now) - self._sent_at[key] + LITTLE_S)
        if not 0 <= row["duration_ms"] <= longest_ms:
            self._say("time", f"{row['id']} says {row['duration_ms']:.1f} ms of at most {longest_ms:.1f}")

    def _not_kept(self, row: dict[str, Any], attempts: list[dict[str, Any]]) -> None:
        """A failed execution has no good answer lying where it is kept, unless that could not be reached."""
        for attempt in attempts:
            for run in self._runs.get(attempt["id"], ()):
                keeps = self._world.servers[f"{run.provider}.invalid"].provider.transport == "agent"
                if keeps and run.good and run.finished_at is not None and not self._unreachable(attempt, run):
                    self._say("lost", f"{row['id']} {row['kind']}: {run.provider} keeps the answer to {attempt['id']}")

    def _unreachable(self, attempt: dict[str, Any], run: Run) -> bool:
        """It was given up with no word from its provider, and looked for later: in vain, or before it was there."""
        looked = any(key == run.key for _, provider, key in self._world.asked if provider == run.provider)
        return looked and (attempt["status"] == "interrupted" or attempt["kind"] in GIVEN_UP)

    def deliveries(self) -> None:
        """What was read to its end by a process that lived on is recorded: as the result, or beside another."""
        for delivery in self._world.deliveries:
            attempt = self._attempts.get(delivery.run.key)
            if attempt is None or self._excused(delivery.process, delivery.at, attempt):
                continue
            if attempt["status"] == "answered" or (attempt["status"] == "refused" and attempt["kept_json"]):
                continue
            self._say(
                "lost", f"{delivery.run.key} was answered to {delivery.process} and is recorded as {attempt['status']}"
            )

    def _excused(self, process: str, at: float, attempt: dict[str, Any]) -> bool:
        world = self._world
        own = world.processes[process]
        troubles = [*world.troubles[process], *world.troubles["database"]]
        if own.was_frozen or any(at - 1 <= moment <= at + 15 for moment in troubles):
            return True
        (found,) = self._rows(
            "SELECT e.deadline_at, e.status, j.id FROM executions e JOIN jobs j ON j.id = e.job_id WHERE e.id = ?",
            attempt["execution_id"],
        )
        stops = world.stops.get(found["id"], [])
        expired = attempt["kind"] in ("deadline_expired", "cold_start_expired")
        return expired or any(moment <= at + 1 for moment in stops)

    def asked_first(self) -> None:
        """Who takes an execution over, or retries it for an operator, first asks who may keep its answer."""
        world = self._world
        sender = {send.key: send for send in reversed(world.sends)}
        reopenings: defaultdict[str, list[float]] = defaultdict(list)
        for row in self._rows("SELECT n, id, before FROM audit WHERE what = 'execution' AND after = 'retrying'"):
            if row["before"] in TERMINAL:
                reopenings[row["id"]].append(world.audited_at[row["n"]])
        for send in world.sends:
            execution, _, number = send.key.rpartition(".")
            before = self._kept_before(execution, int(number))
            if before is None:
                continue
            reopened = any(sender[before.key].at < at <= send.at for at in reopenings.get(execution, ()))
            if sender[before.key].process == send.process and not reopened:
                continue
            if (send.process, before.provider, before.key) not in world.asked:
                self._say("sent unasked", f"{send.key} was sent without asking {before.provider} for {before.key}")

    def _kept_before(self, execution: str, number: int) -> Run | None:
        """The newest attempt before this one of which the provider of the last keeps what it came to.

        Looking further back than to the last takes time, which a bad network may use up: there nobody need.
        """
        rates = self._world.scenario.rates
        furthest = number - 2 if rates.lost or rates.cut or rates.hang or rates.refused else 0
        last = self._attempts.get(f"{execution}.{number - 1}")
        for earlier in range(number - 1, max(furthest, 0), -1):
            assert last is not None
            server = self._world.servers[f"{last['provider']}.invalid"]
            run = server.runs.get(f"{execution}.{earlier}")
            if run is not None and server.provider.transport == "agent":
                return run
        return None

    def _closed(self, job: dict[str, Any]) -> None:
        """The report that counts saw what the database has, and each generation has one seal."""
        seals = [row["generation"] for row in self._rows("SELECT generation FROM seals WHERE job_id = ?", job["id"])]
        if job["generation"] not in seals or len(seals) != len(set(seals)):
            self._say("early-complete", f"{job['id']} of generation {job['generation']} has seals of {seals}")
            return
        query = (
            "SELECT r.document_json FROM reports r JOIN seals s ON s.job_id = r.job_id AND s.generation = ? "
            "WHERE r.job_id = ? AND r.version = json_extract(s.document_json, '$.report_version')"
        )
        (report,) = self._rows(query, job["generation"], job["id"])
        if json.loads(report["document_json"])["seen"] != self._world.digest(job["id"]):
            self._say("early-complete", f"the report of {job['id']} was made before all of its results were there")
        self._judged(job)
        self._receipts(job)
        if self._world.jumps:
            return
        if job["finalizing_at"] < job["last_finished_at"] - LITTLE_S or job["completed_at"] < job["finalizing_at"]:
            self._say("time", f"the moments of {job['id']} are out of order")

    def _judged(self, job: dict[str, Any]) -> None:
        """The verdict is that of the results, and a job that was cancelled says so."""
        rate = "avg(status = 'completed')"
        rates = [
            row["r"]
            for row in self._rows(f"SELECT {rate} r FROM executions WHERE job_id = ? GROUP BY region", job["id"])
        ]
        verdict = "met" if min(rates) >= 0.9 else "unmet"
        if job["verdict"] != verdict:
            self._say("status", f"{job['id']} is {job['verdict']}, its regions {rates}")
        cut_short = job["stop_kind"] == "cancelled" and job["cancelled"] > 0
        if (job["status"] == "cancelled") != cut_short:
            self._say("status", f"{job['id']} is {job['status']}, was asked to be {job['stop_kind']}")

    def _receipts(self, job: dict[str, Any]) -> None:
        """They tell of the outcome that counts, and of the attempt that gave it."""
        query = (
            "SELECT e.id, e.status, e.attempts, r.attempt_id, r.answer, c.document_json FROM executions e "
            "LEFT JOIN results r ON r.execution_id = e.id "
            "LEFT JOIN receipts c ON c.execution_id = e.id AND c.generation = ? WHERE e.job_id = ?"
        )
        for row in self._rows(query, job["generation"], job["id"]):
            newest = f"{row['id']}.{row['attempts']}" if row["attempts"] else None
            told = [row["status"], row["attempt_id"] or newest, row["answer"]]
            if row["document_json"] is None or json.loads(row["document_json"]) != told:
                self._say("evidence", f"the receipt of {row['id']} is {row['document_json']}, not {told}")


def _nearly_sorted(moments: list[float]) -> list[float]:
    """The same list where no moment lies noticeably before the one that precedes it."""
    fits = all(later >= earlier - LITTLE_S for earlier, later in pairwise(moments))
    return moments if fits else []
