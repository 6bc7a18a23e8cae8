"""Change over time: the same tests between two runs, by model and region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from beacon.analysis.observation import Observation
from beacon.analysis.report import Report, analyse
from beacon.analysis.settings import AnalysisSettings


def changes(
    before: Sequence[Observation],
    after: Sequence[Observation],
    settings: AnalysisSettings,
    *,
    names: tuple[str, str] = ("before", "after"),
) -> Report:
    """The findings of the factor `run`; `names` (dates, job ids) tell the runs apart in every sentence. Only
    what both runs asked is compared.

    Raises InputError where an execution stands in both runs.
    """
    named = [
        replace(observation, run=name)
        for name, observations in zip(names, (before, after), strict=True)
        for observation in observations
    ]
    return analyse(named, replace(settings, factors=("run",), levels={**settings.levels, "run": names}))
