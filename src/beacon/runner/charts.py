"""The charts of a report as SVG, drawn by Altair in a process of its own.

Run as a module it reads a report document as JSON on its standard input and writes a JSON list of {title, svg}.
The renderer holds a JavaScript engine of 100 MB; it ends with the process.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import altair as alt
import vl_convert

WIDTH = 520
MOST_ROWS = 60
"""Of one chart; the report's table has them all."""
CALLS = ("difference", "undecided", "negligible")
Chart = alt.LayerChart | alt.FacetChart
COLOURS = ("#b3261e", "#6b6b6b", "#9dbfdd")


def charts(report: dict[str, Any]) -> list[dict[str, str]]:
    """Effects with their intervals, a chart for each measure; and the withheld share of every model and region."""
    found = []
    rated = [f for f in report["findings"] if f["interval"] is not None and f["level"] != "question"]
    for measure in dict.fromkeys(f["measure"] for f in rated):
        mine = [f for f in rated if f["measure"] == measure][:MOST_ROWS]
        found.append(_drawn(f"{_words(measure)}: differences with their intervals", _effects(mine, report)))
    rows = [row for row in map(_share, report["rates"]["arms"]) if row is not None]
    if rows:
        found.append(_drawn("Share of answers withheld, with 95% intervals", _shares(rows[:MOST_ROWS])))
    return found


def _effects(findings: list[dict[str, Any]], report: dict[str, Any]) -> Chart:
    rows = [
        {
            "what": _compared(f),
            "effect": f["effect"],
            "low": f["interval"][0],
            "high": f["interval"][1],
            "call": f["call"],
        }
        for f in findings
    ]
    order = list(dict.fromkeys(row["what"] for row in rows))
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=alt.Y("what:N", sort=order, title=None, axis=_wide()))
    colour = alt.Color("call:N", scale=alt.Scale(domain=CALLS, range=COLOURS), title=None)
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title="effect"), x2="high:Q", color=colour)
    points = base.mark_point(filled=True, size=60).encode(
        x="effect:Q", color=colour, shape=alt.Shape("call:N", title=None)
    )
    zero = alt.Chart(alt.InlineData(values=[{"zero": 0}])).mark_rule(color="#333").encode(x="zero:Q")
    return alt.layer(zero, lines, points).properties(width=WIDTH, height=alt.Step(22))


def _shares(rows: list[dict[str, Any]]) -> Chart:
    order = [row["what"] for row in rows]
    base = alt.Chart(alt.InlineData(values=rows)).encode(y=alt.Y("what:N", sort=order, title=None, axis=_wide()))
    scale = alt.Scale(domain=[0, 1])
    lines = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", scale=scale, title="share"), x2="high:Q")
    points = base.mark_point(filled=True, size=60).encode(x="rate:Q", color=alt.Color("region:N", title=None))
    return alt.layer(lines, points).properties(width=WIDTH, height=alt.Step(20))


def _share(arm: dict[str, Any]) -> dict[str, Any] | None:
    share = arm.get("withheld_rate")
    if not share or share["interval"] is None:
        return None
    told = [arm["model"], arm["region"], *(arm[name] for name in ("persona",) if arm[name] != "none"), arm["language"]]
    low, high = share["interval"]
    return {"what": " · ".join(told), "region": arm["region"], "rate": share["rate"], "low": low, "high": high}


def _compared(finding: dict[str, Any]) -> str:
    told = [finding[name] for name in ("model", "region", "persona", "language") if finding[name]]
    return " · ".join([*(told or ["all"]), f"{finding['groups'][0]} → {finding['groups'][1]}"])


def _wide() -> alt.Axis:
    return alt.Axis(labelLimit=420)


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _drawn(title: str, chart: Chart) -> dict[str, str]:
    return {"title": title, "svg": vl_convert.vegalite_to_svg(chart.to_dict(), allowed_base_urls=[])}


if __name__ == "__main__":
    json.dump(charts(json.load(sys.stdin)), sys.stdout)
