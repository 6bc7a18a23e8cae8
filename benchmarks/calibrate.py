"""How often the findings are wrong, and how often they find what is there: `make calibrate`.

Simulates jobs of many shapes with a known truth and prints, for each, what the report would have said. The
last lines hold the figures against what docs/method.md promises; the exit code is 1 where one is missed.

    python benchmarks/calibrate.py                     all shapes, 4,000 jobs each
    python benchmarks/calibrate.py --jobs 2 --per-shape 500 --only null
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from beacon.analysis.calibration import LEVELS, Shape, Tally, simulate
from beacon.analysis.power import Design, smallest_effect

UNEVEN = (0.0, 0.1, 0.3)
NONE = (0.0, 0.0, 0.0)
BLOCK = 100


@dataclass(frozen=True)
class Case:
    """A shape with its kind, which says what is promised of it."""

    kind: str
    shape: Shape
    draws: int


def cases(only: str | None) -> list[Case]:
    found = [*_null(), *_interaction(), *_effects(), *_power()]
    return [case for case in found if only is None or case.kind == only]


def _null() -> Iterator[Case]:
    for questions in (10, 30, 60):
        for repeats in (1, 2, 5, 20):
            for rate in (0.02, 0.1, 0.5, 0.98):
                for missing in (NONE, UNEVEN) if repeats in {2, 20} else (NONE,):
                    yield Case("null", Shape(questions, repeats, rate, missing), 199)


def _interaction() -> Iterator[Case]:
    for questions in (10, 30, 60):
        for rate, missing in ((0.1, NONE), (0.5, NONE), (0.5, UNEVEN)):
            yield Case("interaction", Shape(questions, 20, rate, missing, interaction=1.0), 199)


def _effects() -> Iterator[Case]:
    """One region has another rate: for coverage, and for false discoveries beside real ones."""
    for questions in (10, 30, 60):
        for rate, shifted in ((0.02, 0.1), (0.1, 0.25), (0.5, 0.65)):
            for repeats in (2, 5, 20):
                yield Case("effect", Shape(questions, repeats, rate, UNEVEN, shifted), 199)
            yield Case("effect", Shape(questions, 5, rate, UNEVEN, shifted, models=3), 999)


def _power() -> Iterator[Case]:
    """Exactly the difference that the plan calls the smallest to be found."""
    for questions in (10, 30, 60):
        for rate in (0.02, 0.1, 0.5):
            for repeats, models in ((2, 1), (5, 1), (20, 1), (5, 3)):
                effect = smallest_effect(Design(questions, repeats, 3 * models), rate)
                if effect is not None:
                    shape = Shape(questions, repeats, rate, NONE, rate + effect, models=models)
                    yield Case("power", shape, 199 if models == 1 else 999)


def _block(task: tuple[int, Case, int, int]) -> tuple[int, Tally]:
    index, case, jobs, seed = task
    return index, simulate(case.shape, jobs, draws=case.draws, seed=seed)


def run(chosen: list[Case], per_shape: int, workers: int) -> Iterator[tuple[Case, Tally]]:
    """Each case with its tally as soon as all of its blocks are in, in order."""
    blocks = math.ceil(per_shape / BLOCK)
    tasks = [
        (index, case, min(BLOCK, per_shape - block * BLOCK), 1_000_003 * index + 7919 * block)
        for index, case in enumerate(chosen)
        for block in range(blocks)
    ]
    total, left = Tally(), blocks
    with ProcessPoolExecutor(workers) as pool:
        for index, tally in pool.map(_block, tasks):
            total.add(tally)
            left -= 1
            if left == 0:
                yield chosen[index], total
                total, left = Tally(), blocks


def line(case: Case, tally: Tally) -> str:
    parts = [f"{case.kind:11} {case.shape!s:58}"]
    parts.append(f"any {tally.any_finding / tally.jobs:.3f}")
    if tally.null_pairs:
        shares = " ".join(f"{tally.small_p[level] / tally.null_pairs / level:.2f}" for level in LEVELS)
        parts.append(f"P(p<=a)/a {shares}")
    if tally.real:
        parts.append(f"power {tally.found / tally.real:.3f} fdr {tally.false_share / tally.jobs:.3f}")
    parts.append(f"cover pack {tally.covers_pack / tally.pairs:.3f} all {tally.covers_population / tally.pairs:.3f}")
    if tally.pack_intervals:
        parts.append(f"interval_pack {tally.pack_interval_covers / tally.pack_intervals:.3f}")
    return "  ".join(parts)


@dataclass
class Promise:
    """The worst value over all shapes that a promise is about, and where it came."""

    text: str
    met: bool = True
    worst: float | None = None
    where: str = "no shape"

    def see(self, value: float, limit: float, *, at_most: bool, where: str) -> None:
        worse = self.worst is None or (value > self.worst if at_most else value < self.worst)
        if worse:
            self.worst, self.where = value, where
        self.met = self.met and (value <= limit if at_most else value >= limit)


COVERAGE_ALL = {10: 0.87, 30: 0.90, 60: 0.92}


def judge(results: Iterable[tuple[Case, Tally]]) -> list[Promise]:
    null = Promise("any finding without an effect <= 0.065")
    alive = Promise("any finding without an effect >= 0.025 at rate 0.5, Q >= 30, R >= 5")
    uniform = Promise("P(p <= a) - a <= 3 standard errors without an effect (here in standard errors)")
    fdr = Promise("share of false discoveries <= 0.05")
    power = Promise("power at the plan's smallest effect >= 0.78")
    modest = Promise("power at the plan's smallest effect <= 0.95 at rates 0.1 and 0.5")
    pack = Promise("interval covers the pack's average >= 0.94")
    everywhere = {
        q: Promise(f"interval covers such questions' average >= {c:g}, Q = {q}") for q, c in COVERAGE_ALL.items()
    }
    contradictions = Promise("no call contradicts its interval")
    for case, tally in results:
        shape, where = case.shape, f"{case.kind} {case.shape}"
        contradictions.see(tally.contradictions, 0, at_most=True, where=where)
        pack.see(tally.covers_pack / tally.pairs, 0.94, at_most=False, where=where)
        limit = COVERAGE_ALL[shape.questions]
        everywhere[shape.questions].see(tally.covers_population / tally.pairs, limit, at_most=False, where=where)
        if case.kind in {"null", "interaction"}:
            share = tally.any_finding / tally.jobs
            null.see(share, 0.065, at_most=True, where=where)
            if case.kind == "null":
                if shape.rate == 0.5 and shape.questions >= 30 and shape.repeats >= 5:
                    alive.see(share, 0.025, at_most=False, where=where)
                for level in LEVELS:
                    error = math.sqrt(level * (1 - level) / tally.jobs)
                    over = (tally.small_p[level] / tally.null_pairs - level) / error
                    uniform.see(over, 3, at_most=True, where=f"{where}, a = {level}")
        else:
            fdr.see(tally.false_share / tally.jobs, 0.05, at_most=True, where=where)
        if case.kind == "power":
            share = tally.found / tally.real
            power.see(share, 0.78, at_most=False, where=where)
            if shape.rate >= 0.1:
                modest.see(share, 0.95, at_most=True, where=where)
    return [null, alive, uniform, fdr, power, modest, pack, *everywhere.values(), contradictions]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure null rates, power and coverage of the findings.")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default 2)")
    parser.add_argument("--per-shape", type=int, default=4_000, help="simulated jobs a shape (default 4000)")
    parser.add_argument("--only", choices=["null", "interaction", "effect", "power"], help="one kind of shape")
    arguments = parser.parse_args()
    started = time.perf_counter()
    results = []
    for case, tally in run(cases(arguments.only), arguments.per_shape, arguments.jobs):
        results.append((case, tally))
        print(line(case, tally), flush=True)
    print(f"\n{len(results)} shapes, {arguments.per_shape} jobs each, {time.perf_counter() - started:.0f} s")
    promises = [promise for promise in judge(results) if promise.worst is not None]
    for promise in promises:
        verdict = "ok    " if promise.met else "MISSED"
        print(f"{verdict} {promise.text}: worst {promise.worst:.3f} ({promise.where})")
    return 0 if all(promise.met for promise in promises) else 1


if __name__ == "__main__":
    sys.exit(main())
