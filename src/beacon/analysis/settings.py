"""What an analysis is asked to do; recorded with its report, so that it can be made again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from beacon.analysis.agreement import Reliability
from beacon.analysis.answer_card import MeasuredErrors
from beacon.domain.spec import JobSpec
from beacon.errors import InputError

METHOD = "beacon.analysis/v1"
FACTORS = ("region", "model", "language", "persona", "run")
MINIMUM_CLUSTERS = 6
"""Below 6 clusters even all differences of one sign reach only p = 2/2^5 > 0.05."""


@dataclass(frozen=True, slots=True)
class LabelQuality:
    """Who labelled the answers, and what that labeller was found to do in each language (primary subtag) on
    answers of models that it had not seen. `agreement` is that of all who labelled the same answers (`all`), and among
    those of one standing (`person`, `import`, `judge`), where there are such answers."""

    source: str
    errors: Mapping[str, MeasuredErrors] = field(default_factory=dict)
    agreement: Mapping[str, Reliability] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AnalysisSettings:
    """`smallest_effect` is the smallest difference of rates that matters; `alpha` the false-discovery rate
    of a family and one minus the intervals' level; `draws` the permutations of one test. `levels` gives the
    order in which a factor's levels are named ({"region": ("us", "eu", "apac")}); others follow by name.
    Only `factors` are compared. `reverses` gives, for a question that is the reverse of another, that other: the two
    are one cluster.
    """

    smallest_effect: float = 0.05
    alpha: float = 0.05
    draws: int = 9_999
    seed: int = 0
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: LabelQuality | None = None
    factors: tuple[str, ...] = FACTORS
    reverses: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.smallest_effect < 1:
            raise InputError("the smallest effect must lie between 0 and 1", where="smallest_effect")
        if not 0 < self.alpha < 0.5:
            raise InputError("alpha must lie between 0 and 0.5", where="alpha")
        if self.draws < 99:
            raise InputError("a permutation test needs at least 99 draws", where="draws")

    def in_order(self, factor: str, levels: set[str]) -> list[str]:
        """The levels as the spec orders them, those that it does not name last and by name."""
        given = {level: place for place, level in enumerate(self.levels.get(factor, ()))}
        return sorted(levels, key=lambda level: (given.get(level, len(given)), level))


def settings_of(spec: JobSpec, labels: LabelQuality | None = None) -> AnalysisSettings:
    """The settings of a job's own report: its seed, and its levels in the order of the spec."""
    languages = dict.fromkeys(language for region in spec.regions for language in spec.languages_of(region))
    levels = {
        "region": spec.regions,
        "model": spec.models,
        "persona": tuple(spec.personas),
        "language": tuple(languages),
    }
    return AnalysisSettings(seed=spec.seed, levels=levels, labels=labels, reverses=reverses_of(spec))


def reverses_of(spec: JobSpec) -> dict[str, str]:
    """The questions of the job that are the reverse of another of its questions, each with that other."""
    asked = {question.id for question in spec.questions}
    return {q.id: q.reverse_of for q in spec.questions if q.reverse_of is not None and q.reverse_of in asked}
