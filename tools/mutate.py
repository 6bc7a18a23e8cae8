"""`make mutate`: small changes to the rules of states, retry and barrier, and what share of them the tests notice.

Works on a copy, by cosmic-ray. Changes to annotations, which nothing reads at run time, are left out. Ends with 1
where a module's score is below `LEAST`.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEAST = 85.0
BARRIER = ["tests/integration/store/test_group.py", "tests/integration/store/test_state_machine.py"]
TARGETS = {
    "src/beacon/domain/states.py": ["tests/unit/domain/test_states.py"],
    "src/beacon/runner/policy.py": ["tests/unit/runner/test_policy.py"],
    "src/beacon/store/ledger.py": BARRIER,
    "src/beacon/store/group_sqlite.py": BARRIER,
}
ON_SQLITE = "-k 'not postgres'"
TIMEOUT_S = 600.0
"""For the tests of one changed module."""
CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = {timeout}
excluded-modules = []
test-command = "{python} -m pytest -x -q -n 0 -p no:cacheprovider {options} {tests}"

[cosmic-ray.distributor]
name = "local"

[cosmic-ray.filters.operators-filter]
exclude-operators = [
  "core/ReplaceBinaryOperator_BitOr_.*",
  "core/RemoveDecorator",
]
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make mutate", description=__doc__)
    parser.add_argument("modules", nargs="*", help="parts of the modules' names; all without any")
    parser.add_argument("--keep", type=Path, help="a folder for the copy and the sessions, which stays")
    options = parser.parse_args()
    chosen = [module for module in TARGETS if not options.modules or any(part in module for part in options.modules)]
    with tempfile.TemporaryDirectory(prefix="beacon-mutate-") as folder:
        copy = (options.keep or Path(folder)) / "beacon"
        _copy(copy)
        scores = {module: _score(copy, module) for module in chosen}
    for module, (killed, total) in scores.items():
        print(f"{module}: {killed} of {total} changes noticed, {_percent(killed, total):.1f}%")
    killed, total = (sum(part) for part in zip(*scores.values(), strict=True))
    print(f"together: {killed} of {total}, {_percent(killed, total):.1f}%")
    return 0 if all(_percent(*score) >= LEAST for score in scores.values()) else 1


def _copy(to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for name in ("src", "tests", "examples"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "built"))
    shutil.copy(ROOT / "pyproject.toml", to)


def _score(copy: Path, module: str) -> tuple[int, int]:
    """How many changes were noticed, and of how many. Prints those that were not."""
    name = Path(module).stem
    session, config = copy / f"{name}.sqlite", copy / f"{name}.toml"
    options = ON_SQLITE if "integration" in TARGETS[module][0] else ""
    given = {"module": module, "timeout": TIMEOUT_S, "python": sys.executable, "options": options}
    config.write_text(CONFIG.format(**given, tests=" ".join(TARGETS[module])))
    for command in (
        ["cosmic_ray.cli", "init", config.name, session.name],
        ["cosmic_ray.tools.filters.operators_filter", session.name, config.name],
        ["cosmic_ray.cli", "baseline", config.name],
        ["cosmic_ray.cli", "exec", config.name, session.name],
    ):
        subprocess.run([sys.executable, "-m", *command], cwd=copy, env=_environment(copy), check=True)
    query = (
        "SELECT r.test_outcome, m.operator_name, m.start_pos_row, r.diff FROM work_results r "
        "JOIN mutation_specs m ON m.job_id = r.job_id WHERE r.worker_outcome = 'NORMAL'"
    )
    with sqlite3.connect(session) as connection:
        rows = connection.execute(query).fetchall()
    for outcome, operator, line, diff in rows:
        if outcome == "SURVIVED":
            print(f"{module}:{line} {operator} is not noticed\n{diff}")
    return sum(outcome != "SURVIVED" for outcome, *_ in rows), len(rows)


def _environment(copy: Path) -> dict[str, str]:
    """The copy before what is installed; no bytecode, whose time stamps are too coarse for quick changes."""
    before = os.environ.get("PYTHONPATH", "")
    path = os.pathsep.join(part for part in (str(copy / "src"), str(copy), before) if part)
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "BEACON_MUTATED": "1",  # nobody reads the smallest example
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy / ".h"),
    }


def _percent(killed: int, total: int) -> float:
    return 100.0 * killed / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main())
