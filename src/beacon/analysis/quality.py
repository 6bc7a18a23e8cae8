"""What a reader must know of the data before the findings: what is missing, simulated, unknown."""

from __future__ import annotations

from collections import Counter
from typing import Any

from beacon.analysis.observation import Observation
from beacon.analysis.words import counted, listed


def data_quality(observations: list[Observation]) -> dict[str, Any]:
    total = len(observations)
    missing = [o for o in observations if not o.answered]
    return {
        "executions": total,
        "answers": total - len(missing),
        "missing": len(missing),
        "missing_by": _missing_by(missing),
        "common_failures": _common_failures(observations),
        "label_sources": dict(sorted(Counter(o.label_source for o in observations if o.label_source).items())),
        "disputed": sum(1 for o in missing if o.disputed),
        "unclassified": sum(1 for o in observations if o.status == "completed" and o.label is None),
        "status": dict(sorted(Counter(o.status for o in observations).items())),
        "failures": dict(sorted(Counter(o.kind for o in observations if o.kind is not None).items())),
        "flags": dict(sorted(Counter(flag for o in observations for flag in o.flags).items())),
        "simulated": sum(1 for o in observations if o.simulated),
        "replayed": sum(1 for o in observations if o.replayed),
        "region_evidence": dict(sorted(Counter(o.region_evidence for o in observations).items())),
        "upstream_unknown": sum(1 for o in observations if o.answered and o.upstream is None),
        "model_echo_unknown": sum(1 for o in observations if o.answered and o.model_echoed is None),
        "start_unknown": sum(1 for o in observations if o.answered and o.started_at is None),
        "repeats": 1
        + max((o.repeat for o in observations), default=0)
        - min((o.repeat for o in observations), default=0),
    }


def _missing_by(missing: list[Observation]) -> list[dict[str, Any]]:
    counts = Counter((o.model, o.region, _why(o)) for o in missing)
    return [
        {"model": model, "region": region, "reason": reason, "count": count}
        for (model, region, reason), count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    ]


COMMON = 0.05
"""Of every region's executions: a failure that ends as many everywhere is not one region's."""


def _common_failures(observations: list[Observation]) -> list[dict[str, Any]]:
    """By model, the reasons for which every region misses at least COMMON of its answers."""
    planned: dict[str, Counter[str]] = {}
    gone: dict[tuple[str, str], Counter[str]] = {}
    for o in observations:
        planned.setdefault(o.model, Counter())[o.region] += 1
        if not o.answered:
            gone.setdefault((o.model, _why(o)), Counter())[o.region] += 1
    return [
        {"model": model, "reason": reason, "missing": dict(sorted(counts.items()))}
        for (model, reason), counts in sorted(gone.items())
        if len(planned[model]) > 1 and all(counts[region] >= COMMON * of for region, of in planned[model].items())
    ]


def _why(observation: Observation) -> str:
    if observation.status == "completed":
        return "disputed" if observation.disputed else observation.label or "unclassified"
    return observation.kind or observation.status


def notices(quality: dict[str, Any]) -> list[str]:
    """Sentences that stand above all findings."""
    told = []
    if quality["simulated"]:
        told.append(
            f"{counted(quality['simulated'], 'execution')} of {quality['executions']:,} came from simulated "
            "providers: nothing here is a statement about a real model."
        )
    if quality["replayed"]:
        told.append(
            f"{counted(quality['replayed'], 'execution')} of {quality['executions']:,} replay answers recorded earlier."
        )
    if quality["missing"]:
        worst = [
            f"{row['count']} of {row['model']} in {row['region']} ({row['reason']})" for row in quality["missing_by"]
        ]
        told.append(
            f"{counted(quality['missing'], 'execution')} of {quality['executions']:,} without an answer "
            f"that could be classified: {listed(worst, most=4)}."
        )
    for row in quality["common_failures"]:
        where = listed([f"{count} in {region}" for region, count in row["missing"].items()])
        told.append(f"In every region executions of {row['model']} ended as {row['reason']}: {where}.")
    if quality["unclassified"]:
        told.append(f"{counted(quality['unclassified'], 'answer')} not classified, counted as missing.")
    if quality["disputed"]:
        told.append(f"{counted(quality['disputed'], 'answer')} with disputed labels, counted as missing: nobody votes.")
    return told
