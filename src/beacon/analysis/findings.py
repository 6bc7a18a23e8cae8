"""Assessed comparisons as findings: the figures, the sentence, what speaks against it, and where to look."""

from __future__ import annotations

from collections.abc import Sequence

from beacon.analysis.assess import AssessedRate, AssessedText
from beacon.analysis.cells import Cells, Tally
from beacon.analysis.checks import Claim, check
from beacon.analysis.circumstances import Circumstances
from beacon.analysis.comparison import Comparison
from beacon.analysis.finding import Finding, finding_id
from beacon.analysis.measure import TEXT_DISTANCE
from beacon.analysis.sentence import Told, sentence, text_sentence
from beacon.analysis.settings import AnalysisSettings
from beacon.analysis.telling import telling_pairs
from beacon.analysis.words import counted, listed

WORDING_ONLY = "Only wording was compared: it differs between engines and settings too, and says nothing of content."

CLOSENESS_ONLY = (
    "Closeness is what the embedding model takes for it, which wording, length and language move too: it "
    "says that texts differ, not in what."
)


def rate_finding(
    assessed: AssessedRate,
    around: Circumstances,
    cells: Cells,
    tally: Tally,
    differing_questions: Sequence[str],
    settings: AnalysisSettings,
) -> Finding:
    """`differing_questions` are those on which these two groups were found to differ one by one."""
    comparison, test = assessed.comparison, assessed.test
    is_difference = assessed.call == "difference"
    checks = check(Claim(test.effect, is_difference), around, cells, tally, assessed.measure, settings)
    told = Told(
        did=assessed.measure.did,
        effect=test.effect,
        interval=test.interval,
        q=assessed.q,
        n=test.n,
        clusters=test.clusters,
        direction=test.direction,
        call=assessed.call,
        alpha=settings.alpha,
        smallest_effect=settings.smallest_effect,
    )
    aside = _single_questions(differing_questions, test.clusters) if not is_difference else ""
    return Finding(
        id=identify(comparison, assessed.measure.name),
        factor=comparison.factor,
        level=comparison.level,
        family=assessed.family,
        measure=assessed.measure.name,
        model=comparison.fixed("model"),
        region=comparison.fixed("region"),
        persona=comparison.fixed("persona"),
        language=comparison.fixed("language"),
        question=None,
        groups=comparison.groups,
        effect=test.effect,
        interval=test.interval,
        interval_pack=test.interval_pack,
        p=test.p,
        q=assessed.q,
        n=test.n,
        in_class=test.in_class,
        rates=test.rates,
        clusters=test.clusters,
        clusters_up=test.direction.up,
        clusters_down=test.direction.down,
        clusters_equal=test.direction.equal,
        call=assessed.call,
        sentence=around.told_first(is_difference=is_difference) + sentence(comparison, told) + aside,
        caveats=(*checks.caveats, *_left_out(assessed)),
        confounded_with=around.confounded_with,
        routes=around.routes,
        checks=checks.figures,
        telling=telling_pairs(comparison, cells, tally, assessed.measure, test.effect) if is_difference else (),
    )


def text_finding(assessed: AssessedText, around: Circumstances, settings: AnalysisSettings) -> Finding:
    comparison, test = assessed.comparison, assessed.test
    wording = assessed.measure == TEXT_DISTANCE
    words = text_sentence(comparison, test, assessed.q, assessed.call, settings.alpha, wording=wording)
    return Finding(
        id=identify(comparison, assessed.measure),
        factor=comparison.factor,
        level=comparison.level,
        family=assessed.family,
        measure=assessed.measure,
        model=comparison.fixed("model"),
        region=comparison.fixed("region"),
        persona=comparison.fixed("persona"),
        language=comparison.fixed("language"),
        question=None,
        groups=comparison.groups,
        effect=test.effect,
        interval=test.interval,
        interval_pack=None,
        p=test.p,
        q=assessed.q,
        n=test.n,
        in_class=None,
        rates=None,
        clusters=test.clusters,
        clusters_up=test.direction.up,
        clusters_down=test.direction.down,
        clusters_equal=test.direction.equal,
        call=assessed.call,
        sentence=around.told_first(is_difference=assessed.call == "difference") + words,
        caveats=(*around.caveats, WORDING_ONLY if wording else CLOSENESS_ONLY, *around.start_caveats),
        confounded_with=around.confounded_with,
        routes=around.routes,
        checks={"between": test.between, "within": list(test.within)},
    )


def identify(comparison: Comparison, measure: str) -> str:
    context = [comparison.fixed(name) for name in ("model", "region", "persona", "language")]
    return finding_id(comparison.factor, comparison.level, measure, *context, None, *sorted(comparison.groups))


def _single_questions(differing: Sequence[str], of: int) -> str:
    if not differing:
        return ""
    return f" It differs on {len(differing)} of {counted(of, 'question')}; no consistent direction over them was shown."


def _left_out(assessed: AssessedRate) -> list[str]:
    names = assessed.table.left_out
    if not names:
        return []
    noun = "question" if assessed.comparison.level == "overall" else "model"
    return [f"Left out, without an answer in one group: {counted(len(names), noun)} ({listed(names)})."]
