"""Seeds that find planted bugs: which is known, and the search for another.

python -m tests.simulation.seeds                 all anew, into seeds.json
python -m tests.simulation.seeds NAME...         these bugs'
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.bugs import BUGS, Bug
from tests.simulation.scenario import Scenario
from tests.simulation.simulate import kind_of, simulate

KNOWN = Path(__file__).parent / "seeds.json"
WITHIN = 80
"""Seeds in which a planted bug must be found."""


def known_seeds() -> dict[str, int]:
    """A seed that finds it, by the name of the bug; where behaviour changed since, it may do so no more."""
    seeds: dict[str, int] = json.loads(KNOWN.read_text())
    return seeds


def finding(bug: Bug, first: int | None = None) -> int | None:
    """A seed that finds the bug, `first` tried first; None where there is none among `WITHIN`."""
    return next((seed for seed in _tried(first) if finds(bug, seed)), None)


def finds(bug: Bug, seed: int) -> bool:
    with bug.planted():
        violations = simulate(seed, bug.favour).violations
    return not {kind_of(violation) for violation in violations}.isdisjoint(bug.kinds)


def _tried(first: int | None) -> Iterator[int]:
    """Small ones first."""
    if first is not None:
        yield first
    yield from sorted(range(WITHIN), key=lambda seed: Scenario(seed).total)


def main() -> int:
    """Writes a seed for each bug, or for those that are named; 1 where there is none for some."""
    missing = 0
    for name in sys.argv[1:] or list(BUGS):
        began = time.process_time()
        seed = finding(BUGS[name], known_seeds().get(name))
        spent = time.process_time() - began
        print(f"{name}: {'not found' if seed is None else seed} ({spent:.1f} s of CPU)", flush=True)
        missing += seed is None
        seeds = {known: number for known, number in known_seeds().items() if known in BUGS and known != name}
        _write(seeds if seed is None else {**seeds, name: seed})
    return 1 if missing else 0


def _write(seeds: dict[str, int]) -> None:
    KNOWN.write_text(json.dumps(dict(sorted(seeds.items())), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
