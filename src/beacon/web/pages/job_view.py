"""What the progress page of a job says, worked out from its board."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from beacon.domain.failure import FailureKind
from beacon.domain.spec import JobSpec
from beacon.domain.states import ExecutionStatus, JobStatus
from beacon.store.jobs import Job
from beacon.web.board import Board, Counts, FailureGroup
from beacon.web.pages.advice import advice
from beacon.web.providers import ProviderSnapshot
from beacon.web.shapes import known_cost
from beacon.web.text import counted, dollars, duration, moment, number, plain, words

_TOO_EARLY_S = 2.0
"""An estimate of the time left is shown from then on."""
_TOO_FEW = 5
"""Before this no time left is guessed."""
MOST_MODELS_NAMED = 4
MOST_DEEDS = 20


@dataclass(frozen=True, slots=True)
class StageLine:
    """`state` is done, now or empty; `status` names glyph and colour of the present one."""

    word: str
    state: str
    status: str
    at: str | None
    note: str | None
    since: float | None = None


@dataclass(frozen=True, slots=True)
class StepLine:
    """A step of finalizing: `share` from 0 to 1, or None where it does not say how far it is."""

    word: str
    state: str
    share: float | None
    count: str
    what: str


@dataclass(frozen=True, slots=True)
class FailureLine:
    """`of_kind` is not 0 where all of this kind, at whatever provider, can be retried from this line."""

    number: int
    status: str
    kind: str
    count: int
    where: str
    sentence: str | None
    advice: str | None
    models: tuple[str, ...]
    regions: tuple[str, ...]
    ref: str
    of_kind: int


@dataclass(frozen=True, slots=True)
class Fact:
    """A figure; `value` None is unknown. `status` gives it a glyph."""

    word: str
    value: str | None
    small: str = ""
    status: str | None = None


@dataclass(frozen=True, slots=True)
class Deed:
    """What somebody did to the job; `why` is theirs, and untrusted."""

    at: float
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class ProviderLine:
    """A provider of the job: outcomes a second, and how it stands, where a router of this process knows."""

    name: str
    per_second: float
    now: ProviderSnapshot | None

    @property
    def paused(self) -> bool:
        return self.now is not None and str(self.now.state) == "paused"

    @property
    def rate(self) -> str:
        """`12/s`, `0.4/s`, `3/min`, `none`."""
        if self.per_second >= 0.095:
            return f"{self.per_second:.0f}/s" if self.per_second >= 9.5 else f"{self.per_second:.1f}/s"
        return f"{60 * self.per_second:.0f}/min" if self.per_second else "none"

    @property
    def notes(self) -> list[str]:
        """What it waits for, in words: a limit, a start, a moment."""
        if self.now is None:
            return []
        told = []
        if self.now.blocked_why:
            until = self.now.blocked_until
            told.append(plain(self.now.blocked_why) + (f", goes on at {moment(until)}" if until else ""))
        if self.now.start_expected_at is not None:
            told.append(f"start expected by {moment(self.now.start_expected_at)}")
        if self.now.waiting and self.now.in_flight >= self.now.limit:
            told.append("at its limit")
        if self.now.waiting:
            told.append(f"{number(self.now.waiting)} waiting for a place")
        return told


def dimensions(spec: JobSpec) -> str:
    """`8 questions × 3 models × 3 regions × 5 repeats`, with personas and languages where there are several."""
    parts = [counted(len(spec.questions), "question"), counted(len(spec.models), "model")]
    parts.append(counted(len(spec.regions), "region"))
    if len(spec.personas) > 1:
        parts.append(counted(len(spec.personas), "persona"))
    if not isinstance(spec.languages, dict) and len(spec.languages) > 1:
        parts.append(counted(len(spec.languages), "language"))
    return " × ".join([*parts, counted(spec.repeats, "repeat")])


@dataclass(frozen=True, slots=True)
class JobView:
    board: Board
    now: float
    providers: Sequence[ProviderSnapshot] | None

    @property
    def job(self) -> Job:
        return self.board.job

    @property
    def spec(self) -> JobSpec:
        return self.board.spec

    @property
    def status(self) -> str:
        return self.job.status.value

    @property
    def live(self) -> bool:
        return not self.job.over

    @property
    def finalizing(self) -> bool:
        return self.job.status is JobStatus.FINALIZING

    @property
    def may_cancel(self) -> bool:
        return self.job.status in (JobStatus.QUEUED, JobStatus.RUNNING) and self.job.stop_kind is None

    @property
    def stragglers(self) -> int:
        """How many executions a person may end early: the last tenth, once nothing more is to be sent."""
        counts, job = self.job.counts, self.job
        left = counts["running"] + counts["retrying"]
        last = job.status is JobStatus.RUNNING and not counts["pending"] and 10 * left <= job.total
        return left if last and job.stop_kind is None else 0

    @property
    def may_retry(self) -> bool:
        return self.lost > 0 and not self.finalizing

    @property
    def lost(self) -> int:
        counts = self.job.counts
        return counts["failed"] + counts["timed_out"] + counts["cancelled"]

    @property
    def counts(self) -> Counts:
        """Of all executions, by status, as bars take them; those not stored yet are pending."""
        return [self.job.counts[status.value] for status in ExecutionStatus]

    @property
    def title(self) -> str:
        """Of the window: how far it is, then whose it is."""
        job = self.job
        stand = f"{100 * job.done // job.total}%" if job.status is JobStatus.RUNNING and job.total else self.status
        return f"{stand} · {plain(job.name)} · Beacon"

    @property
    def say(self) -> str:
        """What a screen reader is told: every tenth of the way, a change of stage, a new kind of failure."""
        if self.finalizing:
            return "Finalizing results…"
        kinds = sorted({words(group.key.kind) for group in self.board.failures()})
        tenth = 10 * (10 * self.job.done // self.job.total) if self.job.total else 0
        told = f"{self.status}, {tenth} percent recorded." if self.live else f"{self.status}."
        return f"{told} Failures so far: {', '.join(kinds)}." if kinds else told

    def stages(self) -> list[StageLine]:
        job = self.job
        last = "completed" if job.status not in (JobStatus.FAILED, JobStatus.CANCELLED) else self.status
        entered = (job.created_at, job.started_at, job.finalizing_at, job.completed_at)
        names = ("queued", "running", "finalizing", last)
        position = {"queued": 0, "running": 1, "finalizing": 2}.get(self.status, 3)
        lines = []
        for place, (name, at) in enumerate(zip(names, entered, strict=True)):
            over = place < position
            end = next((moment for moment in entered[place + 1 :] if moment is not None), None)
            took = duration(1000 * (end - at)) if over and at is not None and end is not None else None
            state = "done" if over else "now" if place == position else ""
            lines.append(self._stage(name, state, at, took))
        return lines

    def _stage(self, name: str, state: str, at: float | None, took: str | None) -> StageLine:
        word = name.capitalize()
        if name == "running" and self.job.generation > 1:
            word = f"Running, round {self.job.generation}"
        shown = moment(at) if state and at is not None else None
        if state == "done":
            return StageLine(word, state, "check", shown, took)
        if state == "now" and self.live and at is not None:
            return StageLine(word, state, name, shown, duration(1000 * max(0.0, self.now - at)), since=at)
        note = {"finalizing": "classifying, analysing", "completed": ""}.get(name, "") if not state else None
        return StageLine(word, state, name if state else "pending", shown, note)

    def facts(self) -> list[Fact]:
        counts = self.job.counts
        shown = [Fact("Recorded", number(self.job.done), f"of {number(self.job.total)}")]
        statuses = ("completed", "failed", "timed_out", "cancelled", "retrying", "running", "pending")
        shown += [Fact(words(status), number(counts[status]), status=status) for status in statuses]
        if self.live and not self.finalizing:
            left = self.time_left()
            shown.append(Fact("Time left", left, "estimated" if left else ""))
        else:
            end = self.job.completed_at or self.job.finalizing_at
            shown.append(Fact("Took", duration(1000 * (end - self.job.created_at)) if end else None))
        shown.append(self._cost())
        return shown

    def _cost(self) -> Fact:
        cost, ceiling = known_cost(self.job), self.spec.limits.max_cost_usd
        small = f"of {dollars(ceiling)}" if ceiling is not None else ""
        if cost is None:
            return Fact("Cost", None, small)
        if self.job.cost_unknown:
            return Fact("Cost", f"over {dollars(cost)}", f"{counted(self.job.cost_unknown, 'answer')} unknown")
        return Fact("Cost", dollars(cost), small)

    def time_left(self) -> str | None:
        """From each region's own pace so far; None while that says nothing."""
        job = self.job
        if job.status is not JobStatus.RUNNING or job.started_at is None or job.generation > 1:
            return None
        elapsed = self.now - job.started_at
        if elapsed < _TOO_EARLY_S or job.done < _TOO_FEW:
            return None
        rows = self.board.by_region.values()
        if any(row.done == 0 for row in rows):
            return None
        left = max((row.total - row.done) * elapsed / row.done for row in rows)
        return duration(1000 * left) if left < 100 else f"{left / 60:.0f} min"

    def steps(self) -> list[StepLine]:
        """What finalizing has done, does, and will do. A step that nobody told of is not shown as done."""
        told = self.job.finalize_step or ""
        known = {
            "classifying": ("Classifying", "Answers that were not classified while the job ran are classified now."),
            "analysing": ("Analysing", "Rates, differences between regions and models, and their intervals."),
            "sealing": ("Sealing", "A receipt for each execution; all are signed as one and entered into the log."),
        }
        name = next((step for step in known if told.startswith(step)), None)
        shown = list(known)
        total = self.job.total
        lines = [StepLine("Recorded", "done", 1.0, f"{total:,} of {total:,}", "No answer can change any more.")]
        place = shown.index(name) if name in shown else -1
        for here, step in enumerate(shown):
            word, what = known[step]
            state = "done" if here < place else "now" if here == place else ""
            share, count = _how_far(told) if state == "now" else (1.0 if state == "done" else 0.0, state)
            lines.append(StepLine(word, state, share, count or "waiting", what))
        if told and name is None:
            lines.append(StepLine(told.capitalize(), "now", None, "under way", ""))
        return lines

    def failures(self) -> list[FailureLine]:
        """In order of first appearance; the first line of a kind that has several says how many it has in all."""
        groups = self.board.failures()
        kinds, said = Counter[str](), set[str]()
        for group in groups:
            kinds[group.key.kind] += group.count
        lines = []
        for place, group in enumerate(groups):
            kind, many = group.key.kind, kinds[group.key.kind]
            several = kind not in said and many > group.count
            said.add(kind)
            lines.append(_failure_line(place, group, many if several else 0))
        return lines

    def providers_here(self) -> list[ProviderLine]:
        """Those that serve a cell of the job, while it asks them: as the router of this process has them, else as
        they are known from what they brought."""
        if not self.asking:
            return []
        pace, since = self.board.pace, self.job.started_at
        if self.providers is None:
            known: list[tuple[str, ProviderSnapshot | None]] = [(name, None) for name in pace.providers()]
        else:
            models, regions = set(self.board.models), self.board.regions
            known = [(p.name, p) for p in self.providers if p.region in regions and models & set(p.models)]
        return [ProviderLine(name, pace.rate(name, self.now, since), snapshot) for name, snapshot in known]

    def deeds(self) -> list[Deed]:
        """What people did to the job, the latest first."""
        latest = list(reversed(self.board.deeds))[:MOST_DEEDS]
        return [Deed(event.at, _done(event.data), str(event.data.get("why") or "")) for event in latest]

    @property
    def asking(self) -> bool:
        return self.job.status in (JobStatus.QUEUED, JobStatus.RUNNING)

    def waits_of(self, region: str) -> str | None:
        """What the region's providers wait for now, in words; nothing where the job wants nothing more of them."""
        row = self.board.by_region[region]
        if row.done == row.total:
            return None
        here = [line for line in self.providers_here() if line.now is not None and line.now.region == region]
        blocked = [line for line in here if line.now and (line.now.blocked_why or line.now.start_expected_at)]
        return "; ".join(f"{plain(line.name)} {line.notes[0]}" for line in blocked) or None

    def recorded_in(self, model: str, region: str) -> int:
        return self.board.column_done[model, region]

    def column_total(self, region: str) -> int:
        return self.board.size_of(region) * len(self.board.questions)


def _done(told: Mapping[str, Any]) -> str:
    """An event of something that a person did, in words."""
    match told["what"]:
        case "stop" if told["kind"] == FailureKind.STRAGGLER:
            return "stragglers ended"
        case "stop" if told["kind"] == FailureKind.CANCELLED:
            return "cancelled"
        case "stop":
            return f"stopped: {words(str(told['kind']))}"
        case "retry":
            return f"{counted(len(told['moves']), 'execution')} retried, round {told['generation']}"
        case "finalize":
            return "finalized once more"
        case "limited":
            return f"{plain(str(told.get('name')))} limited to {told['at_most']} at once"
        case "unlimited":
            return f"{plain(str(told.get('name')))} limited no more"
        case what:
            return f"{plain(str(told.get('name')))} {what}"


def _how_far(told: str) -> tuple[float | None, str]:
    """The share that a told step states, such as `analysing 6 of 9 comparisons`."""
    found = re.search(r"(\d+) of (\d+)(?: [a-z ]+)?", told)
    if found is None or not int(found[2]):
        return None, "under way"
    return int(found[1]) / int(found[2]), found[0]


def _failure_line(number: int, group: FailureGroup, of_kind: int) -> FailureLine:
    key, models = group.key, group.models
    named = models if len(models) <= MOST_MODELS_NAMED else [f"{len(models)} models"]
    places = (key.provider or "no provider", *named, *group.regions, words(group.stage or ""))
    return FailureLine(
        number=number,
        status=key.status,
        kind=key.kind,
        count=group.count,
        where=", ".join(filter(None, places)),
        sentence=group.sentence,
        advice=advice(key.kind),
        models=tuple(models),
        regions=tuple(group.regions),
        ref="|".join((key.status, key.kind, key.provider)),
        of_kind=of_kind,
    )
