"""Browser tests run where there is a Chromium; where there is none, the last line says so, and CI fails."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parents[1] / "conftest.py"
TESTS = """
import pytest

@pytest.mark.browser
def test_in_a_browser(chromium):
    assert chromium.name == "some-chromium"

def test_elsewhere():
    pass
"""


def run_tests(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """pytest in a process of its own, on two tests beside Beacon's conftest, with no browser in PATH."""
    shutil.copy(CONFTEST, folder)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = browser\n")
    (folder / "test_two.py").write_text(TESTS)
    own = {name: value for name, value in os.environ.items() if name not in {"CI", "BEACON_CHROMIUM"}}
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    env = {**own, "PATH": str(folder), **environment}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_without_a_chromium_the_last_line_says_what_was_left_out_and_how_to_get_it(tmp_path: Path) -> None:
    for arguments in ([], ["-n", "2"]):
        run = run_tests(tmp_path, *arguments)
        *_, closing, last = run.stdout.splitlines()
        assert run.returncode == 0
        assert "1 passed, 1 skipped" in closing
        assert last.startswith("Left out: 1 browser test")
        assert "apt-get install chromium" in last


def test_without_a_chromium_ci_fails(tmp_path: Path) -> None:
    run = run_tests(tmp_path, CI="true")
    assert run.returncode == 1
    assert "no Chromium was found" in run.stdout
    assert "1 passed, 1 error" in run.stdout


def test_the_chromium_that_is_named_is_used(tmp_path: Path) -> None:
    browser = tmp_path / "some-chromium"
    browser.touch(mode=0o755)
    run = run_tests(tmp_path, CI="true", BEACON_CHROMIUM=str(browser))
    assert run.returncode == 0
    assert "2 passed" in run.stdout.splitlines()[-1]
