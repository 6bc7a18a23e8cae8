"""A job's findings in the terminal: what differs first, then what does not, then what limits both."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from beacon.cli.terminal import visible
from beacon.domain.states import JobStatus
from beacon.store.jobs import Job

CALLS = ("difference", "undecided", "negligible")
SHOWN = 12


def print_findings(job: Job, report: dict[str, Any] | None) -> None:
    console = Console(highlight=False)
    console.print(_outcome(job))
    console.print(_times(job), style="dim")
    if report is None:
        reason = visible(job.error or "the job has no report yet", keep_lines=True)
        console.print(Text(reason, style="red" if job.status is JobStatus.FAILED else ""))
        return
    for notice in report.get("notices", []):
        console.print(Text(f"Note: {visible(notice)}", style="yellow"))
    by_call = {call: [f for f in report["findings"] if f["call"] == call] for call in CALLS}
    _print_differences(console, by_call["difference"])
    undecided, negligible = len(by_call["undecided"]), len(by_call["negligible"])
    console.print(
        f"\nNot shown to differ: {undecided} comparisons undecided, {negligible} negligible. "
        f"`beacon report {job.id}` lists them all."
    )


def _outcome(job: Job) -> Text:
    counts = job.counts
    text = Text(f"\n{visible(job.name)}: {job.status.value}", style="bold")
    if job.verdict is not None:
        text.append(f", criteria {job.verdict.value}", style="bold")
    parts = [f"{counts['completed']} of {job.total} completed"]
    parts += [
        f"{counts[name]} {name.replace('_', ' ')}" for name in ("failed", "timed_out", "cancelled") if counts[name]
    ]
    text.append(f". {', '.join(parts)}.", style="default")
    if job.simulated:
        text.append(" SIMULATED: the answers come from the lab, not from models.", style="magenta")
    if job.replayed:
        text.append(" REPLAYED: the answers were recorded earlier.", style="magenta")
    return text


def _times(job: Job) -> str:
    gap = "unknown" if job.barrier_gap_ms is None else f"{job.barrier_gap_ms:.0f} ms"
    finalizing = "unknown" if job.finalizing_ms is None else f"{job.finalizing_ms:.0f} ms"
    cost = f"at least ${job.cost_usd:.4f}" if job.cost_unknown and job.cost_usd else f"${job.cost_usd:.4f}"
    cost = "unknown" if job.cost_unknown and not job.cost_usd else cost
    return f"barrier gap {gap}, finalizing {finalizing}, cost {cost}"


def _print_differences(console: Console, found: list[dict[str, Any]]) -> None:
    heading = "No difference was found." if not found else f"{len(found)} differences:"
    console.print(Text(f"\n{heading}", style="bold"))
    for number, finding in enumerate(found[:SHOWN], start=1):
        console.print(Text(f"{number:>3}. {visible(finding['sentence'])}"))
        for caveat in finding["caveats"]:
            console.print(Padding(Text(visible(caveat), style="yellow"), (0, 0, 0, 5)))
    if len(found) > SHOWN:
        console.print(f"     and {len(found) - SHOWN} more")
