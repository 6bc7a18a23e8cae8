"""The wheel holds all that Beacon needs at run time: built-in packs, templates, and the portal's third-party files."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = "beacon/web/static/built"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Built from this checkout, whose third-party files must be there already: a test does not fetch them."""
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    if not hook.is_current(ROOT):
        pytest.skip("the portal's third-party files are not there, or old: `make setup` brings them")
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("*.whl")
    return zipfile.ZipFile(path)


def test_each_third_party_file_is_in_the_wheel_with_its_licence(wheel: zipfile.ZipFile) -> None:
    files = json.loads(wheel.read(f"{BUILT}/manifest.json"))["files"]
    assert {"htmx.min.js", "hx-sse.min.js", "fonts/beacon-text-latin.woff2", "world.json"} <= files.keys()
    for name, entry in files.items():
        assert hashlib.sha256(wheel.read(f"{BUILT}/{name}")).hexdigest() == entry["sha256"]
        assert wheel.read(f"{BUILT}/{entry['licence_text']}")


def test_all_of_beacon_is_in_the_wheel(wheel: zipfile.ZipFile) -> None:
    """Data files too: packs, templates, migrations, own style sheets."""
    source = ROOT / "src"
    kept = [path for path in (source / "beacon").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    missing = {path.relative_to(source).as_posix() for path in kept} - set(wheel.namelist())
    assert missing == set()


def test_the_wheel_carries_the_licence_and_the_command(wheel: zipfile.ZipFile) -> None:
    names = wheel.namelist()
    (entry_points,) = [name for name in names if name.endswith(".dist-info/entry_points.txt")]
    assert "beacon = beacon.cli.main:main" in wheel.read(entry_points).decode()
    (licence,) = [name for name in names if name.endswith(".dist-info/licenses/LICENSE")]
    assert b"Apache License" in wheel.read(licence)
