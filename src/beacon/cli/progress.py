"""Live progress of a job on stderr: what is done, what failed and why, what is waited for, how long it takes."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from beacon.cli.terminal import console, visible
from beacon.domain.states import UNSUCCESSFUL, JobStatus
from beacon.router.lane import ProviderSnapshot
from beacon.store import executions, jobs
from beacon.store.database import Database
from beacon.store.executions import FailureGroup, Tally
from beacon.store.jobs import Job

LIVE_S = 0.25
"""How often the screen is drawn anew on a terminal."""
PLAIN_S = 5.0
"""How often a line of progress is written where there is no terminal."""
SHOWN_STATUSES = ("completed", "failed", "timed_out", "cancelled", "retrying", "running")
BAR = 10
STEPS = {"classifying": "classifying the last answers", "analysing": "analysing"}


@dataclass(frozen=True, slots=True)
class Moment:
    """A job at one reading of the database."""

    job: Job
    tallies: list[Tally]
    failures: list[FailureGroup]


async def show_progress(
    database: Database,
    providers: Callable[[], list[ProviderSnapshot]],
    job_id: str,
    driving: asyncio.Task[None],
) -> None:
    """Returns when `driving` has ended. A table that renews itself on a terminal, else a line now and then."""
    out = console(stderr=True)
    if out.is_terminal:
        with Live(console=out, auto_refresh=False, transient=False) as live:
            while True:
                over = driving.done()
                moment = await read_moment(database, job_id)
                live.update(screen(moment, providers()), refresh=True)
                if over:
                    return
                await asyncio.wait([driving], timeout=LIVE_S)
    else:
        said = ""
        while True:
            over = driving.done()
            line = plain_line(await read_moment(database, job_id))
            if line != said:
                out.print(line, soft_wrap=True)
                said = line
            if over:
                return
            await asyncio.wait([driving], timeout=PLAIN_S)


async def read_moment(database: Database, job_id: str) -> Moment:
    job = await database.read(jobs.get, job_id)
    tallies = await database.read(executions.tallies, job_id)
    unsuccessful = sum(job.counts[status.value] for status in UNSUCCESSFUL)
    return Moment(job, tallies, await database.read(executions.failures, job_id) if unsuccessful else [])


def screen(moment: Moment, providers: list[ProviderSnapshot]) -> RenderableType:
    parts: list[RenderableType] = [_heading(moment.job), _matrix(moment)]
    parts += [failure_line(group) for group in moment.failures[:6]]
    parts += [Text(f"waiting: {line}", style="yellow") for line in waits(providers)]
    return Group(*parts)


def _heading(job: Job) -> Text:
    heading = Text(f"{visible(job.name)}  ", style="bold")
    heading.append(_stage(job), style="cyan")
    if job.simulated:
        heading.append("  simulated", style="magenta")
    if job.replayed:
        heading.append("  replayed", style="magenta")
    return heading


def _stage(job: Job) -> str:
    if job.status is JobStatus.FINALIZING:
        told = job.finalize_step or "all answers are recorded"
        step = STEPS.get(told, told)
        return f"Finalizing results… {step}"
    if job.status is JobStatus.RUNNING:
        return f"running, {job.done:,} of {job.total:,}{_time_left(job)}"
    return job.status.value


def _time_left(job: Job) -> str:
    """From the pace so far; said only once a twentieth is done, since the first answers say little."""
    if job.started_at is None or job.done < max(3, job.total / 20) or job.done == job.total:
        return ""
    left = (time.time() - job.started_at) / job.done * (job.total - job.done)
    return f", about {span(left)} left"


def span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _matrix(moment: Moment) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("region")
    table.add_column("model", overflow="ellipsis", no_wrap=True)
    table.add_column("", width=BAR)
    # Statuses that no execution has would crowd out the others on a narrow terminal.
    statuses = [s for s in SHOWN_STATUSES if s == "completed" or any(t.counts.get(s) for t in moment.tallies)]
    for name in ("done", *statuses):
        table.add_column(name.replace("_", " "), justify="right", no_wrap=True)
    for tally in sorted(moment.tallies, key=lambda t: (t.region, t.model)):
        counts = [tally.counts.get(status, 0) for status in statuses]
        bar = ProgressBar(total=tally.total, completed=tally.done, width=BAR)
        done = f"{tally.done:,}/{tally.total:,}"
        table.add_row(tally.region, visible(tally.model), bar, done, *(f"{n:,}" if n else "" for n in counts))
    return table


def failure_line(group: FailureGroup) -> Text:
    status = group.status.replace("_", " ")
    text = Text(f"{group.count:,} {status} ", style="red")
    kind = "" if group.kind == group.status else f"{group.kind} "
    text.append(f"{kind}at {group.provider or group.region}, {visible(group.model)}: ")
    text.append(visible(group.error or ""), style="default")
    return text


def waits(providers: list[ProviderSnapshot]) -> list[str]:
    """One sentence for each provider that is waited for, and until when where that is known."""
    lines = []
    for provider in providers:
        if provider.blocked_until is not None:
            left = max(0.0, provider.blocked_until - time.time())
            lines.append(f"{provider.name} {provider.blocked_why or 'is blocked'}; goes on in {left:.0f} s")
        elif provider.blocked_why is not None:
            lines.append(f"{provider.name} {provider.blocked_why}")
        elif provider.waiting and provider.state in ("cold", "warming"):
            lines.append(_starting(provider))
    return lines


def _starting(provider: ProviderSnapshot) -> str:
    expected = provider.start_expected_at
    if expected is None:
        return f"{provider.name} is {provider.state}"
    left = expected - time.time()
    when = f"expected in {span(left)}" if left > 0 else f"expected {span(-left)} ago"
    return f"{provider.name} is {provider.state} (cold start, {when})"


def plain_line(moment: Moment) -> str:
    by_region: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for tally in moment.tallies:
        by_region[tally.region][0] += tally.done
        by_region[tally.region][1] += tally.total
    regions = ", ".join(f"{region} {done:,}/{total:,}" for region, (done, total) in sorted(by_region.items()))
    failed = sum(group.count for group in moment.failures)
    trouble = f"; {failed:,} unsuccessful, most often {moment.failures[0].kind}" if failed else ""
    return _stage(moment.job) + (f"; {regions}" if regions else "") + trouble
