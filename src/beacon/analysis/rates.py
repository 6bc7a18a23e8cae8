"""How often each class of answer came, by cell and by arm, with the uncertainty of the shares."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from beacon.analysis.cells import Cells, wilson
from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Observation
from beacon.analysis.settings import AnalysisSettings

CLASSES = ("substantive", "evasive", "refusal", "empty", "missing")
ARM = ("model", "region", "persona", "language")


def class_of(observation: Observation) -> str:
    """The class of the answer; `missing` where there is none that has a class."""
    return str(observation.label) if observation.answered else "missing"


def _row(observations: Iterable[Observation], measures: tuple[RateMeasure, ...], alpha: float) -> dict[str, Any]:
    classes = Counter(class_of(observation) for observation in observations)
    answers = classes.total() - classes["missing"]
    shares: dict[str, Any] = {}
    for measure in measures:
        k = sum(classes[label] for label in measure.labels)
        interval = wilson(k, answers, alpha)
        shares[measure.name] = {
            "in_class": k,
            "rate": k / answers if answers else None,
            "interval": None if interval is None else list(interval),
        }
    counts = {name: classes[name] for name in CLASSES}
    return {"executions": classes.total(), "answers": answers, "classes": counts, **shares}


def cell_rates(cells: Cells, measures: tuple[RateMeasure, ...], settings: AnalysisSettings) -> list[dict[str, Any]]:
    return [
        {**cell._asdict(), **_row(recorded.executions, measures, settings.alpha)}
        for cell, recorded in sorted(cells.items())
    ]


def arm_rates(cells: Cells, measures: tuple[RateMeasure, ...], settings: AnalysisSettings) -> list[dict[str, Any]]:
    """By model, region, persona and language, over all questions."""
    arms: dict[tuple[str, ...], list[Observation]] = {}
    for cell, recorded in cells.items():
        arms.setdefault(tuple(getattr(cell, name) for name in ARM), []).extend(recorded.executions)
    return [{**dict(zip(ARM, arm, strict=True)), **_row(arms[arm], measures, settings.alpha)} for arm in sorted(arms)]
