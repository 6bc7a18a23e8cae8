"""What must hold for every tracked file, so that the repository builds anywhere and holds only what is Beacon's."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
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


def test_the_locks_hold_each_direct_dependency() -> None:
    """Whoever adds a dependency to pyproject.toml and forgets `make lock` learns it here."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))
    runtime = document["project"]["dependencies"]
    groups = [line for group in document["dependency-groups"].values() for line in group if isinstance(line, str)]
    wanted = {
        "runtime.txt": runtime,
        "dev.txt": [*runtime, *groups, *document["build-system"]["requires"]],
        "real.txt": document["project"]["optional-dependencies"]["real"],
    }
    for lock, requirements in wanted.items():
        text = (ROOT / "requirements" / lock).read_text(encoding="utf8")
        locked = set(re.findall(r"^([a-z0-9-]+)==", text, re.MULTILINE))
        named = {re.split(r"[^\w.-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in requirements}
        assert named - locked == set(), f"requirements/{lock} is behind pyproject.toml: run `make lock`"
