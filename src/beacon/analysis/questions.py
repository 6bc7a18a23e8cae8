"""Single questions on which regions of one model differ.

Only with two repeats or more: with one, a question has no noise of its own to be held against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from beacon.analysis.cells import Cells, Tally
from beacon.analysis.circumstances import Circumstances
from beacon.analysis.comparison import REGIONAL
from beacon.analysis.family import call_of, holm, q_values
from beacon.analysis.finding import Finding, finding_id
from beacon.analysis.measure import RateMeasure
from beacon.analysis.omnibus import Arm, QuestionPair, omnibus_p, question_pair
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.telling import telling_pairs
from beacon.analysis.words import percent, points, probability


@dataclass(frozen=True, slots=True)
class QuestionTest:
    """One question of one model: its regions' counts, and the test that all are alike."""

    model: str
    question: str
    arms: dict[str, Arm]
    p: float
    q: float


def question_family(measure: str) -> str:
    return f"{measure}/region/question"


def question_tests(cells: Cells, tally: Tally, settings: AnalysisSettings) -> list[QuestionTest]:
    """The family of all questions of all models; a region's count is summed over what else was varied, apart
    from the regional persona, whose prompt is not the same everywhere."""
    counts: dict[tuple[str, str], dict[str, Arm]] = {}
    repeated = False
    for cell in cells:
        k, n = tally[cell].k, tally[cell].n
        repeated = repeated or len(cells[cell].executions) > 1
        if cell.persona != REGIONAL and n:
            arms = counts.setdefault((cell.model, cell.question), {})
            before = arms.get(cell.region, (0, 0))
            arms[cell.region] = (before[0] + k, before[1] + n)
    if not repeated or "region" not in settings.factors:
        return []
    keys = sorted(key for key, arms in counts.items() if len(arms) > 1)
    p_values = [omnibus_p(list(counts[key].values()), settings.draws, settings.seed) for key in keys]
    return [
        QuestionTest(model, question, counts[model, question], p, q)
        for (model, question), p, q in zip(keys, p_values, q_values(p_values), strict=True)
    ]


def question_findings(
    tests: list[QuestionTest],
    measure: RateMeasure,
    around: Mapping[tuple[str, tuple[str, str]], Circumstances],
    cells: Cells,
    tally: Tally,
    settings: AnalysisSettings,
) -> list[Finding]:
    """The pairs of regions that differ, on the questions where anything does.

    A pair's q is Holm's p within its question, times the share of questions that were selected (Benjamini and
    Bogomolov 2014), and never below the question's own q. `around` holds what else differs between two
    regions of a model.
    """
    selected = [test for test in tests if test.q <= settings.alpha]
    found = []
    for test in selected:
        pairs = list(combinations(settings.in_order("region", set(test.arms)), 2))
        results = [
            question_pair(test.arms[a], test.arms[b], settings.alpha, settings.draws, settings.seed) for a, b in pairs
        ]
        adjusted = holm([result.p for result in results])
        for groups, result, p_holm in zip(pairs, results, adjusted, strict=True):
            q = min(1.0, max(test.q, p_holm * len(tests) / len(selected)))
            if q <= settings.alpha:
                found.append(_finding(test, result, q, measure, around[test.model, groups], cells, tally, settings))
    return found


def _finding(
    test: QuestionTest,
    result: QuestionPair,
    q: float,
    measure: RateMeasure,
    around: Circumstances,
    cells: Cells,
    tally: Tally,
    settings: AnalysisSettings,
) -> Finding:
    comparison, groups = around.comparison, around.comparison.groups
    (ka, na), (kb, nb) = test.arms[groups[0]], test.arms[groups[1]]
    up, down = int(result.effect > 0), int(result.effect < 0)
    context = (test.model, None, None, None, test.question)
    return Finding(
        id=finding_id("region", "question", measure.name, *context, *sorted(groups)),
        factor="region",
        level="question",
        family=question_family(measure.name),
        measure=measure.name,
        model=test.model,
        region=None,
        persona=None,
        language=None,
        question=test.question,
        groups=groups,
        effect=result.effect,
        interval=result.interval,
        interval_pack=None,
        p=result.p,
        q=q,
        n=(na, nb),
        in_class=(ka, kb),
        rates=(ka / na, kb / nb),
        clusters=1,
        clusters_up=up,
        clusters_down=down,
        clusters_equal=1 - up - down,
        call=call_of(q, result.interval, alpha=settings.alpha, smallest_effect=settings.smallest_effect),
        sentence=around.told_first(is_difference=True) + _sentence(test, groups, result, q, measure, settings),
        caveats=(*around.caveats, *around.start_caveats),
        confounded_with=around.confounded_with,
        routes=around.routes,
        telling=telling_pairs(comparison, cells, tally, measure, result.effect, test.question),
    )


def _sentence(
    test: QuestionTest,
    groups: tuple[str, str],
    result: QuestionPair,
    q: float,
    measure: RateMeasure,
    settings: AnalysisSettings,
) -> str:
    low, high = result.interval
    more, less = groups[1], groups[0]
    if result.effect < 0:
        low, high, more, less = -high, -low, less, more
    (k_more, n_more), (k_less, n_less) = test.arms[more], test.arms[less]
    return (
        f"On question {test.question} {test.model} {measure.did} {points(abs(result.effect))} points "
        f"more often in {more} than in {less} ({k_more} of {n_more} against {k_less} of {n_less} answers; "
        f"{percent(1 - settings.alpha)} interval {points(low)} to {points(high)}; {probability('q', q)})."
    )
