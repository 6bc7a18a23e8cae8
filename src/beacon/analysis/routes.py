"""Who really served the arms of a comparison, whether that differs, and what is left of a difference within.

Compared are the upstream hosts and the models that they say they served. Where hosts are not known, providers
stand for them, but not between regions: a provider serves one region only, so that its name says nothing.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from beacon.analysis.comparison import Comparison
from beacon.analysis.draws import Bits, p_value
from beacon.analysis.measure import RateMeasure
from beacon.analysis.observation import Observation
from beacon.analysis.pair import TIE
from beacon.analysis.relabel import ways_to_sum

DIFFERENT = 0.05
"""Mixes that differ with a smaller p are different routes."""

INSEPARABLE = 0.25
"""Where shared upstreams hold less than this share of the comparison's information, nothing can be said
within them."""

SMALL = 200
EXACT = 1_000

Arms = tuple[list[Observation], list[Observation]]
Shares = tuple[tuple[str | None, int], ...]
Spread = Counter[str | None]


@dataclass(frozen=True, slots=True)
class Mix:
    """How the answers of both arms spread over the values of one attribute, None where it is not known.

    `p` is of the test that both arms have one mix, among the known; None where an arm has none known.
    """

    attribute: str
    shares: tuple[Shares, Shares]
    p: float | None

    @property
    def differs(self) -> bool:
        return self.p is not None and self.p <= DIFFERENT

    @property
    def unknown(self) -> bool:
        return self.p is None


def mixes(comparison: Comparison, arms: Arms, seed: int) -> list[Mix]:
    """Of upstream hosts and, where they can tell something, of model echoes and providers."""
    found = [_mix("upstream", lambda o: o.upstream, comparison, arms, seed)]
    if comparison.factor != "model":
        found.append(_mix("model_echoed", lambda o: o.model_echoed, comparison, arms, seed))
    if comparison.factor != "region" and found[0].unknown:
        found.append(_mix("provider", lambda o: o.provider, comparison, arms, seed))
    return found


def _mix(name: str, of: Callable[[Observation], str | None], comparison: Comparison, arms: Arms, seed: int) -> Mix:
    """Where models are pooled, each is tested, and Simes (1986) makes one p of theirs."""
    counts = Counter(map(of, arms[0])), Counter(map(of, arms[1]))
    tested = [counts] if comparison.level == "overall" else _by_model(of, arms)
    p_values = sorted(p for pair in tested if (p := _mix_p(pair, seed)) is not None)
    p = min((p * len(p_values) / rank for rank, p in enumerate(p_values, start=1)), default=None)
    return Mix(name, (_ranked(counts[0]), _ranked(counts[1])), p)


def _by_model(of: Callable[[Observation], str | None], arms: Arms) -> list[tuple[Spread, Spread]]:
    models: dict[str, tuple[Spread, Spread]] = {}
    for arm, observations in enumerate(arms):
        for observation in observations:
            models.setdefault(observation.model, (Counter(), Counter()))[arm][of(observation)] += 1
    return list(models.values())


def _ranked(counts: Spread) -> Shares:
    return tuple(sorted(counts.items(), key=lambda item: (-item[1], item[0] or "")))


def _mix_p(counts: tuple[Spread, Spread], seed: int) -> float | None:
    """Permutation of the arms' labels over all answers whose value is known; statistic: Pearson's."""
    values = sorted({value for count in counts for value in count if value is not None})
    columns = sorted((counts[0][value], counts[1][value]) for value in values)
    na, nb = sum(a for a, _ in columns), sum(b for _, b in columns)
    if not na or not nb:
        return None
    if len(columns) == 1:
        return 1.0
    mirrored = sorted((b, a) for a, b in columns)
    return _columns_p(mirrored, nb, seed) if mirrored < columns else _columns_p(columns, na, seed)


def _columns_p(columns: Sequence[tuple[int, int]], na: int, seed: int) -> float:
    sizes = np.array([a + b for a, b in columns])
    total = int(sizes.sum())
    count = 999 if total <= SMALL else 199
    keys = Bits("mix", seed, columns).keys(count, total)
    chosen = keys <= np.partition(keys, na - 1, axis=1)[:, na - 1 : na]
    edges = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    in_a = np.add.reduceat(chosen, edges, axis=1, dtype=np.int64)
    expected = sizes * (na / total)
    statistic = ((in_a - expected) ** 2 / expected).sum(axis=1)
    observed = float(((np.array([a for a, _ in columns]) - expected) ** 2 / expected).sum())
    return p_value(int(np.count_nonzero(statistic >= observed * (1 - TIE))), count)


@dataclass(frozen=True, slots=True)
class Within:
    """The comparison among answers of the same upstream host.

    `overlap` is the share of the comparison's information that shared hosts hold: the sum over hosts of
    na nb/(na + nb), against the same of the whole arms. `effect` is the difference of rates weighted by it
    (Mantel and Haenszel 1959), `p` of the exact test of it.
    """

    overlap: float
    effect: float | None
    p: float | None

    @property
    def inseparable(self) -> bool:
        return self.overlap < INSEPARABLE

    def holds(self, effect: float) -> bool:
        """Whether a difference in the direction of `effect` is shown among answers of the same host."""
        if self.inseparable or self.p is None or self.effect is None:
            return False
        return self.p <= DIFFERENT and self.effect * effect > 0


def within_upstreams(comparison: Comparison, arms: Arms, measure: RateMeasure) -> Within | None:
    """Among answers of the same host to the same model under the same persona; None where fewer than two such
    strata are known: there is nothing to look within."""
    alike = [name for name in ("model", "persona") if name != comparison.factor]
    hosts: dict[tuple[str, ...], list[int]] = {}
    for arm, observations in enumerate(arms):
        for observation in observations:
            if observation.upstream is not None:
                stratum = (observation.upstream, *(getattr(observation, name) for name in alike))
                table = hosts.setdefault(stratum, [0, 0, 0, 0])
                table[2 * arm] += measure.holds(observation)
                table[2 * arm + 1] += 1
    if len(hosts) < 2:
        return None
    shared = [(ka, na, kb, nb) for ka, na, kb, nb in hosts.values() if na and nb]
    na, nb = (sum(table[place] for table in hosts.values()) for place in (1, 3))
    if not na or not nb:
        return None
    weight = sum(a * b / (a + b) for _, a, _, b in shared)
    overlap = weight / (na * nb / (na + nb))
    if not shared:
        return Within(overlap, None, None)
    effect = sum((kb / b - ka / a) * a * b / (a + b) for ka, a, kb, b in shared) / weight
    return Within(overlap, effect, stratified_p(shared))


def stratified_p(strata: Sequence[tuple[int, int, int, int]]) -> float:
    """Two-sided test of no difference in any stratum (ka, na, kb, nb), by the sum of kb.

    Exact up to EXACT answers (outcomes no likelier than the one seen); beyond by its normal approximation.
    """
    observed = sum(kb for _, _, kb, _ in strata)
    if sum(na + nb for _, na, _, nb in strata) <= EXACT:
        ways = ways_to_sum([(ka + kb, nb, na) for ka, na, kb, nb in strata])
        seen = ways[observed]
        return sum(count for count in ways.values() if count <= seen) / sum(ways.values())
    expected = variance = 0.0
    for ka, na, kb, nb in strata:
        k, n = ka + kb, na + nb
        expected += k * nb / n
        variance += k * (n - k) * na * nb / (n * n * (n - 1)) if n > 1 else 0.0
    if variance == 0:
        return 1.0
    return 2 * NormalDist().cdf(-max(0.0, abs(observed - expected) - 0.5) / math.sqrt(variance))
