"""What every test shares: files of its own, where browser tests run, and the closing line when they did not."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOW_TO_GET_ONE = "install one (on Debian: apt-get install chromium) or set BEACON_CHROMIUM=/path/to/chromium"
left_out = pytest.StashKey[int]()


def find_chromium() -> Path | None:
    """The Chromium that BEACON_CHROMIUM names, else the first in PATH."""
    named = os.environ.get("BEACON_CHROMIUM")
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return Path(found) if found else None


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("browser") is None or find_chromium() is not None:
        return
    if os.environ.get("CI"):
        pytest.fail(f"no Chromium was found, and CI always runs the browser tests: {HOW_TO_GET_ONE}", pytrace=False)
    pytest.skip("no Chromium was found")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    config.stash[left_out] = sum("browser" in report.keywords for report in skipped)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """After pytest's own closing line, as the very last one."""
    count = config.stash.get(left_out, 0)
    if count:
        tests = "1 browser test" if count == 1 else f"{count} browser tests"
        print(f"Left out: {tests}, for no Chromium was found. To run them, {HOW_TO_GET_ONE}.")


@pytest.fixture(scope="session", autouse=True)
def own_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keys, logs and databases of the tests, also those of processes that they start, are never the user's."""
    folder = tmp_path_factory.mktemp("data")
    own = {
        "XDG_DATA_HOME": folder,
        "BEACON_SIGNING_KEY": folder / "signing-key.pem",
        "BEACON_TRANSPARENCY_LOG": folder / "log.db",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in own.items():
            patch.setenv(name, str(value))
        yield


@pytest.fixture(scope="session")
def chromium() -> Path:
    """The browser to drive. Tests that ask for it carry `@pytest.mark.browser`."""
    path = find_chromium()
    assert path is not None, "the test lacks @pytest.mark.browser"
    return path
