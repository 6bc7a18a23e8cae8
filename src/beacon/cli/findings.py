"""A job's findings in the terminal: what differs first, then what does not, then what limits both."""

from __future__ import annotations

import shlex
from collections import Counter
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from beacon.cli.terminal import UNKNOWN, console, dollars, visible
from beacon.domain.states import JobStatus
from beacon.store.jobs import Job

HEADINGS = {
    "difference": "differences",
    "undecided": "comparisons undecided",
    "negligible": "comparisons with at most a negligible difference",
}
FACTORS = ("region", "language", "persona", "model")
"""What is compared, in the order in which it is told."""
SHOWN = 9
"""Findings of one factor; the report has them all."""


def report_command(job_id: str, database: str | None) -> str:
    """What prints the whole report of a job in the `database` that a flag named."""
    return shlex.join(["beacon", "report", job_id, *(["--database", database] if database else [])])


def print_findings(job: Job, report: dict[str, Any] | None, more_at: str) -> None:
    """`more_at` says where all comparisons are."""
    out = console()
    out.print(_outcome(job))
    out.print(_times(job), style="dim")
    if report is None:
        reason = visible(job.error or "the job has no report yet", keep_lines=True)
        out.print(Text(reason, style="red" if job.status is JobStatus.FAILED else ""))
        if job.status is JobStatus.FAILED:
            out.print(f"Every answer is kept. To make the report after all: beacon retry {job.id} --finalize")
        return
    for notice in report.get("notices", []):
        out.print(Text(f"Note: {visible(notice)}", style="yellow"))
    by_call = calls(report)
    for factor in FACTORS:
        found = [finding for finding in by_call["difference"] if finding["factor"] == factor]
        if found:
            print_listed(
                out,
                found[:SHOWN],
                f"{'difference' if len(found) == 1 else 'differences'} between {factor}s",
                len(found),
            )
        elif factor == FACTORS[0]:
            out.print(Text(f"\n{_none_found(report)}", style="bold"))
    more = sum(max(0, n - SHOWN) for n in Counter(f["factor"] for f in by_call["difference"]).values())
    undecided, negligible = len(by_call["undecided"]), len(by_call["negligible"])
    further = f"{more} further differences, " if more > 0 else ""
    out.print(
        f"\nNot listed: {further}{undecided} comparisons undecided, {negligible} negligible. All of them: {more_at}"
    )


def _none_found(report: dict[str, Any]) -> str:
    """What is not found is told apart from what could not be looked for."""
    regions = [finding for finding in report["findings"] if finding["factor"] == FACTORS[0]]
    if not regions:
        return "No comparison of regions could be tested."
    undecided = sum(finding["call"] == "undecided" for finding in regions)
    stay = "stays" if undecided == 1 else "stay"
    return f"No differences between regions were found: of {len(regions)} comparisons {undecided} {stay} undecided."


def print_report(job: Job, report: dict[str, Any]) -> None:
    """Everything that was compared."""
    out = console()
    out.print(_outcome(job))
    for notice in report.get("notices", []):
        out.print(Text(f"Note: {visible(notice)}", style="yellow"))
    for call, found in calls(report).items():
        print_listed(out, found, HEADINGS[call])
    not_tested = report.get("not_tested", [])
    if not_tested:
        out.print(Text(f"\n{len(not_tested)} comparisons could not be tested:", style="bold"))
    for reason, count in Counter(visible(item["reason"]) for item in not_tested).most_common():
        out.print(f"  {count} × {reason}")
    _print_metrics(out, report.get("metrics", []))
    out.print(f"\nMethod {report['method']}.", style="dim")


def _print_metrics(out: Console, metrics: list[dict[str, Any]]) -> None:
    """The figures by name, a row for each model and region; what could not be computed is told below."""
    if not metrics:
        return
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for metric in metrics:
        value = metric["value"]
        row = rows.setdefault((metric["model"], metric["region"] or "all"), {})
        row[metric["metric"]] = UNKNOWN if value is None else f"{value:.3f}"
    names = list(dict.fromkeys(metric["metric"] for metric in metrics))
    out.print(Text("\nFigures by name (not findings: without intervals)", style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("model", "region"):
        table.add_column(name)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for (model, region), row in rows.items():
        table.add_row(Text(visible(model)), region, *(row.get(name, "") for name in names))
    out.print(table)
    missing = dict.fromkeys((metric["metric"], metric["reason"]) for metric in metrics if metric["value"] is None)
    for name, reason in missing:
        out.print(Text(f"  {UNKNOWN} {name.replace('_', ' ')}: {visible(reason)}", style="dim"))


def calls(report: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The findings by their call, each in the report's order."""
    return {call: [finding for finding in report["findings"] if finding["call"] == call] for call in HEADINGS}


def _outcome(job: Job) -> Text:
    counts = job.counts
    text = Text(f"\n{visible(job.name)}: {job.status.value}", style="bold")
    if job.verdict is not None:
        text.append(f", criteria {job.verdict.value}", style="bold")
    parts = [f"{counts['completed']:,} of {job.total:,} completed"]
    parts += [
        f"{counts[name]:,} {name.replace('_', ' ')}" for name in ("failed", "timed_out", "cancelled") if counts[name]
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
    cost = f"at least {dollars(job.cost_usd)}" if job.cost_unknown and job.cost_usd else dollars(job.cost_usd)
    cost = "unknown" if job.cost_unknown and not job.cost_usd else cost
    return f"barrier gap {gap}, finalizing {finalizing}, cost {cost}"


def print_listed(out: Console, found: list[dict[str, Any]], heading: str, count: int | None = None) -> None:
    """The given findings, of `count` in all, with their caveats."""
    number_of = len(found) if count is None else count
    out.print(Text(f"\n{number_of or 'No'} {heading}{':' if found else '.'}", style="bold"))
    numbered = Table.grid(padding=(0, 1, 0, 0))
    numbered.add_column(justify="right", min_width=4)
    numbered.add_column()
    for number, finding in enumerate(found, start=1):
        numbered.add_row(f"{number}.", Text(visible(finding["sentence"])))
        for caveat in finding["caveats"]:
            numbered.add_row("", Text(visible(caveat), style="yellow"))
    if found:
        out.print(numbered)
