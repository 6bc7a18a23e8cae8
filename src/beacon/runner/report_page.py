"""A report as one HTML file: it opens without a network and without a script, and everything in it is escaped."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined

from beacon.errors import UnavailableError
from beacon.store.jobs import Job

CHARTS_S = 120.0
"""Within which the charts of a report have to be drawn, by a process of its own."""
PROCESS = "beacon.runner.charts"
TELLING_AT_MOST = 20
"""Findings whose most telling pair of answers is shown."""
MOST_CHARACTERS = 3_000


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer beside a finding."""

    execution_id: str
    group: str
    text: str


def draw_charts(report: dict[str, Any]) -> list[dict[str, str]]:
    """As {title, image}, the image a data URI: an SVG that is shown as an image runs nothing and loads nothing.

    Raises UnavailableError where they cannot be drawn.
    """
    try:
        drawn = subprocess.run(
            [sys.executable, "-m", PROCESS],
            input=json.dumps(report).encode(),
            capture_output=True,
            timeout=CHARTS_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"the charts were not drawn within {CHARTS_S:g} s", todo="try again") from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        why = said[-1] if said else f"its process ended with {error.returncode}"
        raise UnavailableError(f"the charts cannot be drawn: {why}", todo="report --json has every figure") from error
    return [
        {
            "title": chart["title"],
            "image": "data:image/svg+xml;base64," + base64.b64encode(chart["svg"].encode()).decode(),
        }
        for chart in json.loads(drawn.stdout)
    ]


def telling_executions(report: dict[str, Any]) -> dict[str, tuple[tuple[str, str], tuple[str, str]]]:
    """Of the strongest differences, by finding: the two executions that show it best, each with its group."""
    found: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {}
    for finding in report["findings"]:
        if finding["call"] == "difference" and finding["telling"] and len(found) < TELLING_AT_MOST:
            first, second = finding["telling"][0]["executions"]
            found[finding["id"]] = ((first, finding["groups"][0]), (second, finding["groups"][1]))
    return found


def page(
    job: Job, report: dict[str, Any], charts: list[dict[str, str]], telling: Mapping[str, tuple[Shown, ...]], now: float
) -> str:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = files("beacon.runner").joinpath("report_page.html.jinja").read_text(encoding="utf-8")
    calls = {
        call: [f for f in report["findings"] if f["call"] == call] for call in ("difference", "undecided", "negligible")
    }
    return environment.from_string(source).render(
        job=job,
        report=report,
        calls=calls,
        charts=charts,
        telling=telling,
        written=datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d %H:%M UTC"),
    )


def shown(row: dict[str, Any], group: str) -> Shown:
    answer = row["answer"] or ""
    cut = f"{answer[:MOST_CHARACTERS]} […]" if len(answer) > MOST_CHARACTERS else answer
    return Shown(row["id"], group, cut)
