"""`make mutate`: small changes to the rules of states, retry and barrier, and what share of them the tests notice.

Works on a copy. cosmic-ray makes the changes; each is tried in a fork of this process, which has imported what the
tests need beside Beacon. Changes to annotations, which nothing reads at run time, are left out. Ends with 1 where a
module's score is below `LEAST`.
"""

from __future__ import annotations

import argparse
import compileall
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from py_compile import PycInvalidationMode
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LEAST = 85.0
BARRIER = ["tests/integration/store/test_group.py", "tests/integration/store/test_state_machine.py"]
TARGETS = {
    "src/beacon/domain/states.py": ["tests/unit/domain/test_states.py"],
    "src/beacon/runner/policy.py": ["tests/unit/runner/test_policy.py"],
    "src/beacon/store/ledger.py": BARRIER,
    "src/beacon/store/group_sqlite.py": BARRIER,
}
TIMEOUT_S = 600.0
"""For the tests of one changed module, in seconds of the wall clock."""
PRELOADED = (
    *("pytest", "pytest_asyncio", "pytest_timeout", "xdist", "hypothesis.stateful"),
    *("sqlalchemy.ext.asyncio", "sqlalchemy.dialects.sqlite", "sqlalchemy.dialects.postgresql", "alembic.command"),
    *("aiohttp", "httptools", "procrastinate", "psycopg", "psycopg_pool", "pydantic", "structlog", "yaml"),
)
"""What no change touches: imported once."""
CONFIG = """
[cosmic-ray]
module-path = "{module}"
timeout = {timeout}
excluded-modules = []
test-command = ""

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
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only every N-th change, for an estimate")
    options = parser.parse_args()
    chosen = [module for module in TARGETS if not options.modules or any(part in module for part in options.modules)]
    for name in PRELOADED:
        import_module(name)
    with tempfile.TemporaryDirectory(prefix="beacon-mutate-") as folder:
        copy = (options.keep or Path(folder)).resolve() / "beacon"
        _copy(copy)
        _work_in(copy)
        scores = {module: _score(module, options.every) for module in chosen}
    for module, (killed, total) in scores.items():
        print(f"{module}: {killed} of {total} changes noticed, {_percent(killed, total):.1f}%")
    killed, total = (sum(part) for part in zip(*scores.values(), strict=True))
    print(f"together: {killed} of {total}, {_percent(killed, total):.1f}%")
    return 0 if all(_percent(*score) >= LEAST for score in scores.values()) else 1


def _copy(to: Path) -> None:
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for name in ("src", "tests", "examples", "benchmarks"):
        shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__", "built"))
    shutil.copy(ROOT / "pyproject.toml", to)
    # Checked by content: time stamps are too coarse for quick changes.
    compileall.compile_dir(to / "src", quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)


def _work_in(copy: Path) -> None:
    """From now on `beacon` and `tests` are the copy's."""
    os.chdir(copy)
    paths = [str(copy / "src"), str(copy)]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join([*paths, os.environ.get("PYTHONPATH", "")])
    os.environ["BEACON_MUTATED"] = "1"  # nobody reads the smallest example
    os.environ["HYPOTHESIS_STORAGE_DIRECTORY"] = str(copy / ".h")


def _score(module: str, every: int) -> tuple[int, int]:
    """How many changes were noticed, and of how many. Prints those that were not."""
    name = Path(module).stem
    Path(f"{name}.toml").write_text(CONFIG.format(module=module, timeout=TIMEOUT_S))
    for command in (
        ["cosmic_ray.cli", "init", f"{name}.toml", f"{name}.sqlite"],
        ["cosmic_ray.tools.filters.operators_filter", f"{name}.sqlite", f"{name}.toml"],
    ):
        subprocess.run([sys.executable, "-m", *command], check=True)
    if not _pass(TARGETS[module]):
        raise SystemExit(f"the tests of {module} fail without any change: {' '.join(TARGETS[module])}")
    changes = _changes(Path(f"{name}.sqlite"))[::every]
    noticed = [_is_noticed(module, TARGETS[module], *change) for change in changes]
    return sum(noticed), len(changes)


def _changes(session: Path) -> list[tuple[str, int, int]]:
    """Operator, occurrence and line of each change that was not left out."""
    query = (
        "SELECT operator_name, occurrence, start_pos_row FROM mutation_specs "
        "WHERE job_id NOT IN (SELECT job_id FROM work_results) ORDER BY start_pos_row, operator_name, occurrence"
    )
    with sqlite3.connect(session) as connection:
        return connection.execute(query).fetchall()


def _is_noticed(module: str, tests: list[str], operator: str, occurrence: int, line: int) -> bool:
    # Imported on demand: only `make mutate` installs it.
    mutating: Any = import_module("cosmic_ray.mutating")
    plugins: Any = import_module("cosmic_ray.plugins")
    with mutating.use_mutation(Path(module), plugins.get_operator(operator)(), occurrence) as (before, after):
        if not _pass(tests):
            return True
    changed = [new for old, new in zip(before.splitlines(), after.splitlines(), strict=False) if old != new]
    print(f"{module}:{line} {operator} is not noticed: {' / '.join(line.strip() for line in changed)}", flush=True)
    return False


def _pass(tests: list[str]) -> bool:
    """Whether the tests pass, on SQLite, in a process of their own, of which nothing is left afterwards."""
    child = os.fork()
    if child == 0:
        _become_tests(tests)
    ends = time.monotonic() + TIMEOUT_S
    while time.monotonic() < ends:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _become_tests(tests: list[str]) -> None:
    os.setpgrp()
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)
    options = ["-x", "--assert=plain", "-n", "0", "-p", "no:cacheprovider", "-k", "not postgres"]
    os._exit(int(import_module("pytest").main([*options, *tests])))


def _percent(killed: int, total: int) -> float:
    return 100.0 * killed / total if total else 100.0


if __name__ == "__main__":
    sys.exit(main())
