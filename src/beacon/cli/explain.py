"""`beacon explain`: where an execution's time went, or what it waits for, since when and until when."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

from cyclopts import Parameter

from beacon.cli.reading import with_database
from beacon.cli.remote import explained
from beacon.cli.settings import DatabaseOption, JsonOption
from beacon.cli.terminal import console, visible
from beacon.domain.clock import SystemClock
from beacon.runner.explain import explain as explain_execution

BAR = 40
"""Columns from the moment of queueing to the end."""


def explain(
    execution: Annotated[str, Parameter(help="The execution's id, as `beacon export` and the portal show it.")],
    /,
    *,
    server: Annotated[str | None, Parameter(help="Ask the `beacon serve` at this address, not the database.")] = None,
    database: DatabaseOption = None,
    as_json: JsonOption = False,
) -> None:
    """Explain one execution: its attempts, and where the time of each went, from the queue to the record.

    For one that is not over: what it waits for, since when and until when. A server also tells whether its
    providers are blocked or busy now.

    Example: `beacon explain k3v9-000012`
    """
    if server is not None:
        told = asyncio.run(explained(server, execution))
    else:
        now = SystemClock().wall()
        told = asdict(with_database(database, lambda opened: explain_execution(opened, execution, now)))
    if as_json:
        print(json.dumps(told, ensure_ascii=False))
        return
    for line in lines(told):
        console().print(visible(line), soft_wrap=True)


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The explanation as text, from its JSON document."""
    yield (
        f"execution {told['execution_id']}: {told['model']} in {told['region']}, question {told['question_id']}, "
        f"persona {told['persona']}, language {told['language']}, repeat {told['repeat'] + 1}"
    )
    yield from _state(told)
    chart = told["waterfall"]
    spans = {row["number"]: row["spans"] for row in chart["attempts"]} if chart else {}
    for attempt in told["attempts"]:
        yield ""
        yield _heading(attempt)
        if attempt["chosen"]:
            yield f"  {attempt['provider']} was chosen as {attempt['chosen']}"
        for span in spans.get(attempt["number"], []):
            yield _row(span, chart["total_ms"])
        if attempt["error"]:
            yield f"  {attempt['error']}"
    if chart and chart["longest"]:
        longest = chart["longest"]
        yield ""
        took, total = _ms(longest["took_ms"]), _ms(chart["total_ms"])
        yield f"Most of it, {took} of {total}, was {_words(longest['stage'])}."


def _state(told: dict[str, Any]) -> Iterator[str]:
    waiting, now = told["waits_for"], told["asked_at"]
    if waiting is None:
        took = (
            "" if told["finished_at"] is None else f" {told['finished_at'] - told['queued_at']:,.1f} s after queueing"
        )
        yield f"{_words(told['status'])}{took}{_why(told)}"
        if told["error"] and not told["attempts"]:
            yield told["error"]
        return
    yield f"{_words(told['status'])}{_why(told)}"
    since = "" if waiting["since"] is None else f", since {_moment(waiting['since'])} ({now - waiting['since']:,.1f} s)"
    until = ", until nobody knows when"
    if waiting["until"] is not None:
        left = waiting["until"] - now
        until = f", until {_moment(waiting['until'])} " + (f"(in {left:,.1f} s)" if left > 0 else "(now)")
    yield f"waits for {waiting['what']}{since}{until}"
    if told["deadline_at"] is not None:
        yield f"its deadline is {_moment(told['deadline_at'])} ({told['deadline_at'] - now:,.1f} s left)"


def _why(told: dict[str, Any]) -> str:
    if not told["kind"]:
        return ""
    return f": {told['kind']}" + (f" in stage {_words(told['stage'])}" if told["stage"] else "")


def _heading(attempt: dict[str, Any]) -> str:
    outcome = attempt["status"] + (f", {attempt['kind']}" if attempt["kind"] else "")
    uncounted = "" if attempt["counts"] else "; it does not count"
    return f"attempt {attempt['number']}, {attempt['provider']}: {outcome}{uncounted}"


def _row(span: dict[str, Any], total_ms: float) -> str:
    scale = BAR / total_ms if total_ms > 0 else 0.0
    before = min(BAR - 1, int(span["begin_ms"] * scale))
    length = min(BAR - before, max(1, round(span["took_ms"] * scale)))
    drawn = (" " * before + "█" * length).ljust(BAR)
    return f"  {_words(span['stage']):<10} {drawn} {_ms(span['took_ms']):>12}{'  lost' if span['lost'] else ''}"


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:,.0f} ms" if milliseconds >= 100 else f"{milliseconds:.1f} ms"


def _words(name: str) -> str:
    return name.replace("_", " ")


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
