"""`make simulate`: many seeds in all cores' processes, and what was broken in any of them.

python -m tests.simulation.simulate --jobs 10000      from a fresh seed, which is printed
python -m tests.simulation.simulate --seed 7          one seed alone, with its history

Of ten seeds, five have a trouble of their own that chance brings about too rarely (`FAVOURED`).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from tests.simulation.checker import KINDS, check
from tests.simulation.world import World

PRINTED = ("lost", "duplicate", "early-complete", "stuck", "cross-cell")
AT_ONCE = 8
"""Seeds that a process takes at a time."""
MOST_SHOWN = 10
TOLD_EVERY = 100
FAVOURED = {1: "late", 3: "zombies", 5: "disk", 7: "jumps", 9: "limits"}
"""By a seed's last digit, what `Scenario` favours in it."""


@dataclass(frozen=True)
class Outcome:
    seed: int
    jobs: int
    executions: int
    violations: tuple[str, ...]


def simulate(seed: int, favour: str | None = None) -> Outcome:
    """Runs and checks one seed."""
    world = World(seed, favour)
    world.run()
    violations = tuple(check(world))
    return Outcome(seed, len(world.scenario.jobs), world.scenario.total, violations)


def history(seed: int, favour: str | None = None) -> tuple[list[str], list[str]]:
    """Everything that happened in a seed, and what was wrong in it."""
    world = World(seed, favour)
    world.run()
    return world.history, check(world)


def kind_of(violation: str) -> str:
    return violation.partition(":")[0]


def of_many(seed: int) -> Outcome:
    """One seed of a run of many."""
    return simulate(seed, FAVOURED.get(seed % 10))


def _many(first: int, jobs: int) -> Iterator[Outcome]:
    """Seeds from `first` on until so many jobs have run."""
    done = 0
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        for outcome in pool.imap_unordered(of_many, range(first, first + 10 * jobs), AT_ONCE):
            yield outcome
            done += outcome.jobs
            if done >= jobs:
                return


def run_many(first: int, jobs: int) -> int:
    """Prints what was found; 0 where nothing was, else 1."""
    print(f"simulating {jobs} jobs, seeds from {first} on", flush=True)
    began, seeds, ran, executions = time.monotonic(), 0, 0, 0
    found: Counter[str] = Counter()
    bad: list[Outcome] = []
    for outcome in _many(first, jobs):
        seeds, ran, executions = seeds + 1, ran + outcome.jobs, executions + outcome.executions
        if outcome.violations:
            bad.append(outcome)
            found.update(map(kind_of, outcome.violations))
            if len(bad) <= MOST_SHOWN:
                _show(outcome)
        if seeds % TOLD_EVERY == 0:
            print(f"{ran} jobs so far, {len(bad)} seeds with violations", file=sys.stderr, flush=True)
    spent = time.monotonic() - began
    print(f"{ran} jobs of {executions / ran:.1f} executions on average, {seeds} seeds, {seeds / spent:.1f} seeds/s")
    print("  ".join(f"{kind} {found[kind]}" for kind in PRINTED))
    print("  ".join(f"{kind} {found[kind]}" for kind in KINDS if kind not in PRINTED))
    return 1 if bad else 0


def _show(outcome: Outcome) -> None:
    favour = FAVOURED.get(outcome.seed % 10)
    more = f" ARGS='--favour {favour}'" if favour else ""
    print(f"seed {outcome.seed}: {outcome.violations[0]}")
    print(f"  again, alone, with its history: make simulate SEED={outcome.seed}{more}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000)
    parser.add_argument("--first", type=int, help="the first seed; without it a fresh one")
    parser.add_argument("--seed", type=int, help="this seed alone, with its history")
    parser.add_argument(
        "--favour", choices=sorted(FAVOURED.values()), help="what the seed alone is to have for certain"
    )
    options = parser.parse_args()
    if options.seed is not None:
        told, violations = history(options.seed, options.favour)
        print("\n".join(told))
        print("\n".join(violations) or "nothing is wrong")
        return 1 if violations else 0
    first = random.SystemRandom().randrange(10**9) if options.first is None else options.first
    return run_many(first, options.jobs)


if __name__ == "__main__":
    sys.exit(main())
